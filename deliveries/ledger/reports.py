"""What reports make of sending logs: the other room, beside statuses.py, in which statuses change.

Each function is one short transaction's worth of rows: the batches are locked in order, then their rows; each row
is folded with the table (transitions.py); rows and counters are written with one statement each, the counters by the
difference between the row before and after. So whatever was known before, the ledger balances.

Who tries again after a soft bounce: the mail server says so itself ("delayed"), or the routing lets us send again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from campaigns.core import queue
from campaigns.core.kept_text import keep as _
from deliveries.models import Batch, Delivery, SendingLog
from deliveries.models.counters import COUNTERS, Kind, steps
from deliveries.models.routing import Routing
from deliveries.models.states import RUNNING, Act, FailureType, LogMove, LogStatus, Reason, State, advance
from deliveries.models.storage import dialect, partition_lookup

from . import retry_policy, transitions
from .events import log_event
from .transitions import Fact

if TYPE_CHECKING:
    from .change import Change

CHUNK = 500  # rows in one transaction
Retry = SendingLog.Retry
_NEVER = transitions.Row(0).decided_at
_RETRIES = frozenset({*RUNNING, State.PAUSED, State.FINISHED})  # states in which we may still send again


class Report(NamedTuple):
    """One matched event, as far as it concerns its sending log. fact None: it decides nothing.

    exhausted: a server gave up after nothing but temporary refusals. Unless we try again, the retries have run out.
    """

    log_id: int
    fact: Fact | None
    at: datetime
    reason: int = Reason.NOT_DEFINED
    words: str = ""
    complaint: bool = False
    exhausted: bool = False


@dataclass(slots=True)
class _Row:
    """The columns of a sending log that reports read or write, in the order of _COLUMNS."""

    id: int
    batch_id: int
    delivery_id: int
    address: str
    status: int
    failure_type: int
    reason: int
    reply: str
    claim_fence: int | None
    claims: int
    attempts: int
    due_at: Any
    relayed_at: Any
    last_event_at: Any
    last_event_rank: int
    retry_state: int
    complained_at: Any
    date: Any = None  # of the change, where a report decided the row now; not read

    @property
    def retrying(self) -> bool:
        """Somebody will try again."""
        return (self.due_at is not None and self.attempts > 0) or self.retry_state == Retry.SERVER

    @property
    def kind(self) -> Kind:
        """What its batch counts it by."""
        relayed, complained = self.relayed_at is not None, self.complained_at is not None
        return Kind(self.status, self.failure_type, relayed, self.retrying, complained)


_COLUMNS = [field.name for field in fields(_Row) if field.name != "date"]
_TIMES = ("due_at", "relayed_at", "last_event_at", "complained_at")
_WRITTEN = {
    "id": int,
    "status": int,
    "failure_type": int,
    "reason": int,
    "reply": str,
    "date": datetime,
    "claim_fence": int,
    "claims": int,
    "attempts": int,
    "due_at": datetime,
    "relayed_at": datetime,
    "last_event_at": datetime,
    "last_event_rank": int,
    "retry_state": int,
    "complained_at": datetime,
}
_VALUES = attrgetter(*_WRITTEN)


def decide(reports: Iterable[Report]) -> set[int]:
    """Apply matched reports; the caller holds the transaction, and gives at most a few hundred of them.

    Out: ids of the deliveries whose rows changed. Reports about rows that are gone change nothing; the same report
    twice is the same as once, in any order.
    """
    by_log = defaultdict(list)
    for report in reports:
        by_log[report.log_id].append(report)
    locked = _LockedRows.of_logs(list(by_log))
    for row in locked.rows:
        for report in by_log[row.id]:
            locked.learn(row, report)
    return locked.write()


def give_up(log_ids: Collection[int]) -> None:
    """Try these rows no more, if they are retrying: their address was put in quarantine. The caller holds the
    transaction."""
    locked = _LockedRows.of_logs(list(log_ids))
    for row in locked.rows:
        if row.retrying:
            locked.end(row)
    locked.write()


def record_retries(batch_id: int, fence: int, changes: Sequence[Change]) -> None:
    """Write the outcome of another try of rows that reports had decided; the caller holds batch and transaction.

    A try that was accepted changes no figure: with a feedback service its report will, without one the row is Sent.
    """
    by_log = {change.log_id: change for change in changes}
    matches, parameter = dialect.one_of(by_log)
    table = partition_lookup.of_batch(batch_id)
    locked = _LockedRows.where(
        [table], f"batch_id = %s AND claim_fence = %s AND id {matches}", [batch_id, fence, parameter]
    )
    for row in locked.rows:
        locked.retried(row, by_log[row.id])
    locked.write()


def end_retries(delivery_id: int, *, ours_alone: bool = False) -> int:
    """Let nobody try again: the validity is over, or (`ours_alone`) the delivery was stopped. Out: how many rows.

    Without a feedback service such a row was Sent so far and fails now (deliverability.md, What comes back).
    """
    waiting = Batch.objects.filter(delivery_id=delivery_id).filter(Q(retrying__gt=0) | Q(next_due_at__isnull=False))
    return sum(_end_in_batch(pk, ours_alone) for pk in list(waiting.order_by("pk").values_list("pk", flat=True)))


def _end_in_batch(batch_id: int, ours_alone: bool) -> int:
    which = "due_at IS NOT NULL" if ours_alone else f"(due_at IS NOT NULL OR retry_state = {Retry.SERVER:d})"
    decided = f"{LogStatus.SENT:d}, {LogStatus.FAILED:d}"
    number = 0
    while True:
        with transaction.atomic():
            Batch.objects.select_for_update().get(pk=batch_id)
            free = f"batch_id = %s AND claim_fence IS NULL AND status IN ({decided}) AND {which}"
            locked = _LockedRows.where([partition_lookup.of_batch(batch_id)], free, [batch_id], CHUNK)
            for row in locked.rows:
                locked.end(row)
            locked.write()
            number += len(locked.rows)
            if len(locked.rows) < CHUNK:
                rows = SendingLog.objects.filter(batch_id=batch_id, due_at__isnull=False)
                if not rows.exists():
                    Batch.objects.filter(pk=batch_id, lease_until=None).update(next_due_at=None)
                return number


class _LockedRows:
    """Locked rows with their deliveries: what is learnt of them, and then written at once."""

    def __init__(self, found: list[tuple[Any, ...]]) -> None:
        self.rows, self.now = [_Row(*values) for values in found], timezone.now()
        self._before = {values[0]: _Row(*values) for values in found}
        wanted = {row.delivery_id for row in self.rows}
        self._deliveries = (
            Delivery.everything.select_related("routing")
            .only(
                "state",
                "feedback_service",
                "retry_by",
                "validity_end",
                "routing__retry_first_day",
                "routing__retry_gap",
                "routing__retry_every",
            )
            .in_bulk(wanted)
        )

    @classmethod
    def of_logs(cls, ids: list[int]) -> _LockedRows:
        """These rows, wherever they are; their batches are locked first, in order."""
        matches, parameter = dialect.one_of(ids)
        lock = " FOR NO KEY UPDATE" if connection.vendor == "postgresql" else ""
        tables = partition_lookup.of_logs(ids)
        source = f"{partition_lookup.source(tables)} l"
        batches = f"SELECT batch_id FROM {source} WHERE id {matches} AND batch_id IS NOT NULL"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM deliveries_batch WHERE id IN ({batches}) ORDER BY id{lock}", [parameter])
        return cls.where(tables, f"id {matches} AND batch_id IS NOT NULL", [parameter])

    @classmethod
    def where(cls, tables: list[str], condition: str, parameters: list[Any], limit: int | None = None) -> _LockedRows:
        """The rows of these tables that meet an SQL condition, locked in order."""
        lock = " FOR NO KEY UPDATE" if connection.vendor == "postgresql" else ""
        most = f" LIMIT {limit:d}" if limit else ""
        found: list[tuple[Any, ...]] = []
        with connection.cursor() as cursor:
            for table in tables:
                columns = ", ".join(_COLUMNS)
                cursor.execute(f"SELECT {columns} FROM {table} WHERE {condition} ORDER BY id{most}{lock}", parameters)
                found += cursor.fetchall()
        return cls([_aware(values) for values in found] if connection.vendor == "sqlite" else found)

    def learn(self, row: _Row, report: Report, *, relayed: bool = True) -> None:
        """Fold a report into its row. `relayed`: it proves that the server took the message."""
        if report.complaint and (row.complained_at is None or report.at < row.complained_at):
            row.complained_at = report.at
        if report.fact is None:
            return
        if relayed:
            self._prove_relayed(row, report)
        self._fold(row, report)
        if row.due_at is None and row.status != LogStatus.IN_DOUBT:  # claims are looked for among due rows (leases.py)
            row.claim_fence, row.claims = None, 0

    def _prove_relayed(self, row: _Row, report: Report) -> None:
        if row.relayed_at is None:
            row.relayed_at = min(report.at, self.now)
            # Its 250 was not recorded yet, or nobody heard it: what is recorded later finds the row settled.
            unheard = row.claim_fence is not None or row.status == LogStatus.IN_DOUBT
            row.attempts = max(1, row.attempts + unheard)
            row.claim_fence, row.claims = None, 0

    def _fold(self, row: _Row, report: Report) -> None:
        delivery = self._deliveries[row.delivery_id]
        fact = Fact.EXPIRED if report.exhausted and delivery.retry_by == Routing.Retries.SERVER else report.fact
        assert fact is not None
        known = transitions.Row(
            row.status,
            row.failure_type,
            row.retrying,
            row.last_event_at or _NEVER,
            row.last_event_rank,
            row.retry_state == Retry.OVER,
        )
        after = transitions.learn(known, fact, report.at, feedback=delivery.feedback_service)
        decides = (after.decided_at, after.weight) != (known.decided_at, known.weight)
        if decides:
            self._adopt(row, after, report)
            if after.retrying:
                self._try_again(row, fact, delivery)
                return
        elif known.weight and transitions.same(known, fact, report.at, feedback=delivery.feedback_service):
            row.reason, row.reply = max((row.reason, row.reply), _said(report))  # any order ends in the same words
        if not after.retrying:
            row.due_at, row.retry_state = None, Retry.OVER if after.expired else Retry.NONE

    def _adopt(self, row: _Row, after: transitions.Row, report: Report) -> None:
        row.status, row.failure_type = after.status, after.failure
        row.last_event_at, row.last_event_rank = after.decided_at, after.weight
        row.date, row.due_at, row.retry_state = self.now, None, Retry.NONE
        if report.fact is not Fact.EXPIRED or not row.reply:  # the server's last words say more
            row.reason, row.reply = _said(report)

    def _try_again(self, row: _Row, fact: Fact, delivery: Delivery) -> None:
        """A soft word: who tries again, and when."""
        limit = delivery.validity_end
        over = limit is not None and limit <= self.now
        if fact is Fact.DELAYED and not over:
            row.retry_state = Retry.SERVER
            return
        due_at = self.now + retry_policy.pause_before(row.attempts, policy(delivery.routing))
        ours = delivery.retry_by == Routing.Retries.US and delivery.state in _RETRIES
        if over or (ours and limit is not None and due_at >= limit):
            self.end(row)
        elif ours:
            row.due_at = due_at
        elif not delivery.feedback_service:  # Sent until its retries have run out, at the limit
            row.retry_state = Retry.SERVER

    def end(self, row: _Row) -> None:
        """Nobody tries any more."""
        delivery = self._deliveries[row.delivery_id]
        at = delivery.validity_end or self.now
        self._fold(row, Report(row.id, Fact.EXPIRED, at, Reason.VALIDITY_EXPIRED))

    def retried(self, row: _Row, change: Change) -> None:
        """The outcome of another try of a row that a report had decided."""
        row.claim_fence, row.claims = None, 0
        delivery = self._deliveries[row.delivery_id]
        match change.move:
            case LogMove.ACCEPT | LogMove.RELAY:
                row.attempts += 1
                row.due_at = None
                if delivery.feedback_service and row.status == LogStatus.FAILED:
                    row.retry_state = Retry.SERVER  # it has the message again, and will report
            case LogMove.DEFER:
                row.attempts += 1
                row.due_at, row.reply = change.due_at, change.reply
            case LogMove.REFUSE:
                row.attempts += 1
                fact = _FACTS.get(FailureType(change.failure_type), Fact.SOFT)
                self.learn(row, Report(row.id, fact, self.now, change.reason, change.reply), relayed=False)
            case LogMove.FAIL:
                row.due_at = None
                self.end(row)
                row.reason, row.reply = change.reason, change.reply
            case LogMove.DOUBT:  # what was known stays known; a try that may have left is not repeated by itself
                row.attempts += 1
                row.due_at, row.reply = None, change.reply

    def write(self) -> set[int]:
        """Write the rows that changed, and their batches' counters. Out: the deliveries of these rows."""
        changed = [row for row in self.rows if row != self._before[row.id]]
        if not changed:
            return set()
        sets = ", ".join(f"{name} = r.{name}" for name in _WRITTEN if name not in ("id", "date"))
        sets += ", date = COALESCE(r.date, l.date)"
        where: dict[str, list[_Row]] = defaultdict(list)
        for row in changed:
            where[partition_lookup.of_batch(row.batch_id)].append(row)
        with connection.cursor() as cursor:
            for table, rows in where.items():
                cursor.execute(
                    f"UPDATE {table} AS l SET {sets} FROM {dialect.rows(_WRITTEN)} r WHERE l.id = r.id",
                    [dialect.rows_parameter(map(_VALUES, rows))],
                )
        self._count(changed)
        self._reopen(changed)
        return {row.delivery_id for row in changed}

    def _count(self, changed: list[_Row]) -> None:
        deltas: dict[int, Counter[str]] = defaultdict(Counter)
        due: dict[int, datetime] = {}
        for row in changed:
            before, delta = self._before[row.id], deltas[row.batch_id]
            if row.due_at and row.due_at != before.due_at:
                due[row.batch_id] = min(row.due_at, due.get(row.batch_id, row.due_at))
            for name, step in steps(before.kind, row.kind).items():
                delta[name] += step
        columns = {"id": int, **dict.fromkeys(COUNTERS, int), "due": datetime}
        sets = ", ".join(f"{name} = b.{name} + r.{name}" for name in COUNTERS)
        earlier = "r.due IS NOT NULL AND (b.next_due_at IS NULL OR b.next_due_at > r.due)"
        values = (
            (batch_id, *(delta[name] for name in COUNTERS), due.get(batch_id))
            for batch_id, delta in sorted(deltas.items())
        )
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE deliveries_batch AS b SET {sets}, "
                f"next_due_at = CASE WHEN {earlier} THEN r.due ELSE b.next_due_at END "
                f"FROM {dialect.rows(columns)} r WHERE b.id = r.id",
                [dialect.rows_parameter(values)],
            )

    def _reopen(self, changed: list[_Row]) -> None:
        """A finished delivery goes on when one of its messages came back and is sent again."""
        due = {row.delivery_id for row in changed if row.due_at is not None}
        for delivery_id in sorted(pk for pk in due if self._deliveries[pk].state == State.FINISHED):
            if advance(Delivery.everything.filter(pk=delivery_id), Act.REOPEN, finished_at=None):
                words = _("In progress again: messages came back and are sent again later.")
                log_event(delivery_id, "reopened", words)
                queue.enqueue(queue.Task.ENQUEUE_BATCHES, delivery_id)


def _aware(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row as SQLite gives it, with times that can be compared."""
    named = zip(_COLUMNS, values, strict=True)
    return tuple(dialect.moment(value) if name in _TIMES else value for name, value in named)


_FACTS = {FailureType.HARD: Fact.HARD, FailureType.SOFT: Fact.SOFT, FailureType.IGNORED: Fact.IGNORED}


def policy(routing: Routing | None) -> retry_policy.Policy:
    """The routing's retries."""
    if routing is None:
        return retry_policy.DEFAULT
    return retry_policy.Policy(routing.retry_first_day, routing.retry_gap, routing.retry_every)


def _said(report: Report) -> tuple[int, str]:
    return (Reason.NOT_DEFINED if report.fact is Fact.DELIVERED else report.reason), report.words
