"""What a dead worker left behind: its claimed rows are settled by its journal (architecture.md, Sending without loss).

Accepted in the journal: sent. No intent in a whole journal: due again. An intent without an answer, or no journal that
proves anything (it is missing, damaged, from before a restart, or on a host that is gone): in doubt. In doubt is shown
and never silently sent again, unless IN_DOUBT=resend.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from campaigns.core.kept_text import keep as _
from deliveries.ledger import statuses
from deliveries.ledger.change import Change
from deliveries.ledger.events import log_event
from deliveries.lifecycle import in_doubt
from deliveries.models import Batch, Delivery, DeliveryEvent, SendingLog
from deliveries.models.states import LogMove, LogStatus

from . import leases, results
from .journal import BatchLock, Replay, Trace, leftovers, replay

logger = logging.getLogger("deliveries.sending.recovery")

CHUNK = 500  # rows settled in one transaction
_WORDS = {
    Trace.ACCEPTED: "Accepted, as the journal of a worker that died says.",
    Trace.REFUSED: "Refused; the server's words were lost with the worker.",
    Trace.OPEN: "The worker died while it waited for the server's answer; most likely the message was accepted.",
    Trace.UNKNOWN: "The worker died, and no journal here tells what it did: the message may or may not have left.",
}


def recover(lease: leases.Lease, directory: Path) -> Counter[Trace]:
    """Settle every row of the batch that an older fence claimed. The caller holds the lease and the BatchLock.

    Out: how many rows had which trace. Raises LeaseLost. Safe to repeat after any kind of death: what is settled
    carries no fence any more.
    """
    traces: Counter[Trace] = Counter()
    claimed = SendingLog.objects.filter(batch_id=lease.batch_id, due_at__isnull=False, claim_fence__lt=lease.fence)
    left = claimed.filter(status__in=leases.CLAIMABLE)
    for fence in _fences(left):
        found = replay(directory, lease.batch_id, fence)
        rows = list(left.filter(claim_fence=fence).values_list("pk", "attempts"))
        for start in range(0, len(rows), CHUNK):
            traces += _settle(lease, fence, found, rows[start : start + CHUNK])
    doubts = traces[Trace.OPEN] + traces[Trace.UNKNOWN]
    logger.info("batch %s, fence %s: %s", lease.batch_id, lease.fence, {t.value: n for t, n in traces.items()})
    if doubts and settings.IN_DOUBT == "hold":
        tell_doubt(lease.delivery_id, doubts, without_journal=traces[Trace.UNKNOWN])
    return traces


def _fences(rows: QuerySet[SendingLog]) -> list[int]:
    found = rows.filter(claim_fence__isnull=False).order_by("claim_fence").values_list("claim_fence", flat=True)
    return [fence for fence in found.distinct() if fence is not None]


def tell_doubt(delivery_id: int, number: int, **details: Any) -> None:
    """Say in the delivery's log that rows fell in doubt."""
    words = _(
        "%(n)s messages are in doubt: they may have left, but nobody noted the server's answer. "
        "Decide in the Deployment window whether to send them again or to count them as sent.",
        n=number,
    )
    log_event(delivery_id, "in_doubt", words, severity=DeliveryEvent.Severity.WARNING, number=number, **details)


def _settle(lease: leases.Lease, fence: int, found: Replay, rows: Iterable[tuple[int, int]]) -> Counter[Trace]:
    relays = Delivery.everything.filter(pk=lease.delivery_id, feedback_service=True).exists()
    traces: Counter[Trace] = Counter()
    changes, again = [], []
    for log_id, attempts in rows:
        trace = found.of(log_id)
        traces[trace] += 1
        move = _move(trace, relays)
        if move is None:
            again.append(log_id)
        else:
            due_at = timezone.now() if move is LogMove.DEFER else None
            changes.append(Change(log_id, move, attempts, reply=_WORDS[trace], due_at=due_at))
    if changes:
        results.record(lease, changes, claimed_by=fence)
    if again:
        leases.unclaim(lease, again, fence)
    return traces


def _move(trace: Trace, relays: bool) -> LogMove | None:
    """What becomes of a row with this trace; None: it is due again, as if never claimed."""
    if trace is Trace.ACCEPTED:
        return LogMove.RELAY if relays else LogMove.ACCEPT
    if trace is Trace.REFUSED:
        return LogMove.DEFER
    if trace in (Trace.OPEN, Trace.UNKNOWN) and settings.IN_DOUBT == "hold":
        return LogMove.DOUBT
    return None


def collect_leftovers(directory: Path) -> int:
    """Remove the journals of batches that are done: a kill between their last commit and the removal left them.

    A host that comes back after others took its batches over first settles, from its own journals, what they had to
    put in doubt. Out: how many batches.
    """
    collected = 0
    for batch_id in leftovers(directory, _done) if directory.is_dir() else []:
        lock = BatchLock.acquire(directory, batch_id)
        if lock is None:
            continue
        with lock:
            if _done([batch_id]):
                _settle_doubts(directory, batch_id)
                lock.unlink_journals()
                collected += 1
    return collected


def _done(batch_ids: Collection[int]) -> set[int]:
    """Those of the batches on which nobody works, or that are gone."""
    held = Batch.objects.filter(pk__in=batch_ids, lease_until__isnull=False)
    return set(batch_ids).difference(held.values_list("pk", flat=True))


def _settle_doubts(directory: Path, batch_id: int) -> None:
    """Rows in doubt keep the fence of their claim: where its journal is here and whole, it knows better."""
    delivery = Delivery.everything.filter(batches=batch_id).first()
    if delivery is None:
        return
    doubtful = delivery.sending_logs.filter(batch_id=batch_id, status=LogStatus.IN_DOUBT)
    sent, unsent = [], []
    for fence in _fences(doubtful):
        found = replay(directory, batch_id, fence)
        for log_id, attempts in doubtful.filter(claim_fence=fence).values_list("pk", "attempts"):
            trace = found.of(log_id)
            if trace is Trace.ACCEPTED:
                sent.append(Change(log_id, LogMove.SETTLE_SENT, attempts, reply=_WORDS[trace]))
            elif trace in (Trace.NOTHING, Trace.REFUSED):
                unsent.append((log_id, attempts, batch_id))
    if sent or unsent:
        again = in_doubt.send_again(delivery, unsent) if unsent else 0
        words = _(
            "%(sent)s messages in doubt had been sent and %(again)s had not: the journal of their host says so.",
            sent=len(sent),
            again=again,
        )
        statuses.settle(batch_id, sent)
        log_event(delivery, "doubt_settled", words, sent=len(sent), again=again)
