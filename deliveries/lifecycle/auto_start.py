"""Confirmed without anybody, and confirmed too long ago: what starts by itself, and what must be asked for again.

The sweeper calls all of it; every function may be called at any time, again, and by several at once.
"""

from __future__ import annotations

import logging

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext

from campaigns.accounts import permissions, staff_mail
from campaigns.accounts.staff_mail import Notice
from campaigns.core import formats, queue
from campaigns.core.kept_text import keep as _
from campaigns.core.translate_kept import translated
from deliveries.ledger.events import log_event
from deliveries.lifecycle.confirming import approvals
from deliveries.models import Delivery, DeliveryEvent
from deliveries.models.states import State
from deliveries.preparation.unattended import series_seal

from . import commands

logger = logging.getLogger("deliveries.lifecycle.auto_start")


def start_unasked() -> None:
    """Confirm what was prepared to start by itself; where that cannot be, people are asked, and the log says why."""
    for delivery in with_message(Delivery.objects.filter(state=State.READY, starts_by_itself=True)):
        try:
            commands.confirm_unasked(delivery)
        except (commands.Refused, PermissionDenied) as error:
            if Delivery.objects.filter(pk=delivery.pk, state=State.READY).update(starts_by_itself=False, asks=True):
                words = _("It does not start by itself: %(error)s It waits for somebody to confirm it.", error=error)
                log_event(delivery, "not_started", words, severity=DeliveryEvent.Severity.WARNING)


def ask_again() -> None:
    """Have what is due since long confirmed again: nobody was there when it was to start, and much may have changed."""
    late = Delivery.objects.filter(state=State.START_PENDING, start_by__lte=Now())
    for delivery in with_message(late):
        words = _(
            "It was to start at %(when)s and did not, because the system was down. "
            "Nothing has left; confirm it again if it still shall.",
            when=formats.moment(delivery.contact_date),
        )
        unconfirm(delivery, "overdue", words)


def unconfirm(delivery: Delivery, code: str, words: str) -> None:
    """Have a confirmed delivery of which nothing has left confirmed again; its log says why, and people are asked."""
    with transaction.atomic():
        if commands.unconfirm(delivery, asks=True):
            log_event(delivery, code, words, severity=DeliveryEvent.Severity.WARNING)


def with_message(deliveries: QuerySet[Delivery]) -> list[Delivery]:
    """The deliveries with what confirming reads."""
    return list(deliveries.select_related("message", "campaign", "routing", "prepared_by"))


def enqueue_requests() -> None:
    """Enqueue each mail that asks for a confirmation."""
    for pk in Delivery.objects.filter(state=State.READY, asks=True).values_list("pk", flat=True):
        queue.enqueue(queue.Task.REQUEST_CONFIRMATION, pk)


def request_confirmation(delivery_id: int) -> None:
    """Tell everybody who may start the delivery that it waits for them; once, whoever calls this how often."""
    if not Delivery.objects.filter(pk=delivery_id, state=State.READY, asks=True).update(asks=False):
        return
    delivery = Delivery.objects.select_related("campaign").get(pk=delivery_id)
    people = permissions.who_may_start(delivery.campaign)
    try:
        number = staff_mail.tell_each(Notice.CONFIRM, people, lambda: _request(delivery), insist=True)
    except staff_mail.Unsent as error:
        logger.error("DM%s: not everybody could be asked to confirm: %s", delivery_id, error)
        words = _("The request for a confirmation could not be mailed: %(error)s", error=error)
        log_event(delivery_id, "request_unsent", words, severity=DeliveryEvent.Severity.WARNING)
        return
    log_event(delivery_id, "confirmation_requested", _("%(number)s people were asked to confirm it.", number=number))


def _request(delivery: Delivery) -> staff_mail.Mail:
    """In the language that is active now."""
    told = gettext(
        "%(delivery)s of the campaign “%(campaign)s” is prepared: %(number)s messages. Nothing leaves until somebody "
        "confirms it."
    ) % {"delivery": delivery, "campaign": delivery.campaign, "number": formats.exact(delivery.to_deliver)}
    parts = [told]
    if changed := series_seal.changed(delivery):
        parts.append(translated(changed))
    if delivery.expires_at:
        parts.append(gettext("It can be confirmed until %s.") % formats.moment(delivery.expires_at))
    if why := approvals.missing(delivery, again=True):
        parts.append(why)
    subject = gettext("Please confirm: %s") % delivery
    return staff_mail.Mail(subject, "\n\n".join([*parts, _link(delivery)]) + "\n")


def tell_expired(delivery_id: int) -> None:
    """Tell those who were asked to confirm an execution that it is too late."""
    delivery = Delivery.objects.select_related("campaign").get(pk=delivery_id)
    words = _("Nobody confirmed %(delivery)s in time. It sends nothing any more.", delivery=delivery)
    people = permissions.who_may_start(delivery.campaign)
    staff_mail.tell(Notice.EXPIRED, people, _("Expired: %(delivery)s", delivery=delivery), words, _link(delivery))


def _link(delivery: Delivery) -> str:
    return f"{settings.PUBLIC_URL}{reverse('admin:deliveries_delivery_change', args=[delivery.pk])}"
