"""Approving and refusing: by a user, which may release a delivery, or by a proof's reader, which informs people."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_noop

from campaigns.accounts import permissions, staff_mail
from campaigns.accounts.staff_mail import Notice
from campaigns.core.actors import Person
from campaigns.core.kept_text import keep
from campaigns.core.kept_text import keep as _
from deliveries.ledger.audit import audited
from deliveries.ledger.errors import Refused
from deliveries.ledger.events import log_event
from deliveries.lifecycle.confirming import four_eyes
from deliveries.models import Delivery, DeliveryEvent
from deliveries.models.proofs import Proof, ProofRecipient, Verdict
from deliveries.models.states import EDITABLE, State
from deliveries.preparation.sealing import changed_since_prepared

from .commands import ask

MOST_COMMENT = 2000
_WORDS = {
    True: gettext_noop("Approved by %(who)s%(of)s.%(comment)s"),
    False: gettext_noop("Refused by %(who)s%(of)s.%(comment)s"),
}
_HEADS = {True: gettext_noop("%(delivery)s: approved"), False: gettext_noop("%(delivery)s: refused")}


@audited("approve")
def approve(
    delivery: Delivery, by: Person, *, comment: str = "", proof: Proof | None = None, preparation: int | None = None
) -> Verdict:
    """Approve the delivery as it is prepared now, or the proof `proof` of it. `preparation`: the number of the one that
    the user looked at; a later one is not approved unseen.

    Raises PermissionDenied; Refused('not_editable'), Refused('own_preparation'), Refused('preparer_unknown'),
    Refused('changed').
    """
    return _judge(delivery, by, True, comment, proof, preparation)


@audited("refuse")
def refuse(delivery: Delivery, by: Person, *, comment: str = "", proof: Proof | None = None) -> Verdict:
    """Refuse it: an approval of the same preparation is void. Raises as `approve` does, but not for one's own."""
    return _judge(delivery, by, False, comment, proof, None)


def _judge(
    delivery: Delivery, by: Person, approved: bool, comment: str, proof: Proof | None, preparation: int | None
) -> Verdict:
    ask(permissions.require_start, delivery, by, "approve" if approved else "refuse")
    with transaction.atomic():
        Delivery.objects.select_for_update().get(pk=delivery.pk)
        delivery.refresh_from_db()
        if preparation not in (None, delivery.preparation):
            raise Refused("changed", _("It was prepared again since you looked. Look at it once more, then judge it."))
        seal = _seal(delivery)
        if approved and seal:
            four_eyes.require(delivery, by, _(four_eyes.OWN))
        if proof is not None and seal and proof.fingerprint != seal:
            raise Refused(
                "changed",
                _("The message is not the one that proof %(number)s showed. Send another.", number=proof.number),
            )
        proof = proof or Proof.objects.filter(delivery=delivery, fingerprint=seal).first()
        return _write(delivery, approved, comment, proof, user=by, user_name=by.get_username(), fingerprint=seal)


def _seal(delivery: Delivery) -> dict[str, Any]:
    """What a verdict of now holds for: what is prepared; nothing before. Raises Refused."""
    if delivery.state not in EDITABLE:
        raise Refused("not_editable", _("Too late: it is “%(state)s”.", state=delivery.get_state_display()))
    if delivery.state != State.READY:
        return {}
    if changed := changed_since_prepared(delivery):
        words = _("Changed since the preparation: %(names)s. Prepare again, then judge it.", names=", ".join(changed))
        raise Refused("changed", words, changed=changed)
    return dict(delivery.fingerprint)


def answer(reader: ProofRecipient, *, approved: bool, comment: str = "") -> Verdict:
    """What readers of a proof say by the link in their mail; it informs, and releases nothing. The same said again,
    by a double click say, is kept and told once.

    Raises Refused('not_editable').
    """
    with transaction.atomic():
        delivery = Delivery.objects.select_for_update().get(pk=reader.proof.delivery_id)
        if delivery.state not in EDITABLE:
            raise Refused("not_editable", _("Too late: this message is on its way, or is being prepared again."))
        before = Verdict.objects.filter(proof=reader.proof, address=reader.address).first()
        if before is not None and (before.approved, before.comment) == (approved, _kept(comment)):
            return before
        return _write(delivery, approved, comment, reader.proof, address=reader.address)


def _write(delivery: Delivery, approved: bool, comment: str, proof: Proof | None, **whose: Any) -> Verdict:
    comment = _kept(comment)
    verdict = Verdict.objects.create(delivery=delivery, proof=proof, approved=approved, comment=comment, **whose)
    words = keep(
        _WORDS[approved],
        who=verdict.who,
        of=_(" (proof %(number)s)", number=proof.number) if proof else "",
        comment=f" “{comment}”" if comment else "",
    )
    severity = DeliveryEvent.Severity.INFO if approved else DeliveryEvent.Severity.WARNING
    log_event(
        delivery,
        "approved" if approved else "refused",
        words,
        user=verdict.user,
        severity=severity,
        proof=proof and proof.number,
        address=verdict.address,
    )
    transaction.on_commit(lambda: _tell(delivery, verdict, words))
    return verdict


def _kept(comment: str) -> str:
    return comment.strip()[:MOST_COMMENT]


def _tell(delivery: Delivery, verdict: Verdict, words: str) -> None:
    """Whoever sent the proof and whoever prepared it."""
    asked = {verdict.proof.sent_by if verdict.proof else None, delivery.prepared_by} - {None, verdict.user}
    people = {person for person in asked if person and permissions.may_read(person, delivery.campaign)}
    link = f"{settings.PUBLIC_URL}{delivery.get_absolute_url()}"
    head = _HEADS[verdict.approved]
    staff_mail.tell(Notice.VERDICT, people, keep(head, delivery=delivery), words, link)
