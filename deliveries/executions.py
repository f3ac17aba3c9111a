"""Recurrences: a series is switched on, and each of its slots becomes one execution, a delivery of its own; with
aggregation, the slots of a period are runs of one execution (appending.py).

`tick` is called by every sweeper, on any number of hosts: the recurrence's row is locked while its due slots are made,
and the database takes each slot once (UNIQUE(parent, slot)), whatever clocks do. A slot is never skipped: those that
were missed while nobody ran are made, too, as executions that expired.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from campaigns import access, schedules
from campaigns.recurrence import Recurrence
from campaigns.said import said as _

from . import appending, commands, doorbells, ledger, preparing, validity, wording
from .audited import audited
from .commands import Refused, ask
from .models import Delivery, DeliveryEvent, log_event
from .states import EDITABLE, Act, State, advance

logger = logging.getLogger("deliveries.executions")

AT_ONCE = 100  # slots made in one transaction; the rest comes in the next round


@audited("start_series")
def start_series(delivery: Delivery, by: Any, now: datetime | None = None) -> None:
    """Switch the recurrence of the delivery's message on, in the name of `by`: its slots from `now` on are executed.

    In: the message's own delivery, which becomes the series. Raises PermissionDenied (an unconfirmed execution takes
    the role Start deliveries), Refused('not_recurring'), Refused('already_on'), Refused('no_slots').
    """
    unconfirmed = Recurrence.objects.filter(message=delivery.message_id, request_confirmation=False).exists()
    ask(access.require_start if unconfirmed else access.require_prepare, delivery, by, "switch on the series of")
    recurrence = _recurrence(delivery)
    slots = recurrence.upcoming(now or timezone.now(), 1)
    if not slots:
        raise Refused("no_slots", _("This recurrence never comes true again. Change it first."))
    with transaction.atomic():
        off = Recurrence.objects.filter(pk=recurrence.pk, next_at=None)
        if not off.update(next_at=slots[0], owner=by):
            raise Refused("already_on", _("This series is on already."))
        if advance(Delivery.objects.filter(pk=delivery.pk), Act.DISCARD):
            preparing.void(delivery.pk)
            doorbells.ring_clearing(delivery.pk)
        words = _(
            "Series switched on by %(by)s; the first execution: %(when)s.",
            by=by,
            when=wording.moment(slots[0], recurrence.time_zone),
        )
        log_event(delivery, "series_on", words, user=by)
    delivery.refresh_from_db()


@audited("stop_series")
def stop_series(delivery: Delivery, by: Any) -> None:
    """Switch the series off: no more executions are made; those that are there stay as they are.

    Raises PermissionDenied, Refused('not_recurring'), Refused('already_off').
    """
    ask(access.require_prepare, delivery, by, "switch off the series of")
    recurrence = _recurrence(delivery)
    if not _switch_off(recurrence, delivery.pk, "series_off", _("Series switched off by %(by)s.", by=by), user=by):
        raise Refused("already_off", _("This series is off already."))


def switch_off_all(reason: str) -> None:
    """Switch every series off. In: why, as a sentence."""
    for recurrence in Recurrence.objects.filter(next_at__isnull=False):
        series = series_of(recurrence)
        _switch_off(
            recurrence,
            series.pk if series else None,
            "series_halted",
            _("%(reason)s The series is off.", reason=reason),
            severity=1,
        )


def _recurrence(delivery: Delivery) -> Recurrence:
    if not delivery.is_series:
        raise Refused("not_recurring", _("This message has no recurrence."))
    return Recurrence.objects.get(message=delivery.message_id)


def _switch_off(recurrence: Recurrence, series: int | None, code: str, words: str, **also: Any) -> bool:
    with transaction.atomic():
        if not Recurrence.objects.filter(pk=recurrence.pk, next_at__isnull=False).update(next_at=None):
            return False
        if series is not None:
            log_event(series, code, words, **also)
    return True


def series_of(recurrence: Recurrence) -> Delivery | None:
    """The parent of the recurrence's executions, once there is one."""
    return Delivery.objects.filter(message=recurrence.message_id, parent=None).order_by("pk").first()


# --- slots ------------------------------------------------------------------------------------------------------------


def tick(now: datetime | None = None) -> None:
    """Make the executions whose slots have come. In: the time, for tests; the server's otherwise."""
    now = now or timezone.now()
    for pk in list(Recurrence.objects.filter(next_at__lte=now).values_list("pk", flat=True)):
        try:
            newest = _make_due(pk, now)
            if newest is not None:
                _prepare(newest, now)
        except Exception:  # a broken series must not keep the others from going on
            logger.exception("recurrence %s: its slot could not be executed; it is tried again", pk)


def _make_due(recurrence_id: int, now: datetime) -> Delivery | None:
    """Make all due slots of one recurrence. Out: the execution of the last one, which is to be prepared."""
    with transaction.atomic():
        locked = Recurrence.objects.select_for_update(of=("self",)).select_related("message__campaign", "owner")
        recurrence = locked.filter(pk=recurrence_id, next_at__lte=now).first()
        series = series_of(recurrence) if recurrence else None
        if recurrence is None or recurrence.next_at is None or series is None:
            return None  # another sweeper was first
        halted = _why_not(recurrence)
        if halted:
            _switch_off(recurrence, series.pk, "series_halted", halted, severity=DeliveryEvent.Severity.ERROR)
            return None
        slots = [recurrence.next_at, *recurrence.upcoming(recurrence.next_at, AT_ONCE)]
        due = [slot for slot in slots[:AT_ONCE] if slot <= now]
        following = slots[len(due)] if len(due) < len(slots) else None
        made = [execution for slot in due if (execution := _land_or_make(recurrence, series, slot, now))]
        Recurrence.objects.filter(pk=recurrence.pk).update(next_at=following)
        if following is None:
            log_event(series, "series_over", _("That was the last execution: the recurrence has ended."))
        more = following is not None and following <= now  # than was made at once
        for missed in made if more else made[:-1]:
            _expire(
                missed, "missed", _("Missed: it was due while the system was down, and a later one is due already.")
            )
    return made[-1] if made and not more else None


def _why_not(recurrence: Recurrence) -> str:
    """Why the series cannot go on in its owner's name; empty if it can."""
    owner, campaign = recurrence.owner, recurrence.message.campaign
    may = access.may_prepare if recurrence.request_confirmation else access.may_start
    if owner is None or not may(owner, campaign):
        whose = str(owner) if owner else _("its owner")
        return _(
            "The series is off: %(owner)s does not hold the role any more. Another may start it.",
            owner=whose,
        )
    if recurrence.time_zone and schedules.named(recurrence.time_zone) is None:
        return _("The series is off: %(zone)s is no time zone.", zone=recurrence.time_zone)
    try:
        schedules.check_cron(recurrence.expression)
    except schedules.BadRecurrence as error:
        return _("The series is off: %(error)s", error=error.args[0])
    return ""


def _land_or_make(recurrence: Recurrence, series: Delivery, slot: datetime, now: datetime) -> Delivery | None:
    """Add the slot to the execution of its period; else make its own. Out: the execution, if it is new."""
    execution = appending.landing(recurrence, series, slot)
    if execution is None:
        return _make(recurrence, series, slot)
    appending.land(series, execution, slot, late=_is_late(slot, now))
    return None


def _is_late(slot: datetime, now: datetime) -> bool:
    return now > slot + timedelta(minutes=settings.START_GRACE_MINUTES)


def _make(recurrence: Recurrence, series: Delivery, slot: datetime) -> Delivery | None:
    """The execution of one slot; None if it is there already."""
    execution, new = Delivery.objects.get_or_create(
        parent=series, slot=slot,
        defaults={
            "message": recurrence.message, "campaign": series.campaign, "created_by": recurrence.owner,
            "routing": series.routing, "period": recurrence.period(slot),
            "label": f"[{slot.astimezone(recurrence.zone):%Y/%m/%d}] {recurrence.message.label}"[:128],
            "expires_at": validity.sending_limit(recurrence.message, slot),
        },
    )  # fmt: skip
    if not new:
        return None
    words = _("Execution of %(code)s for %(when)s.", code=series.code, when=wording.moment(slot, recurrence.time_zone))
    log_event(execution, "created", words, user=recurrence.owner)
    return execution


def _prepare(execution: Delivery, now: datetime) -> None:
    """Prepare it in the owner's name; it then starts by itself, or waits for a confirmation."""
    found = Recurrence.objects.filter(message=execution.message_id)
    recurrence = found.select_related("owner", "message__campaign").first()
    halted = _why_not(recurrence) if recurrence else _("Its series has no recurrence any more.")
    if recurrence is None or halted:
        _expire(execution, "series_halted", halted)
        return
    assert execution.slot is not None
    late = _is_late(execution.slot, now)
    asked = recurrence.request_confirmation or late
    until = [at for at in (execution.expires_at, recurrence.next_at if asked else None) if at]
    Delivery.objects.filter(pk=execution.pk).update(starts_by_itself=not asked, asks=asked, expires_at=min(until))
    if late and not recurrence.request_confirmation:
        words = _("It comes late, because the system was down: it waits for somebody to confirm it.")
        log_event(execution, "overdue", words, severity=DeliveryEvent.Severity.WARNING)
    execution.refresh_from_db()
    try:
        commands.prepare(execution, recurrence.owner)
    except (Refused, PermissionDenied) as error:
        logger.warning("%s could not be prepared: %s", execution, error)


def prepare_forgotten() -> None:
    """Executions whose maker died before it prepared them."""
    made = Delivery.objects.filter(parent__isnull=False, state=State.EDITING, preparation=0)
    for execution in made.filter(created_at__lt=timezone.now() - timedelta(seconds=30)):
        _prepare(execution, timezone.now())


# --- requests that nobody answered ------------------------------------------------------------------------------------


def expire_requests() -> None:
    """Executions that nobody confirmed before the next one was due, or before their validity ended."""
    waiting = Delivery.objects.filter(parent__isnull=False, state__in=EDITABLE, starts_by_itself=False)
    for execution in waiting.filter(expires_at__lte=Now()):
        _expire(execution, "request_expired", _("Expired: nobody confirmed it before the next one was due."))


def _expire(execution: Delivery, code: str, words: str) -> None:
    with transaction.atomic():
        ended = {"finished_at": timezone.now(), "starts_by_itself": False, "asks": False}
        if not advance(Delivery.objects.filter(pk=execution.pk), Act.EXPIRE_REQUEST, **ended):
            return
        log_event(execution, code, words, severity=DeliveryEvent.Severity.WARNING)
        if code == "request_expired":
            doorbells.ring_expired(execution.pk)
    ledger.cancel_unsent(execution.pk)
