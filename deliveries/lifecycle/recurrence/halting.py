"""A series that goes off by itself, or by a change of its recurrence: a line in its log, and a notice to its people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils.translation import gettext

from campaigns.accounts import permissions, staff_mail
from campaigns.accounts.staff_mail import Notice
from campaigns.audit import trail
from campaigns.core import queue
from campaigns.core.actors import Person
from campaigns.core.kept_text import keep as _
from campaigns.models.schedule import Recurrence
from deliveries.ledger.events import log_event
from deliveries.models import Delivery, DeliveryEvent

from . import slots

HALTED = "series_halted"


def on_change(sender: Any, recurrence: Recurrence, changed: Sequence[str], **_also: Any) -> None:
    """Somebody changed when a series is executed that asks nobody, so it went off; in the transaction of the change."""
    blanks: dict[str, Any] = {"names": ", ".join(name.replace("_", " ") for name in changed), "next": _NEXT}
    if by := _who():
        words = _(
            "The series is off: %(by)s changed %(names)s, and executions would start unasked. %(next)s", by=by, **blanks
        )
    else:
        words = _("The series is off: %(names)s changed, and executions would start unasked. %(next)s", **blanks)
    _note(recurrence, words, by)


def on_delete(sender: Any, instance: Recurrence, **_also: Any) -> None:
    """The recurrence of a series is deleted; in the transaction of that."""
    if Recurrence.objects.filter(pk=instance.pk, next_at__isnull=False).exists():
        by = _who()
        told = _("The series is off: %(by)s deleted its recurrence.", by=by) if by else ""
        _note(instance, told or _("The series is off: its recurrence was deleted."), by)


_NEXT = _("Somebody with “Start deliveries” can look at it and switch it on again.")


def _note(recurrence: Recurrence, words: str, by: Person | None) -> None:
    series = slots.series_of(recurrence)
    if series is not None:
        log_event(series, HALTED, words, user=by, severity=DeliveryEvent.Severity.WARNING)
        queue.enqueue(queue.Task.TELL_SERIES_OFF, series.pk)


def _who() -> Person | None:
    """Whose request it is, None for a program."""
    key = getattr(trail.current().user, "pk", None)
    return get_user_model()._default_manager.filter(pk=key).first() if key else None


def tell(series_id: int) -> None:
    """Mail the owner of a series that went off, and those who may start it, what its log says."""
    series = Delivery.objects.select_related("campaign", "message__campaign").filter(pk=series_id).first()
    event = DeliveryEvent.objects.filter(delivery=series_id, code=HALTED).order_by("-pk").first()
    if series is None or event is None:
        return
    people = set(permissions.who_may_start(series.campaign)) | set(permissions.who_may_start(series.message.campaign))
    seal = getattr(series, "series_seal", None)
    if seal and seal.seen_by:
        people.add(seal.seen_by)
    link = f"{settings.PUBLIC_URL}{series.get_absolute_url()}"

    def write() -> staff_mail.Mail:
        subject = gettext("Switched off: %s") % series
        return staff_mail.Mail(subject, f"{event.words}\n\n{link}\n")

    staff_mail.tell_each(Notice.SERIES, people, write)
