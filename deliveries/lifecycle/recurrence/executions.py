"""Recurrences: a series is switched on, and each of its slots becomes one execution, a delivery of its own; with
aggregation, the slots of a period are runs of one execution (runs.py).

`tick` is called by every sweeper, on any number of hosts: the recurrence's row is locked while its due slots are made,
and the database takes each slot once (UNIQUE(parent, slot)), whatever clocks do. A slot is never skipped: those that
were missed while nobody ran are made, too, as executions that expired.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from campaigns.accounts import permissions
from campaigns.core import formats, queue
from campaigns.core.actors import Person
from campaigns.core.kept_text import keep as _
from campaigns.models import Message
from campaigns.models.schedule import Recurrence
from campaigns.scheduling import calendar
from deliveries.ledger import statuses
from deliveries.ledger.audit import audited
from deliveries.ledger.events import log_event
from deliveries.lifecycle import commands
from deliveries.lifecycle.commands import Refused, ask
from deliveries.lifecycle.confirming import seen_form
from deliveries.models import Delivery, DeliveryEvent
from deliveries.models.states import EDITABLE, Act, State, advance
from deliveries.preparation import prepare, sealing
from deliveries.preparation.times import validity
from deliveries.preparation.unattended import series_seal

from . import halting, runs, slots

logger = logging.getLogger("deliveries.lifecycle.recurrence.executions")

AT_ONCE = 100  # slots made in one transaction; the rest comes in the next round


@audited("start_series")
def start_series(delivery: Delivery, by: Person, now: datetime | None = None, *, seen: str | None = None) -> None:
    """Switch the recurrence of the delivery's message on, in the name of `by`: its slots from `now` on are executed.

    In: the message's own delivery, which becomes the series; `seen`, the word of the form (sealing.form) that `by`
    looked at, None where the caller vouches that it is the one of now. Raises PermissionDenied (an unconfirmed
    execution takes the role Start deliveries), Refused('not_recurring'), Refused('already_on'), Refused('no_slots');
    for a series that never asks Refused('form_unseen'), Refused('form_differs', …, changed=[parts]).
    """
    unasked = Recurrence.objects.filter(message=delivery.message_id, request_confirmation=False).exists()
    require = permissions.require_start if unasked else permissions.require_prepare
    ask(require, delivery, by, "switch on the series of", delivery.message.campaign)
    with transaction.atomic():
        message, recurrence = _locked(delivery)
        form = sealing.form(delivery, message)
        seen_form.refuse_moved(delivery, message)
        if unasked or not recurrence.request_confirmation:
            permissions.require_start(by, message.campaign)
            seen_form.refuse(seen, form)
        _switch_on(delivery, recurrence, by, now or timezone.now())
        series_seal.keep(delivery, form, by)
    delivery.refresh_from_db()


def _switch_on(delivery: Delivery, recurrence: Recurrence, by: Person, now: datetime) -> None:
    first = next(iter(recurrence.upcoming(now, 1)), None)
    if first is None:
        raise Refused("no_slots", _("This recurrence never comes true again. Change it first."))
    if not Recurrence.objects.filter(pk=recurrence.pk, next_at=None).update(next_at=first, owner=by):
        raise Refused("already_on", _("This series is on already."))
    Delivery.objects.filter(pk=delivery.pk).update(campaign=recurrence.message.campaign_id)
    if advance(Delivery.objects.filter(pk=delivery.pk), Act.DISCARD):
        prepare.void(delivery.pk)
        queue.enqueue(queue.Task.CLEAR_PREPARATION, delivery.pk)
    when = formats.moment(first, recurrence.time_zone)
    words = _("Series switched on by %(by)s; the first execution: %(when)s.", by=by, when=when)
    log_event(delivery, "series_on", words, user=by)


@audited("continue_series")
def continue_series(delivery: Delivery, by: Person, *, seen: str | None = None) -> None:
    """Let a series that is on go on in the form that its message has now, in the name of `by`.

    In: the series; `seen` as in `start_series`. Raises PermissionDenied, Refused('not_recurring'), Refused('off'),
    Refused('unchanged'), Refused('form_unseen'), Refused('form_differs', …, changed=[parts]).
    """
    ask(permissions.require_start, delivery, by, "continue the series of", delivery.message.campaign)
    with transaction.atomic():
        message, recurrence = _locked(delivery)
        form = sealing.form(delivery, message)
        seen_form.refuse_moved(delivery, message)
        seen_form.refuse(seen, form)
        if recurrence.next_at is None:
            raise Refused("off", _("This series is off. Switch it on: that is in the form of now."))
        why = series_seal.differing(series_seal.of(delivery.pk), form)
        if not why:
            raise Refused("unchanged", _("Nothing has changed since the series was switched on."))
        Recurrence.objects.filter(pk=recurrence.pk).update(owner=by)
        Delivery.objects.filter(pk=delivery.pk).update(campaign=message.campaign_id)
        series_seal.keep(delivery, form, by)
        words = _("Series continued in its form of now by %(by)s. %(why)s", by=by, why=why)
        log_event(delivery, "series_continued", words, user=by)
    delivery.refresh_from_db()


def _locked(delivery: Delivery) -> tuple[Message, Recurrence]:
    """The message with its recurrence, both as they stand until the transaction ends. Raises Refused."""
    message = Message.objects.select_for_update().get(pk=delivery.message_id)
    recurrence = Recurrence.objects.select_for_update().filter(message=message).first()
    if recurrence is None or delivery.parent_id is not None:
        raise _not_recurring()
    recurrence.message = message
    return message, recurrence


@audited("stop_series")
def stop_series(delivery: Delivery, by: Person) -> None:
    """Switch the series off: no more executions are made; those that are there stay as they are.

    Raises PermissionDenied, Refused('not_recurring'), Refused('already_off').
    """
    ask(permissions.require_prepare, delivery, by, "switch off the series of")
    recurrence = _recurrence(delivery)
    if not _switch_off(recurrence, delivery.pk, "series_off", _("Series switched off by %(by)s.", by=by), user=by):
        raise Refused("already_off", _("This series is off already."))


def switch_off_all(reason: str) -> None:
    """Switch every series off. In: why, as a sentence."""
    for recurrence in Recurrence.objects.filter(next_at__isnull=False):
        series = slots.series_of(recurrence)
        _switch_off(
            recurrence,
            series.pk if series else None,
            halting.HALTED,
            _("%(reason)s The series is off.", reason=reason),
            severity=1,
        )


def _recurrence(delivery: Delivery) -> Recurrence:
    if not delivery.is_series:
        raise _not_recurring()
    return Recurrence.objects.get(message=delivery.message_id)


def _not_recurring() -> Refused:
    return Refused("not_recurring", _("This message has no recurrence."))


def _switch_off(recurrence: Recurrence, series: int | None, code: str, words: str, **also: Any) -> bool:
    with transaction.atomic():
        if not Recurrence.objects.filter(pk=recurrence.pk, next_at__isnull=False).update(next_at=None):
            return False
        if series is not None:
            log_event(series, code, words, **also)
    return True


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
        # The message first, as everywhere: an edit holds it while it waits for its recurrence.
        held = Message.objects.select_for_update(of=("self",)).filter(recurrence=recurrence_id)
        if not held.first():
            return None
        locked = Recurrence.objects.select_for_update(of=("self",)).select_related("message__campaign", "owner")
        recurrence = locked.filter(pk=recurrence_id, next_at__lte=now).first()
        series = slots.series_of(recurrence) if recurrence else None
        if recurrence is None or recurrence.next_at is None or series is None:
            return None  # another sweeper was first
        halted = _why_not(recurrence)
        if halted:
            if _switch_off(recurrence, series.pk, halting.HALTED, halted, severity=DeliveryEvent.Severity.ERROR):
                queue.enqueue(queue.Task.TELL_SERIES_OFF, series.pk)
            return None
        coming = [recurrence.next_at, *recurrence.upcoming(recurrence.next_at, AT_ONCE)]
        due = [slot for slot in coming[:AT_ONCE] if slot <= now]
        following = coming[len(due)] if len(due) < len(coming) else None
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
    may = permissions.may_prepare if recurrence.request_confirmation else permissions.may_start
    if owner is None or not may(owner, campaign):
        whose = str(owner) if owner else _("its owner")
        return _(
            "The series is off: %(owner)s does not hold the role any more. Another may start it.",
            owner=whose,
        )
    if recurrence.time_zone and calendar.named(recurrence.time_zone) is None:
        return _("The series is off: %(zone)s is no time zone.", zone=recurrence.time_zone)
    try:
        calendar.check_cron(recurrence.expression)
    except calendar.BadRecurrence as error:
        return _("The series is off: %(error)s", error=error.args[0])
    return ""


def _land_or_make(recurrence: Recurrence, series: Delivery, slot: datetime, now: datetime) -> Delivery | None:
    """Add the slot to the execution of its period; else make its own. Out: the execution, if it is new."""
    execution = runs.open_execution(recurrence, series, slot)
    if execution is None:
        return slots.make(recurrence, series, slot)
    runs.add_run(series, execution, slot, late=validity.is_late(slot, now))
    return None


def _prepare(execution: Delivery, now: datetime) -> None:
    """Prepare it as its owner saw it; it then starts by itself, or waits for a confirmation (unasked.py)."""
    found = Recurrence.objects.filter(message=execution.message_id)
    recurrence = found.select_related("owner", "message__campaign").first()
    halted = _why_not(recurrence) if recurrence else _("Its series has no recurrence any more.")
    if recurrence is None or halted:
        _expire(execution, halting.HALTED, halted)
        return
    assert execution.slot is not None
    late = validity.is_late(execution.slot, now)
    asked = recurrence.request_confirmation or late
    until = [at for at in (execution.expires_at, recurrence.next_at if asked else None) if at]
    Delivery.objects.filter(pk=execution.pk).update(starts_by_itself=not asked, asks=asked, expires_at=min(until))
    if late and not recurrence.request_confirmation:
        words = _("It comes late, because the system was down: it waits for somebody to confirm it.")
        log_event(execution, "overdue", words, severity=DeliveryEvent.Severity.WARNING)
    execution.refresh_from_db()
    try:
        commands.prepare_by_schedule(execution)
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
            queue.enqueue(queue.Task.TELL_EXPIRED, execution.pk)
    statuses.cancel_unsent(execution.pk)
