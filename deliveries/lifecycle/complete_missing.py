"""Send to those that an ended delivery did not reach, and to nobody else (api.md, Commands)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from campaigns.accounts import permissions
from campaigns.core import queue
from campaigns.core.actors import Person
from campaigns.core.kept_text import keep as _
from deliveries.ledger import statuses
from deliveries.ledger.audit import audited
from deliveries.ledger.events import log_event
from deliveries.models import Delivery, SendingLog
from deliveries.models.states import ENDED, Act, advance
from deliveries.preparation.times.validity import EFFECTIVE_LIMIT

from .commands import Refused, ask


def number_missing(delivery: Delivery) -> int:
    """How many messages complete_missing would send: never attempted, or failed for a reason that may pass."""
    return statuses.missing(SendingLog.objects.filter(delivery=delivery, batch__isnull=False)).count()


@audited("complete")
def complete_missing(delivery: Delivery, by: Person, *, validity_end: datetime | None = None) -> int:
    """Send to the never attempted and the temporarily failed of a delivery that was stopped or has finished.

    In: `validity_end`, needed if the old validity is over; at most 3.5 days from now count. Out: how many are sent.
    Raises PermissionDenied; Refused('not_ended'), Refused('validity_over'), Refused('nothing_missing').
    """
    ask(permissions.require_start, delivery, by, "complete")
    limit = _limit(delivery, validity_end)
    one = Delivery.objects.filter(pk=delivery.pk)
    number = 0
    for batch_id in list(delivery.batches.order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            sent = statuses.send_missing(batch_id)
            # Workers may have finished the first batches while the next ones are prepared.
            if sent and not advance(one, Act.COMPLETE if not number else Act.REOPEN, **_going_on(limit)) and not number:
                transaction.set_rollback(True)
                delivery.refresh_from_db()
                raise Refused(
                    "not_ended",
                    _(
                        "%(delivery)s has not ended: it is “%(state)s”.",
                        delivery=delivery,
                        state=delivery.get_state_display(),
                    ),
                )
            if sent and not number:
                log_event(delivery, "completing", _("Going on with what is missing, decided %(by)s.", by=by), user=by)
            number += sent
    if not number:
        raise Refused("nothing_missing", _("Nothing is missing: every message was sent, or refused for good."))
    log_event(
        delivery,
        "completed_missing",
        _("%(number)s messages are sent that were missing.", number=number),
        user=by,
        number=number,
    )
    queue.enqueue(queue.Task.ENQUEUE_BATCHES, delivery.pk)
    delivery.refresh_from_db()
    return number


def _going_on(limit: datetime) -> dict[str, Any]:
    return {"finished_at": None, "validity_end": limit, "hindrance": "", "hindered_since": None}


def _limit(delivery: Delivery, wanted: datetime | None) -> datetime:
    """Until when the rest may leave."""
    delivery.refresh_from_db()
    if delivery.confirmed_at is None:
        raise Refused("not_ended", _("%(delivery)s was never confirmed.", delivery=delivery))
    if delivery.state not in ENDED or not delivery.confirmed_at:
        raise Refused(
            "not_ended",
            _("%(delivery)s has not ended: it is “%(state)s”.", delivery=delivery, state=delivery.get_state_display()),
        )
    now = timezone.now()
    end = min(wanted, now + EFFECTIVE_LIMIT) if wanted else delivery.validity_end
    if end is None or end <= now:
        raise Refused("validity_over", _("The validity is over: say until when the messages may leave."))
    return end
