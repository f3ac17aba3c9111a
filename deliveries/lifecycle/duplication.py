"""A copy of a delivery, to send it again or something like it: the message and its routing, nothing that happened."""

from __future__ import annotations

from django.db import transaction

from campaigns.core.actors import Person
from campaigns.core.kept_text import keep as _
from campaigns.messages.duplication import duplicate as duplicate_message
from deliveries.ledger.audit import audited
from deliveries.ledger.events import log_event
from deliveries.models import Delivery

from . import commands


@audited("duplicate")
def duplicate(delivery: Delivery, by: Person) -> Delivery:
    """Copy the delivery's message and make the copy's delivery: unprepared, without schedule, logs or figures.

    Unless it is scheduled anew it leaves once confirmed, and its log says so. Raises PermissionDenied.
    """
    with transaction.atomic():
        copy = commands.create_delivery(duplicate_message(delivery.message, by), by)
        if delivery.routing_id:
            Delivery.objects.filter(pk=copy.pk).update(routing=delivery.routing_id)
        words = _("Copied from %(code)s without its schedule: it leaves once confirmed.", code=delivery.code)
        log_event(copy, "duplicated", words, user=by, original=delivery.pk)
    copy.refresh_from_db()
    return copy
