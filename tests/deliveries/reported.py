"""Reports about sending logs, for tests of feedback."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from django.utils import timezone

from deliveries.feedback import apply_events
from deliveries.feedback.apply_events import Event
from deliveries.ledger.change import Change
from deliveries.models import Delivery, FeedbackEvent, SendingLog
from deliveries.models.states import FailureType, LogMove, Reason
from deliveries.sending import leases, results

Kind, Source = FeedbackEvent.Kind, FeedbackEvent.Source
_keys = count()

KINDS: dict[str, dict[str, Any]] = {
    "delivered": {"kind": Kind.DELIVERED},
    "delayed": {"kind": Kind.DELAYED, "type": FailureType.SOFT, "reason": Reason.UNREACHABLE, "status": "4.4.1"},
    "soft": {"kind": Kind.BOUNCE, "type": FailureType.SOFT, "reason": Reason.MAILBOX_FULL, "status": "5.2.2"},
    "hard": {"kind": Kind.BOUNCE, "type": FailureType.HARD, "reason": Reason.USER_UNKNOWN, "status": "5.1.1"},
    "ignored": {"kind": Kind.BOUNCE, "type": FailureType.IGNORED, "reason": Reason.REFUSED, "status": "5.7.1"},
    "gave up": {"kind": Kind.BOUNCE, "type": FailureType.SOFT, "reason": Reason.UNREACHABLE, "status": "4.4.1"},
    "complaint": {"kind": Kind.COMPLAINT},
    "auto-reply": {"kind": Kind.AUTO_REPLY},
}


def event(log: SendingLog | int, what: str, minute: float = 0, **changed: Any) -> Event:
    """A report about a sending log, `minute` minutes after the present hour began."""
    log_id = log if isinstance(log, int) else log.pk
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    values = {
        "source": Source.INBOX,
        "key": f"test-{next(_keys)}",
        "at": hour + timedelta(minutes=minute),
        "log_id": log_id,
        "text": f"said {what}",
        **KINDS[what],
    }
    return Event(**(values | changed))


def report(log: SendingLog, *whats: str) -> None:
    """Apply reports about a row one after the other, a minute apart."""
    for minute, what in enumerate(whats):
        apply_events.apply([event(log, what, minute)])
    log.refresh_from_db()


def relay(delivery: Delivery, number: int | None = None) -> list[SendingLog]:
    """Let the mail server take the first `number` rows (or all). Out: these rows."""
    accepted = LogMove.RELAY if delivery.feedback_service else LogMove.ACCEPT
    left = number
    for batch in delivery.batches.order_by("number"):
        lease = leases.take(batch.pk)
        rows = leases.claim(lease, 500) if lease else []
        taken = rows if left is None else rows[:left]
        if lease:
            results.record(lease, [Change(row.log_id, accepted, row.attempts) for row in taken])
            leases.release(lease)
        left = None if left is None else left - len(taken)
    return list(SendingLog.objects.filter(delivery=delivery, relayed_at__isnull=False).order_by("pk"))


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
