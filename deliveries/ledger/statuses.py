"""Writes the statuses of sending logs that are being sent: rows and their batch's counters change in one transaction.

What reports make of rows is written in reports.py, the only other place where a status changes.
What a row may become is states.LOG_MOVES; a change that finds the row elsewhere changes nothing, counters included.
Whoever changes both locks the batch first, then its rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import BooleanField, Count, ExpressionWrapper, F, Q, QuerySet
from django.utils import timezone

from deliveries.models import Batch, SendingLog
from deliveries.models.counters import Kind, steps
from deliveries.models.states import LOG_MOVES, FailureType, LogMove, LogStatus, Reason
from deliveries.models.storage import dialect, partition_lookup

from .change import ANSWERED, Change, one_line

_TAKEN = frozenset({LogMove.ACCEPT, LogMove.RELAY, LogMove.SETTLE_SENT})  # handed to the mail server


def settle(batch_id: int, changes: Sequence[Change]) -> int:
    """Write what became of rows in doubt (moves SETTLE_SENT, SETTLE_RESEND), whoever holds the batch. Out: how many.

    Rows to be sent again make the batch due.
    """
    with transaction.atomic():
        Batch.objects.select_for_update().get(pk=batch_id)
        done = len(_apply(batch_id, changes, f"l.status = {LogStatus.IN_DOUBT:d}"))
        again = min((c.due_at for c in changes if c.due_at), default=None)
        if again:
            batch = Batch.objects.filter(pk=batch_id)
            batch.filter(next_due_at=None).update(next_due_at=again)
            batch.filter(next_due_at__gt=again).update(next_due_at=again)
    return done


_TAKEN_COLUMNS: dict[str, type] = {"log_id": int, "words": str}
_COLUMNS: dict[str, type] = _TAKEN_COLUMNS | {
    "new_status": int,
    "new_type": int,
    "new_reason": int,
    "due": datetime,
    "answered": int,
    "fence": int,
}


def _apply(batch_id: int, changes: Sequence[Change], where: str) -> set[int]:
    """Change the rows that still stand where they should, and the counters by just these. Out: their ids.

    Nearly all were taken by the server, each with words of its own and everything else the same: those get a statement
    of their own, which is half the work for the database.
    """
    taken: dict[LogMove, list[tuple[Any, ...]]] = {}
    others = []
    for change in changes:
        if change.move in _TAKEN:
            taken.setdefault(change.move, []).append((change.log_id, one_line(change.reply)))
        else:
            others.append(_row(change))
    done: set[int] = set()
    now = str(dialect.stamp(timezone.now()))
    for move, rows in taken.items():
        done |= _write(batch_id, _TAKEN_COLUMNS, rows, _taken(move, now), where, now)
    if others:
        done |= _write(batch_id, _COLUMNS, others, _OTHERS, where, now)
    _count(batch_id, [change for change in changes if change.log_id in done])
    return done


# What a move writes: the new status, and whether it counts as an answer and keeps its fence. A row in doubt does: the
# journal of its host may still tell what became of it.
_WRITES = {
    move: (int(after), int(move in ANSWERED), int(move is LogMove.DOUBT)) for move, (_, after) in LOG_MOVES.items()
}
_OTHERS = (
    "status = r.new_status, failure_type = r.new_type, reason = r.new_reason, due_at = r.due, "
    "attempts = l.attempts + r.answered, claim_fence = CASE WHEN r.fence = 1 THEN l.claim_fence END"
)


def _taken(move: LogMove, now: str) -> str:
    status, answered, _fence = _WRITES[move]
    return (
        f"status = {status}, failure_type = {FailureType.NONE:d}, reason = {Reason.NOT_DEFINED:d}, due_at = NULL, "
        f"relayed_at = '{now}', attempts = l.attempts + {answered}, claim_fence = NULL"
    )


def _row(change: Change) -> tuple[Any, ...]:
    log_id, move, _, how, reason, reply, due_at = change
    status, answered, fence = _WRITES[move]
    due = dialect.stamp(due_at) if due_at else None
    return log_id, one_line(reply), status, int(how), int(reason), due, answered, fence


def _write(
    batch_id: int, columns: dict[str, type], rows: list[tuple[Any, ...]], values: str, where: str, now: str
) -> set[int]:
    """One statement over these rows. The + keeps SQLite from looking up each row through an index over the batch."""
    sql = f"""
        UPDATE {partition_lookup.of_batch(batch_id)} AS l SET {values}, reply = r.words, date = '{now}', claims = 0
        FROM {dialect.rows(columns)} r
        WHERE l.id = r.log_id AND +l.batch_id = {batch_id:d} AND {where} RETURNING id"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [dialect.rows_parameter(rows)])
        return {row[0] for row in cursor.fetchall()}


def _count(batch_id: int, changes: Iterable[Change]) -> None:
    kinds = Counter((c.move, int(c.failure_type), c.attempts > 0) for c in changes)
    _step(batch_id, {_kinds(*kind): number for kind, number in kinds.items()})


def _step(batch_id: int, moved: Mapping[tuple[Kind, Kind], int], **also: Any) -> None:
    """Change a batch's counters by rows that moved, {(kind before, kind after): how many}, and the columns `also`."""
    deltas: Counter[str] = Counter()
    for (before, after), number in moved.items():
        for name, step in steps(before, after).items():
            deltas[name] += step * number
    changed = also | {name: F(name) + delta for name, delta in deltas.items() if delta}
    if changed:
        Batch.objects.filter(pk=batch_id).update(**changed)


def _kinds(move: LogMove, how: int, tried: bool) -> tuple[Kind, Kind]:
    """One row's kind before and after its move. A row is retrying when it is due and was answered before."""
    before, after = LOG_MOVES[move]
    waited = tried and before is LogStatus.PENDING
    waits = move is LogMove.DEFER or (tried and move is LogMove.SETTLE_RESEND)
    return Kind(before, retrying=waited), Kind(after, how, relayed=move in _TAKEN, retrying=waits)


def cancel_unsent(delivery_id: int) -> int:
    """Turn the delivery's rows that nobody holds and nobody relayed into Delivery canceled. Out: how many.

    Rows that a worker has claimed are settled by that worker: it reads the stop within a second.
    """
    return _end_unsent(delivery_id, LogMove.CANCEL)


def expire_unsent(delivery_id: int) -> int:
    """Turn the delivery's rows that nobody holds and nobody relayed into Failed: the validity is over. Out: how many.

    Rows that had been answered before keep the server's words and count as soft.
    """
    return _end_unsent(delivery_id, LogMove.EXPIRE)


def _end_unsent(delivery_id: int, move: LogMove) -> int:
    unsent = Batch.objects.filter(delivery_id=delivery_id, pending__gt=0).order_by("pk").values_list("pk", flat=True)
    return sum(_end_in_batch(pk, move) for pk in list(unsent))


def _end_in_batch(batch_id: int, move: LogMove) -> int:
    """One transaction a batch: a set-based statement over the few thousand rows of one batch stays short."""
    before, after = LOG_MOVES[move]
    with transaction.atomic():
        Batch.objects.select_for_update().get(pk=batch_id)
        # Unsent rows are due sooner or later; saying so lets the index of due rows find them.
        rows = SendingLog.objects.filter(
            batch_id=batch_id, due_at__isnull=False, status=before, claim_fence=None, relayed_at=None
        )
        ended: dict[str, Any] = {"status": after, "due_at": None, "date": timezone.now()}
        if move is LogMove.EXPIRE:
            ended["reason"] = Reason.VALIDITY_EXPIRED
        how = FailureType.SOFT if move is LogMove.EXPIRE else FailureType.NONE
        retried = rows.filter(attempts__gt=0)
        soft = retried.update(**ended, **({"failure_type": how} if how else {}))
        changed = soft + rows.update(**ended)
        moved = {_kinds(move, how, True): soft, _kinds(move, FailureType.NONE, False): changed - soft}
        _step(batch_id, moved, next_due_at=None)
    return changed


def missing(rows: QuerySet[SendingLog]) -> QuerySet[SendingLog]:
    """Those of the rows that nobody sent, or whose failure was temporary; hard failures are not among them."""
    passing = Q(failure_type__in=(FailureType.SOFT, FailureType.IGNORED)) | Q(reason=Reason.VALIDITY_EXPIRED)
    return rows.filter(Q(status=LogStatus.CANCELLED) | Q(passing, status=LogStatus.FAILED), claim_fence=None)


def send_missing(batch_id: int) -> int:
    """Make a batch's missing rows due again, as if they had not been sent. Out: how many; the caller holds the
    transaction."""
    now = timezone.now()
    Batch.objects.select_for_update().get(pk=batch_id)
    rows = missing(SendingLog.objects.filter(batch_id=batch_id))
    moved = _again(rows)
    rows.update(
        status=LogStatus.PENDING,
        failure_type=FailureType.NONE,
        reason=Reason.NOT_DEFINED,
        reply="",
        date=now,
        due_at=now,
        relayed_at=None,
        claims=0,
        retry_state=SendingLog.Retry.NONE,
        last_event_at=None,
        last_event_rank=0,
    )
    if number := sum(moved.values()):
        _step(batch_id, moved, next_due_at=now, gated=False)
    return number


def _again(rows: QuerySet[SendingLog]) -> Counter[tuple[Kind, Kind]]:
    """How many of the rows are of which kind now, and will be when they are sent again."""
    waits = Q(retry_state=SendingLog.Retry.SERVER) | Q(due_at__isnull=False, attempts__gt=0)
    asked = {
        "relayed": Q(relayed_at__isnull=False),
        "retrying": waits,
        "complained": Q(complained_at__isnull=False),
        "tried": Q(attempts__gt=0),
    }
    told = {name: ExpressionWrapper(question, BooleanField()) for name, question in asked.items()}
    kinds: Any = rows.order_by().values("status", "failure_type", **told).annotate(number=Count("pk"))
    moved: Counter[tuple[Kind, Kind]] = Counter()
    for found in kinds:
        number, tried = found.pop("number"), found.pop("tried")
        before = Kind(**found)
        after = Kind(LogStatus.PENDING, retrying=tried, complained=before.complained)
        moved[before, after] += number
    return moved
