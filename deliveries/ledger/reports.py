"""What reports make of sending logs: the other room, beside statuses.py, in which statuses change.

Each function is one short transaction's worth of rows: they are locked (locked_rows.py), each is folded with the table
(transitions.py), and all are written back with their counters.

Who tries again after a soft bounce: the mail server says so itself ("delayed"), or the routing lets us send again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction
from django.db.models import Q

from deliveries.models import Batch, Delivery, SendingLog
from deliveries.models.routing import Routing
from deliveries.models.states import RUNNING, FailureType, LogMove, LogStatus, Reason, State
from deliveries.models.storage import dialect, partition_lookup

from . import retry_policy, transitions
from .locked_rows import LockedRow, LockedRows, Retry
from .transitions import Fact

if TYPE_CHECKING:
    from .change import Change

CHUNK = 500  # rows in one transaction
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


def decide(reports: Iterable[Report]) -> set[int]:
    """Apply matched reports; the caller holds the transaction, and gives at most a few hundred of them.

    Out: ids of the deliveries whose rows changed. Reports about rows that are gone change nothing; the same report
    twice is the same as once, in any order.
    """
    by_log = defaultdict(list)
    for report in reports:
        by_log[report.log_id].append(report)
    locked = LockedRows.of_logs(list(by_log))
    for row in locked:
        for report in by_log[row.id]:
            _learn(row, report, locked.delivery(row), locked.now)
    return locked.write()


def give_up(log_ids: Collection[int]) -> None:
    """Try these rows no more, if they are retrying: their address was put in quarantine. The caller holds the
    transaction."""
    locked = LockedRows.of_logs(list(log_ids))
    for row in locked:
        if row.retrying:
            _end(row, locked.delivery(row), locked.now)
    locked.write()


def record_retries(batch_id: int, fence: int, changes: Sequence[Change]) -> None:
    """Write the outcome of another try of rows that reports had decided; the caller holds batch and transaction.

    A try that was accepted changes no figure: with a feedback service its report will, without one the row is Sent.
    """
    by_log = {change.log_id: change for change in changes}
    matches, parameter = dialect.one_of(by_log)
    table = partition_lookup.of_batch(batch_id)
    locked = LockedRows.where(
        [table], f"batch_id = %s AND claim_fence = %s AND id {matches}", [batch_id, fence, parameter]
    )
    for row in locked:
        _retried(row, by_log[row.id], locked.delivery(row), locked.now)
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
            locked = LockedRows.where([partition_lookup.of_batch(batch_id)], free, [batch_id], CHUNK)
            for row in locked:
                _end(row, locked.delivery(row), locked.now)
            locked.write()
            number += len(locked)
            if len(locked) < CHUNK:
                rows = SendingLog.objects.filter(batch_id=batch_id, due_at__isnull=False)
                if not rows.exists():
                    Batch.objects.filter(pk=batch_id, lease_until=None).update(next_due_at=None)
                return number


def _learn(row: LockedRow, report: Report, delivery: Delivery, now: datetime, *, relayed: bool = True) -> None:
    """Fold a report into its row. `relayed`: it proves that the server took the message."""
    if report.complaint and (row.complained_at is None or report.at < row.complained_at):
        row.complained_at = report.at
    if report.fact is None:
        return
    if relayed:
        _prove_relayed(row, report, now)
    _fold(row, report, delivery, now)
    if row.due_at is None and row.status != LogStatus.IN_DOUBT:  # claims are looked for among due rows (leases.py)
        row.claim_fence, row.claims = None, 0


def _prove_relayed(row: LockedRow, report: Report, now: datetime) -> None:
    if row.relayed_at is None:
        row.relayed_at = min(report.at, now)
        # Its 250 was not recorded yet, or nobody heard it: what is recorded later finds the row settled.
        unheard = row.claim_fence is not None or row.status == LogStatus.IN_DOUBT
        row.attempts = max(1, row.attempts + unheard)
        row.claim_fence, row.claims = None, 0


def _fold(row: LockedRow, report: Report, delivery: Delivery, now: datetime) -> None:
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
        _adopt(row, after, report, now)
        if after.retrying:
            _try_again(row, fact, delivery, now)
            return
    elif known.weight and transitions.same(known, fact, report.at, feedback=delivery.feedback_service):
        row.reason, row.reply = max((row.reason, row.reply), _said(report))  # any order ends in the same words
    if not after.retrying:
        row.due_at, row.retry_state = None, Retry.OVER if after.expired else Retry.NONE


def _adopt(row: LockedRow, after: transitions.Row, report: Report, now: datetime) -> None:
    row.status, row.failure_type = after.status, after.failure
    row.last_event_at, row.last_event_rank = after.decided_at, after.weight
    row.date, row.due_at, row.retry_state = now, None, Retry.NONE
    if report.fact is not Fact.EXPIRED or not row.reply:  # the server's last words say more
        row.reason, row.reply = _said(report)


def _try_again(row: LockedRow, fact: Fact, delivery: Delivery, now: datetime) -> None:
    """A soft word: who tries again, and when."""
    limit = delivery.validity_end
    over = limit is not None and limit <= now
    if fact is Fact.DELAYED and not over:
        row.retry_state = Retry.SERVER
        return
    due_at = now + retry_policy.pause_before(row.attempts, policy(delivery.routing))
    ours = delivery.retry_by == Routing.Retries.US and delivery.state in _RETRIES
    if over or (ours and limit is not None and due_at >= limit):
        _end(row, delivery, now)
    elif ours:
        row.due_at = due_at
    elif not delivery.feedback_service:  # Sent until its retries have run out, at the limit
        row.retry_state = Retry.SERVER


def _end(row: LockedRow, delivery: Delivery, now: datetime) -> None:
    """Nobody tries any more."""
    at = delivery.validity_end or now
    _fold(row, Report(row.id, Fact.EXPIRED, at, Reason.VALIDITY_EXPIRED), delivery, now)


def _retried(row: LockedRow, change: Change, delivery: Delivery, now: datetime) -> None:
    """The outcome of another try of a row that a report had decided."""
    row.claim_fence, row.claims = None, 0
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
            _learn(row, Report(row.id, fact, now, change.reason, change.reply), delivery, now, relayed=False)
        case LogMove.FAIL:
            row.due_at = None
            _end(row, delivery, now)
            row.reason, row.reply = change.reason, change.reply
        case LogMove.DOUBT:  # what was known stays known; a try that may have left is not repeated by itself
            row.attempts += 1
            row.due_at, row.reply = None, change.reply


_FACTS = {FailureType.HARD: Fact.HARD, FailureType.SOFT: Fact.SOFT, FailureType.IGNORED: Fact.IGNORED}


def policy(routing: Routing | None) -> retry_policy.Policy:
    """The routing's retries."""
    if routing is None:
        return retry_policy.DEFAULT
    return retry_policy.Policy(routing.retry_first_day, routing.retry_gap, routing.retry_every)


def _said(report: Report) -> tuple[int, str]:
    return (Reason.NOT_DEFINED if report.fact is Fact.DELIVERED else report.reason), report.words
