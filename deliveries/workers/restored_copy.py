"""What is done when the database turns out to be a restored copy: nothing leaves before somebody has looked."""

from __future__ import annotations

import logging

from django.db import transaction
from django.utils import timezone

from campaigns.core.kept_text import keep as _
from deliveries.ledger.events import log_event
from deliveries.lifecycle import auto_start
from deliveries.lifecycle.recurrence import executions
from deliveries.models import Delivery, DeliveryEvent
from deliveries.models.host import restored_database
from deliveries.models.states import SENDING, Act, State, advance

logger = logging.getLogger("deliveries.workers.restored_copy")

REASON = _("This database was restored from a copy: it does not know what left after the copy was made.")


def look() -> None:
    """First of all in every task: is this the database that this host knows? If not, stop what it would send."""
    if restored_database.is_restored():
        logger.error("the database was restored from a copy: nothing leaves before somebody confirms it")
        hold_everything(REASON)
        restored_database.accept()


def hold_everything(reason: str) -> None:
    """What waits is to be confirmed again, what runs is paused, series are off. In: why, as a sentence."""
    Delivery.objects.filter(starts_by_itself=True).update(starts_by_itself=False)
    for delivery in auto_start.with_message(Delivery.objects.filter(state=State.START_PENDING)):
        auto_start.unconfirm(
            delivery, "distrusted", _("%(why)s Nothing has left; confirm it again if it shall.", why=reason)
        )
    for pk in list(Delivery.objects.filter(state__in=SENDING).values_list("pk", flat=True)):
        with transaction.atomic():
            if advance(Delivery.objects.filter(pk=pk, state__in=SENDING), Act.PAUSE):
                words = _("%(why)s Paused: look what has left already, then resume or stop it.", why=reason)
                log_event(pk, "distrusted", words, severity=DeliveryEvent.Severity.WARNING)
    for pk in list(Delivery.everything.filter(proof__isnull=False, state__in=SENDING).values_list("pk", flat=True)):
        advance(Delivery.everything.filter(pk=pk), Act.STOP, finished_at=timezone.now())  # another can be sent any time
    executions.switch_off_all(reason)
