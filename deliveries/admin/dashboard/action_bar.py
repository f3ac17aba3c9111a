"""The dashboard's action bar: which buttons a state has for whom, and why one that is expected is missing.

The same rights that lifecycle/commands.py enforces: buttons spare people a refusal, they protect nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.accounts import permissions
from campaigns.core import formats
from campaigns.core.actors import Actor
from deliveries.lifecycle.confirming import approvals, four_eyes
from deliveries.lifecycle.proofs import proofs
from deliveries.models import Delivery
from deliveries.models.states import CONFIRMED, EDITABLE, ENDED, PREPARING, SENDING, Act, State, allows
from deliveries.preparation.unattended import series_seal


@dataclass(frozen=True)
class Rights:
    """What the user may do in the delivery's campaign. `barred`: another person must prepare or confirm it first;
    `unapproved`: why it lacks the approval that the campaign wants; `test`: there is somebody to send a proof to;
    `proofs`: some were sent or judged."""

    start: bool
    prepare: bool
    barred: bool = False
    unapproved: str = ""
    test: bool = False
    proofs: bool = False


@dataclass(frozen=True)
class Button:
    """One act. `asks`: a page of its own comes first, since the act needs more to be said, or cannot be taken back.
    `leads`: it is a page and no act. `shows`: the page is told which form the dashboard showed."""

    act: str
    label: str
    title: str
    style: str = ""
    asks: bool = False
    leads: bool = False
    shows: bool = False


@dataclass(frozen=True)
class Banner:
    """A note above the blocks; level info, warning or error."""

    level: str
    text: str


def rights_of(user: Actor, delivery: Delivery) -> Rights:
    """The user's rights here, asked once a page."""
    start = permissions.may_start(user, delivery.campaign)
    prepare = start or permissions.may_prepare(user, delivery.campaign)
    ready, editable = delivery.state == State.READY, delivery.state in EDITABLE
    readers, told = proofs.what_there_is(delivery, user)
    return Rights(
        start,
        prepare,
        barred=delivery.campaign.four_eyes and not four_eyes.may_look(delivery, user),
        unapproved=approvals.missing(delivery, again=True) if ready else "",
        test=editable and prepare and (proofs.may_substitute(delivery) or readers),
        proofs=told,
    )


def buttons(delivery: Delivery, rights: Rights, stale: Sequence[str] = (), missing: bool = False) -> tuple[Button, ...]:
    """The action bar in this state for these rights.

    In: `stale`: what changed since it was prepared; `missing`: there may be people whom an ended one did not reach.
    """
    if delivery.is_series:
        return (*_of_series(delivery, rights), *_continuing(delivery, rights))
    prepare = [*_of_proofs(rights), *(_of_preparation(delivery, stale) if rights.prepare else [])]
    if not rights.start:
        return tuple(prepare)
    ended = _of_ended(delivery) if missing and delivery.confirmed_at else []
    return (*prepare, *_of_sending(delivery, rights, stale), *ended, *_continuing(delivery, rights))


def _of_proofs(rights: Rights) -> list[Button]:
    shown = []
    if rights.test:
        shown.append(Button("proof", _("Send a test"), _("Send a proof, to test profiles or others"), asks=True))
    if rights.proofs:
        shown.append(Button("proofs", _("Show proofs"), _("Proofs, their readers and verdicts"), leads=True))
    return shown


def _of_preparation(delivery: Delivery, stale: Sequence[str]) -> list[Button]:
    if delivery.state in PREPARING:
        return [Button("stop-preparation", _("Stop preparation"), _("Stop the preparation; nothing was sent yet"))]
    if delivery.state not in EDITABLE or not delivery.message.audience_id:
        return []
    again = delivery.state == State.READY and not stale
    title = _("Compute the target again") if again else _("Compute the target and check the message")
    return [Button("prepare", _("Prepare"), title, "" if again else "primary")]


def _of_sending(delivery: Delivery, rights: Rights, stale: Sequence[str]) -> list[Button]:
    state, shown = delivery.state, []
    if state == State.READY and rights.unapproved and not stale:
        title = _("Approve or refuse what is prepared, with a comment")
        shown.append(Button("approve", _("Approve or refuse"), title, "primary", asks=True))
    if state == State.READY and not (stale or rights.barred or rights.unapproved or _expired(delivery)):
        shown.append(
            Button(
                "confirm", _("Confirm send"), _("Confirm the send: messages leave"), "primary", asks=True, shows=True
            )
        )
    if allows(state, Act.UNCONFIRM):
        shown.append(Button("undo", _("Undo"), _("Take the confirmation back: nothing has left yet"), "primary"))
    if allows(state, Act.PAUSE):
        shown.append(Button("pause", _("Pause"), _("Pause the sending; Resume goes on with the rest")))
    if allows(state, Act.RESUME):
        shown.append(Button("resume", _("Resume"), _("Go on with exactly the unsent messages"), "primary"))
    if delivery.held_since and state in SENDING:
        title = _("Send the later waves, though the earlier ones bounced")
        shown.append(Button("release-waves", _("Let the later waves go"), title))
    if allows(state, Act.STOP):
        shown.append(Button("stop", _("Stop sending"), _("End the sending for good"), "danger", asks=True))
    return shown


def _of_ended(delivery: Delivery) -> list[Button]:
    title = _("Send to those alone whom it did not reach: never attempted, or refused for now")
    return [Button("complete", _("Complete the missing"), title, asks=True)] if delivery.state in ENDED else []


def _of_series(delivery: Delivery, rights: Rights) -> list[Button]:
    """Switching on unasked executions is confirming in advance: it takes the same role."""
    recurrence = delivery.message.recurrence
    if recurrence.next_at is not None:
        off = Button("series-off", _("Switch off"), _("Make no more executions; those that are there stay as they are"))
        return [off] if rights.prepare else []
    unasked = not recurrence.request_confirmation
    title = _("Make an execution for each slot from now on")
    on = Button("series-on", _("Switch on"), title, "primary", asks=unasked, shows=unasked)
    return [on] if (rights.start if unasked else rights.prepare) else []


def _continuing(delivery: Delivery, rights: Rights) -> list[Button]:
    """On a series that goes on in another form than its owner saw, and on an execution of it that was confirmed."""
    here = delivery.is_series or (delivery.parent_id is not None and delivery.confirmed_at is not None)
    if not (here and rights.start and series_seal.pending(delivery)):
        return []
    title = _("Have the next executions go on in the form that the message has now, in your name")
    return [
        Button("continue-series", _("Continue the series with this form"), title, asks=True, shows=delivery.is_series)
    ]


def _expired(delivery: Delivery) -> bool:
    return delivery.expires_at is not None and delivery.expires_at <= timezone.now()


def notes(delivery: Delivery, rights: Rights) -> list[Banner]:
    """Why a button that one would expect is missing."""
    text = "" if delivery.state in ENDED else _why_not(delivery, rights)
    return [Banner("info", text)] if text else []


def _why_not(delivery: Delivery, rights: Rights) -> str:
    campaign = {"campaign": delivery.campaign.label}
    if not rights.prepare:
        text = _("You may read this delivery. Preparing or sending it takes a role for the campaign “%(campaign)s”.")
        return text % campaign
    if rights.start:
        return _why_not_now(delivery, rights) if delivery.state == State.READY else ""
    if delivery.state == State.READY:
        text = _(
            "You cannot confirm this send: that takes the role “Start deliveries” for the campaign “%(campaign)s”, "
            "which you do not hold. Ask somebody who does; an administrator can grant it."
        )
        return text % campaign
    if delivery.state in CONFIRMED:
        text = _("Pausing, resuming and stopping take the role “Start deliveries” for the campaign “%(campaign)s”.")
        return text % campaign
    return ""


def _why_not_now(delivery: Delivery, rights: Rights) -> str:
    if _expired(delivery):
        return _("Too late to confirm: the next execution is due, or the validity is over.")
    if rights.barred and (why := four_eyes.unknown(delivery)):
        return _(why)
    if rights.barred:
        text = _("You prepared this delivery. The campaign “%(campaign)s” wants another person to confirm it.")
        return text % {"campaign": delivery.campaign.label}
    if rights.unapproved:
        return rights.unapproved
    return _("It can be confirmed until %s.") % formats.moment(delivery.expires_at) if delivery.expires_at else ""
