"""Everything that staff, programs and schedules can do to a delivery: one function an act, called by all of them.

Each takes the delivery and `by`, the user who acts; asks campaigns/accounts/permissions.py; changes the state through
states.py; and writes the delivery's log in the same transaction. PermissionDenied: the role is missing. Refused: the
act cannot be done now, with a code for programs and words for people.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_noop

from campaigns.accounts import permissions
from campaigns.core import account_names, queue
from campaigns.core.actors import Person
from campaigns.core.kept_text import keep as _
from campaigns.models import Campaign, Message
from deliveries.ledger import reports, statuses
from deliveries.ledger.audit import audited
from deliveries.ledger.errors import Refused as Refused
from deliveries.ledger.events import log_event
from deliveries.lifecycle.confirming import approvals, four_eyes, rerouting, seen_form
from deliveries.models import Delivery, DeliveryEvent, Routing
from deliveries.models.states import EDITABLE, PREPARING, Act, State, advance
from deliveries.preparation import prepare as preparing
from deliveries.preparation import sealing
from deliveries.preparation.sealing import changed_since_prepared
from deliveries.preparation.times import validity, waves
from deliveries.preparation.unattended import series_seal, unasked

logger = logging.getLogger("deliveries.lifecycle.commands")

_DONE = {
    "paused": gettext_noop("Paused by %(by)s."),
    "resumed": gettext_noop("Resumed by %(by)s."),
    "stopped": gettext_noop("Stopped by %(by)s."),
}


@audited("create")
def create_delivery(message: Message, by: Person) -> Delivery:
    """The message's delivery that is not confirmed yet, made if there is none. Raises PermissionDenied."""
    permissions.require_prepare(by, message.campaign)
    with transaction.atomic():
        Message.objects.select_for_update().get(pk=message.pk)  # two clicks must not make two
        open_one = message.deliveries.filter(parent=None, state__in=EDITABLE | PREPARING).first()
        if open_one is not None:
            return open_one
        if message.locked_at:
            raise Refused("message_sent", _("This message was confirmed already; duplicate it to send it again."))
        routing = Routing.objects.filter(is_default=True, enabled=True).first()
        delivery = Delivery.objects.create(
            message=message, campaign=message.campaign, label=message.label, routing=routing, created_by=by
        )
        log_event(delivery, "created", _("Created by %(by)s.", by=by), user=by)
    return delivery


@audited("prepare")
def prepare(delivery: Delivery, by: Person, *, seen: str | None = None) -> None:
    """Start a preparation in the background; only what stands now may then start by itself (unasked.py).

    In: `seen`, the word of the form that `by` looked at, None where the caller vouches for it; it matters where the
    delivery is to start by itself. Raises PermissionDenied, Refused('not_editable'), Refused('series'),
    Refused('form_differs', …, changed=[parts]).
    """
    # The message may have moved to another campaign: preparing takes the delivery along.
    ask(permissions.require_prepare, delivery, by, "prepare", delivery.message.campaign)
    if delivery.is_series:
        raise Refused("series", _("This is a series: each of its executions is prepared when its time comes."))
    with transaction.atomic():
        message = Message.objects.select_for_update().get(pk=delivery.message_id)
        seen_form.refuse_moved(delivery, message)
        form = sealing.form(delivery, message)
        if unasked.is_wanted(delivery, message):
            seen_form.refuse(seen or None, form)
        also = {"prepared_by": by, "asked_for": form, **unasked.asked(delivery, message, by)}
        _begin_preparing(delivery, message, _("Preparation started by %(by)s.", by=by), by, **also)
    delivery.refresh_from_db()


def prepare_by_schedule(execution: Delivery) -> None:
    """Prepare an execution of a series in the form that its owner saw, in nobody's name if that is not known.

    Raises PermissionDenied if the owner has lost the role, Refused('not_editable').
    """
    seal = series_seal.of(execution.parent_id)
    owner = seal.seen_by if seal else None
    if owner is not None:
        ask(permissions.require_prepare, execution, owner, "prepare", execution.message.campaign)
    with transaction.atomic():
        message = Message.objects.select_for_update().get(pk=execution.message_id)
        also = {"prepared_by": owner, "asked_for": seal.form if seal else {}}
        _begin_preparing(execution, message, _("Preparation started, as the series says."), None, **also)
    execution.refresh_from_db()


def _begin_preparing(delivery: Delivery, message: Message, words: str, user: Person | None, **also: Any) -> None:
    started = advance(
        Delivery.objects.filter(pk=delivery.pk),
        Act.PREPARE,
        preparation=F("preparation") + 1,
        preparation_at=timezone.now(),
        prepared_by_name="",
        progress=0,
        campaign=message.campaign_id,
        **({} if delivery.parent_id else {"label": message.label}),
        **also,
    )
    if not started:
        raise _not_now(delivery, "not_editable", _("prepared"))
    preparing.void(delivery.pk)
    log_event(delivery, "preparation_started", words, user=user)
    queue.enqueue(queue.Task.PREPARE_DELIVERY, delivery.pk)


@audited("stop_preparation")
def stop_preparation(delivery: Delivery, by: Person) -> None:
    """Stop a running preparation; nothing stays behind. Raises PermissionDenied, Refused('not_preparing')."""
    ask(permissions.require_prepare, delivery, by, "stop the preparation of")
    with transaction.atomic():
        if not advance(Delivery.objects.filter(pk=delivery.pk), Act.STOP_PREPARATION, progress=0):
            raise _not_now(delivery, "not_preparing", _("stopped preparing"))
        preparing.void(delivery.pk)
        log_event(delivery, "preparation_stopped", _("Preparation stopped by %(by)s.", by=by), user=by)
        queue.enqueue(queue.Task.CLEAR_PREPARATION, delivery.pk)
    delivery.refresh_from_db()


@audited("confirm")
def confirm(delivery: Delivery, by: Person, *, seen: str | None = None) -> None:
    """Confirm the send: messages leave once the time to undo it is over. Asks role, state and seal in one transaction.

    In: `seen`, the word of the fingerprint or form that `by` looked at, None where the caller vouches for it (a command
    line). Raises PermissionDenied; Refused('form_unseen') for an empty word; Refused('already_confirmed') with who and
    when, Refused('not_ready'), Refused('expired'), Refused('own_preparation') or Refused('preparer_unknown') where the
    campaign wants another person, Refused('unapproved') where it wants an approval, Refused('changed', …,
    changed=[parts]) when something differs from what was prepared, or Refused('form_differs', …, changed=[parts]) when
    it was prepared anew since.
    """
    undo = timedelta(seconds=settings.UNDO_SECONDS)
    words = _("Send confirmed by %(by)s", by=by)
    _confirm(delivery, by, words, seen=seen, undo_until=timezone.now() + undo if undo else None)


@audited("confirm")
def confirm_unasked(delivery: Delivery) -> None:
    """Confirm a delivery that was prepared to start by itself, in the name of whoever saw it so (unasked.py).

    Raises what `confirm` raises; Refused('no_owner'), Refused('overdue'), Refused('asks').
    """
    delivery.refresh_from_db()
    by = unasked.confirmer(delivery)
    words = _("Starts by itself, as the schedule says, in the name of %(by)s", by=by)
    _confirm(delivery, by, words, alone=True, starts_by_itself=False)


def _confirm(
    delivery: Delivery, by: Person, words: str, *, seen: str | None = None, alone: bool = False, **also: Any
) -> None:
    ask(permissions.require_start, delivery, by, "confirm")
    with transaction.atomic():
        # Locking the message keeps an edit from slipping in between the comparison and the change of state.
        message = Message.objects.select_for_update().get(pk=delivery.message_id)
        delivery.refresh_from_db()
        delivery.message = message
        _refuse_stale(delivery)
        if alone and unasked.confirmer(delivery) != by:  # it was prepared for another meanwhile
            raise _not_ready(delivery)
        _refuse_own(delivery, by)
        if why := approvals.missing(delivery):
            raise Refused("unapproved", why)
        seen_form.refuse(seen, sealing.prepared_form(delivery), delivery.fingerprint)
        now = timezone.now()
        start, last = validity.due_times(delivery, now)
        last = max(last, waves.last(delivery, start))
        confirmed = advance(
            Delivery.objects.filter(pk=delivery.pk, preparation=delivery.preparation),
            Act.CONFIRM,
            confirmed_by=by,
            confirmed_by_name="",
            confirmed_at=now,
            contact_date=start,
            validity_end=validity.sending_limit(message, last),
            start_by=validity.start_by(start, now),
            **rerouting.confirmed(delivery),
            **also,
            feedback_service=delivery.routing.feedback_service if delivery.routing else False,
            retry_by=delivery.routing.retry_by if delivery.routing else Routing.Retries.US,
        )
        if not confirmed:
            raise _not_ready(delivery)
        if delivery.parent_id is None:  # a series goes on with what is written next
            Message.objects.filter(pk=message.pk).update(locked_at=now)
        waves.set_going(delivery, start)
        log_event(
            delivery,
            "confirmed",
            _("%(what)s: %(n)s messages.", what=words, n=delivery.to_deliver),
            user=by,
        )
        queue.enqueue(queue.Task.START_DELIVERY, delivery.pk)
    delivery.refresh_from_db()


@audited("undo")
def undo_confirmation(delivery: Delivery, by: Person) -> None:
    """Take a confirmation back before anything has left; the message can be edited again.

    Raises PermissionDenied, Refused('already_started').
    """
    ask(permissions.require_start, delivery, by, "undo the confirmation of")
    with transaction.atomic():
        if not unconfirm(delivery):
            raise _not_now(delivery, "already_started", _("taken back"))
        log_event(
            delivery, "confirmation_undone", _("Confirmation undone by %(by)s; nothing has left.", by=by), user=by
        )
    delivery.refresh_from_db()


def unconfirm(delivery: Delivery, **also: Any) -> bool:
    """Start pending → Ready, as if it had never been confirmed, in the caller's transaction. Out: False if not so."""
    message = Message.objects.select_for_update().get(pk=delivery.message_id)
    nothing = dict.fromkeys(("confirmed_by", "confirmed_at", "contact_date", "validity_end", "undo_until", "start_by"))
    one = Delivery.objects.filter(pk=delivery.pk)
    if not advance(one, Act.UNCONFIRM, **nothing, confirmed_by_name="", **also):
        return False
    if not message.deliveries.filter(confirmed_at__isnull=False, parent=None).exists():
        Message.objects.filter(pk=message.pk).update(locked_at=None)
    return True


@audited("pause")
def pause(delivery: Delivery, by: Person) -> None:
    """Stop taking rows; those in flight finish. Raises PermissionDenied, Refused('not_running')."""
    ask(permissions.require_start, delivery, by, "pause")
    _run(delivery, by, Act.PAUSE, "paused", "not_running")


@audited("resume")
def resume(delivery: Delivery, by: Person) -> None:
    """Go on with exactly the unsent rows. Raises PermissionDenied, Refused('not_paused')."""
    ask(permissions.require_start, delivery, by, "resume")
    now = timezone.now()
    start_by = validity.start_by(delivery.contact_date or now, now)
    fresh = Delivery.objects.select_related("campaign", "routing").get(pk=delivery.pk)
    also = {"paused_from": None, "start_by": start_by, **rerouting.resumed(fresh)}
    _run(delivery, by, Act.RESUME, "resumed", "not_paused", **also)
    queue.enqueue(queue.Task.ENQUEUE_BATCHES, delivery.pk)


@audited("stop")
def stop(delivery: Delivery, by: Person) -> None:
    """End the sending for good; unsent rows become Delivery canceled.

    Raises PermissionDenied, Refused('not_running').
    """
    ask(permissions.require_start, delivery, by, "stop")
    _run(delivery, by, Act.STOP, "stopped", "not_running", finished_at=timezone.now(), hindrance="")
    statuses.cancel_unsent(delivery.pk)
    reports.end_retries(delivery.pk, ours_alone=True)
    delivery.refresh_from_db()


def _run(delivery: Delivery, by: Person, act: Act, past: str, code: str, **also: Any) -> None:
    with transaction.atomic():
        if not advance(Delivery.objects.filter(pk=delivery.pk), act, **also):
            raise _not_now(delivery, code, _(past))
        log_event(delivery, past, _(_DONE[past], by=by), user=by)
    delivery.refresh_from_db()


def ask(require: Any, delivery: Delivery, by: Person, act: str, *also: Campaign) -> None:
    """Ask for the role in the delivery's campaign, and in those of `also`; a refusal is written down, since somebody
    tried what they may not. In: `act` in words, as in "tried to … this delivery". Raises PermissionDenied."""
    try:
        for campaign in (delivery.campaign, *also):
            require(by, campaign)
    except PermissionDenied as error:
        logger.warning("%s may not %s %s", by, act, delivery.code)
        log_event(
            delivery,
            "denied",
            _("%(by)s tried to %(act)s this delivery without the role.", by=by, act=act),
            user=by,
            severity=DeliveryEvent.Severity.WARNING,
        )
        raise error


def _refuse_stale(delivery: Delivery) -> None:
    if delivery.state != State.READY:
        raise _not_ready(delivery)
    if delivery.expires_at and delivery.expires_at <= timezone.now():
        raise Refused("expired", _("Too late: the next execution is due, or the validity is over."))
    changed = changed_since_prepared(delivery)
    if changed:
        raise Refused(
            "changed",
            _("Changed since the preparation: %(names)s. Prepare again.", names=", ".join(changed)),
            changed=changed,
        )


def _refuse_own(delivery: Delivery, by: Person) -> None:
    if delivery.campaign.four_eyes:
        words = _("This campaign wants another person to confirm than the one who prepared. Ask somebody else to.")
        four_eyes.require(delivery, by, words)


def _not_ready(delivery: Delivery) -> Refused:
    delivery.refresh_from_db()
    if delivery.confirmed_at:
        when, who = timezone.localtime(delivery.confirmed_at), account_names.name_of(delivery, "confirmed_by")
        return Refused(
            "already_confirmed",
            _(
                "Already confirmed by %(who)s on %(when)s.",
                who=who,
                when=f"{when:%Y-%m-%d %H:%M:%S}",
            ),
            by=who,
            at=delivery.confirmed_at.isoformat(),
        )
    return _not_now(delivery, "not_ready", _("confirmed"))


def _not_now(delivery: Delivery, code: str, past: str) -> Refused:
    delivery.refresh_from_db()
    return Refused(
        code,
        _(
            "%(delivery)s cannot be %(past)s: it is “%(state)s”.",
            delivery=delivery,
            past=past,
            state=delivery.get_state_display(),
        ),
        state=int(delivery.state),
    )
