"""What workers report of a batch: statuses, retries and replies, in one transaction under the lease."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from deliveries.feedback import apply_events
from deliveries.ledger import reports
from deliveries.ledger.change import Change, one_line
from deliveries.ledger.statuses import _apply
from deliveries.models.states import LogStatus

from . import leases


def record(lease: leases.Lease, changes: Sequence[Change], claimed_by: int | None = None) -> None:
    """Write the outcome of rows that this lease claimed (or, in recovery, that an older fence `claimed_by` did).

    One transaction: the fence is checked and the lease renewed, then rows and counters change together.
    Raises LeaseLost, with nothing written.
    """
    fence = lease.fence if claimed_by is None else claimed_by
    with transaction.atomic():
        leases.renew(lease)
        waiting = f"l.claim_fence = {fence:d} AND l.status = {LogStatus.PENDING:d}"
        done = _apply(lease.batch_id, changes, waiting)
        # Rows that reports had decided before, and that were tried again.
        again = [c._replace(reply=one_line(c.reply)) for c in changes if c.log_id not in done]
        if again:
            reports.record_retries(lease.batch_id, fence, again)
        apply_events.note_replies(changes)
