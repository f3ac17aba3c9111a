"""Whether a delivery starts by itself, and in whose name (concepts.md, What starts without being asked).

Somebody with Start deliveries confirms such a start in advance: by asking for the preparation of a message whose
schedule wants no confirmation, or by switching a series on. Their name stands under what they saw, and under nothing
else: what differs once it is prepared is nobody's, and waits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db.models import Max
from django.utils import timezone

from campaigns.accounts import permissions
from campaigns.content.fingerprint import Seal, by_name
from campaigns.core.actors import Person
from campaigns.core.kept_text import keep as _
from campaigns.models import Message, Schedule
from campaigns.models.schedule import Recurrence
from deliveries.ledger.errors import Refused
from deliveries.ledger.events import log_event
from deliveries.models import Delivery, DeliveryEvent
from deliveries.preparation import sealing
from deliveries.preparation.times import validity

from . import series_seal


class Terms(NamedTuple):
    """On which terms a preparation begins: fields of its delivery, and what its log says of them (empty: nothing)."""

    fields: dict[str, Any]
    why: str
    code: str  # of that line

    def tell(self, delivery_id: int) -> None:
        """Write it into the delivery's log, in the caller's transaction."""
        if self.why:
            severity = DeliveryEvent.Severity.WARNING if self.fields.get("asks") else DeliveryEvent.Severity.INFO
            log_event(delivery_id, self.code, self.why, severity=severity)


def terms(delivery: Delivery, message: Message, fingerprint: Seal) -> Terms:
    """Compare what is prepared with what was seen. In: the message under its lock, and its seal for this delivery."""
    form = {**fingerprint, **sealing.around(delivery, message.campaign)}
    wanted = is_wanted(delivery, message)
    if delivery.parent_id is None:
        why = _since_asked(delivery, form, wanted)
    else:
        why = series_seal.differing(series_seal.of(delivery.parent_id), form)
    fields, code = dict[str, Any](starts_by_itself=wanted), "form_changed"
    if wanted and not (why or delivery.starts_by_itself):
        why, code = _("Nobody who may start it asked for it in this form."), "not_started"
    if delivery.asked_for and by_name(delivery.asked_for, form):
        fields["prepared_by"] = None  # nobody asked for this form
    if wanted and why:
        fields |= {"starts_by_itself": False, "asks": True, "expires_at": _until(delivery)}
        why = _("%(why)s It waits for somebody to confirm it.", why=why)
    return Terms(fields, why, code)


def is_wanted(delivery: Delivery, message: Message) -> bool:
    """True if it is to start by itself: by its message's schedule, or, being an execution, as executions.py decided."""
    if delivery.parent_id is not None:
        return delivery.starts_by_itself
    schedule: Schedule | None = getattr(message, "schedule", None)
    return schedule is not None and not schedule.request_confirmation


def asked(delivery: Delivery, message: Message, by: Person) -> dict[str, bool]:
    """The fields of a delivery whose preparation `by` asks for: only who may start it now, with the rights with which
    they ask (a program's token may carry fewer than its owner), has confirmed a start in advance."""
    if delivery.parent_id is not None:
        return {}
    return {"starts_by_itself": is_wanted(delivery, message) and permissions.may_start(by, message.campaign)}


def confirmer(delivery: Delivery) -> Any:
    """In whose name a prepared delivery starts by itself now. Raises Refused, with what stands in the way."""
    if not delivery.starts_by_itself:
        raise Refused("asks", _("Somebody has to confirm it."))
    if delivery.parent_id is None:
        return delivery.prepared_by or _nobodys()
    seal = series_seal.of(delivery.parent_id)
    if why := series_seal.differing(seal, sealing.prepared_form(delivery)):
        raise Refused("changed", why)
    if is_overdue(delivery):
        raise Refused("overdue", _("It comes late."))
    return (seal and seal.seen_by) or _nobodys()


def is_overdue(execution: Delivery) -> bool:
    """True once an execution comes later than its last slot and some grace: that is not when it was to leave."""
    slots = [execution.slot, execution.runs.aggregate(last=Max("slot"))["last"]]
    return validity.is_late(max(slot for slot in slots if slot), timezone.now())


def _nobodys() -> Any:
    raise Refused("no_owner", _("Whoever prepared this is gone, so it cannot start in that name."))


def _since_asked(delivery: Delivery, form: Seal, wanted: bool) -> str:
    if not delivery.asked_for:
        return _("It was asked for before an upgrade: what was seen then is not known.") if wanted else ""
    changed = by_name(delivery.asked_for, form)
    return _("Changed since the preparation was asked for: %(names)s.", names=", ".join(changed)) if changed else ""


def _until(delivery: Delivery) -> Any:
    """Until when it can be confirmed: an execution until the next one is due."""
    recurrence = Recurrence.objects.filter(message=delivery.message_id).first() if delivery.parent_id else None
    ends = [delivery.expires_at, recurrence.next_at if recurrence else None]
    return min((end for end in ends if end), default=None)
