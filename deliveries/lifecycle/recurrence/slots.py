"""The execution of one slot of a series, as a row: made once, whoever makes it; executions.py prepares it."""

from __future__ import annotations

from datetime import datetime

from campaigns.core import formats
from campaigns.core.kept_text import keep as _
from campaigns.models.schedule import Recurrence
from deliveries.ledger.events import log_event
from deliveries.models import Delivery
from deliveries.preparation.times import validity


def series_of(recurrence: Recurrence) -> Delivery | None:
    """The parent of the recurrence's executions, once there is one."""
    return Delivery.objects.filter(message=recurrence.message_id, parent=None).order_by("pk").first()


def make(recurrence: Recurrence, series: Delivery, slot: datetime) -> Delivery | None:
    """The execution of one slot, which the schedule made and nobody; None if it is there already."""
    execution, new = Delivery.objects.get_or_create(
        parent=series,
        slot=slot,
        defaults={
            "message": recurrence.message,
            "campaign": series.campaign,
            "routing": series.routing,
            "period": recurrence.period(slot),
            "label": f"[{slot.astimezone(recurrence.zone):%Y/%m/%d}] {recurrence.message.label}"[:128],
            "expires_at": validity.sending_limit(recurrence.message, slot),
        },
    )
    if not new:
        return None
    words = _("Execution of %(code)s for %(when)s.", code=series.code, when=formats.moment(slot, recurrence.time_zone))
    log_event(execution, "created", words)
    return execution
