"""The delivery's log: each line with what is told of it to the audit and to programs."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from campaigns.core.actors import Person
from campaigns.core.kept_text import for_json
from deliveries.models.delivery import Delivery
from deliveries.models.logs import DeliveryEvent

from . import audit, webhooks


def log_event(
    delivery: Delivery | int,
    code: str,
    message: str,
    *,
    user: Person | None = None,
    severity: int = DeliveryEvent.Severity.INFO,
    **details: Any,
) -> DeliveryEvent:
    """Append a line to the delivery's log; `code` is stable for programs, `message` is for people: a sentence that was
    `said` is shown in each reader's language."""
    pk = delivery if isinstance(delivery, int) else delivery.pk
    if template := for_json(message):
        details["said"] = template
    with transaction.atomic(savepoint=False):  # what is told of it is as sure as itself
        event = DeliveryEvent.objects.create(
            delivery_id=pk, code=code, message=message, user=user, severity=severity, details=details
        )
        audit.tell(event)
        webhooks.write(event)
    return event
