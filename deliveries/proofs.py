"""Sends proofs (domain.md §10.2): to test profiles, or as profiles of the target get it, to other addresses.

A proof is a delivery like any other to all that renders and sends, linked to the one that it proves by `proof`; what
lists and counts deliveries does not see it. An address may get several mails of one proof, and a delivery mails an
address once: the proof then leaves as several deliveries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Exists, Max, OuterRef
from django.utils import timezone

from campaigns import access, audiences
from campaigns.content import compile_content
from campaigns.models import Profile
from campaigns.problems import ContentError
from campaigns.said import said
from campaigns.said import said as _
from campaigns.test_profile_models import TestProfile

from . import control_rules, doorbells, masked_rows, proof_mailing, sealing
from .audited import audited
from .commands import ask
from .control_rules import Facts, Phase
from .models import Batch, Delivery, DeliveryEvent, Routing, SendingLog, log_event
from .proof_models import MOST, Proof, ProofRecipient, Verdict
from .refusal import Refused
from .states import EDITABLE, Act, State, advance

MOST_PREFIX = 500
VALID = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Substitution:
    """A mail as the profile with the id `profile` gets it, to `address`; `prefix` in the place of the message's."""

    profile: int
    address: str
    prefix: str = ""


def test_profiles() -> Any:
    """Those that get proofs."""
    return TestProfile.objects.filter(proofs=True)


def what_there_is(delivery: Delivery) -> tuple[bool, bool]:
    """Whether anybody gets proofs, and whether any was sent or judged. One query."""
    mine = {"delivery": OuterRef("pk")}
    asked = (Exists(test_profiles()), Exists(Proof.objects.filter(**mine)), Exists(Verdict.objects.filter(**mine)))
    readers, sent, judged = Delivery.objects.filter(pk=delivery.pk).values_list(*asked).first() or (False, False, False)
    return readers, sent or judged


def may_substitute(delivery: Delivery) -> bool:
    """True after a successful preparation: then the target is known."""
    return delivery.state == State.READY and delivery.to_deliver > 0


@audited("send_proof")
def send_proof(
    delivery: Delivery, by: Any, *, readers: Iterable[int] = (), substitutions: Sequence[Substitution] = ()
) -> Proof:
    """Send a proof to the test profiles with the ids `readers` and to the addresses of `substitutions`.

    Raises PermissionDenied; Refused('not_editable'), Refused('nobody'), Refused('proof_size'), Refused('not_prepared'),
    Refused('not_targeted'), Refused('bad_address'), Refused('bad_prefix'), Refused('no_routing'), Refused('content').
    """
    ask(access.require_prepare, delivery, by, "send a proof of")
    if delivery.state not in EDITABLE:
        raise Refused("not_editable", _("No proof can be sent: it is “%(state)s”.", state=delivery.get_state_display()))
    chosen = list(test_profiles().filter(pk__in=list(readers)))
    _check_size(delivery, by, len(chosen) + len(substitutions))
    content = _content(delivery, by, substitutions)
    routing = delivery.routing or Routing.objects.filter(is_default=True, enabled=True).first()
    if routing is None:
        raise Refused(
            "no_routing", _("There is no mail server that could send it. An administrator can add a routing.")
        )
    with transaction.atomic():
        locked = Delivery.objects.select_for_update().get(pk=delivery.pk)
        last = Proof.objects.filter(delivery=locked).aggregate(n=Max("number"))["n"] or 0
        seal = sealing.current_seal(delivery.message)
        proof = Proof.objects.create(delivery=locked, number=last + 1, sent_by=by, fingerprint=seal)
        rows = _rows(delivery, proof, chosen, substitutions)
        for part in _parts(rows):
            _send(delivery, proof, part, content, routing)
        words = said(_PROOF_SENT, number=proof.number, by=str(by), n=len(rows))
        log_event(delivery, "proof_sent", words, user=by, proof=proof.number, recipients=len(rows))
    return proof


_PROOF_SENT = "Proof %(number)s sent by %(by)s to %(n)s addresses."


def _check_size(delivery: Delivery, by: Any, size: int) -> None:
    """The control rule “Proof size”: a red line in the log, and nothing leaves."""
    if not size:
        raise Refused("nobody", _("Choose who shall get the proof."))
    facts = Facts(delivery, delivery.message, timezone.now(), proof_size=size)
    for problem in control_rules.check(Phase.PROOF, facts):
        words, severity = problem.sentence, DeliveryEvent.Severity.ERROR
        log_event(delivery, problem.code, words, user=by, severity=severity, size=size, most=MOST)
        raise Refused("proof_size", words, size=size)


def _content(delivery: Delivery, by: Any, substitutions: Sequence[Substitution]) -> dict[str, Any]:
    """What is sent: for the target's profiles what was prepared, for test profiles alone the message as it stands."""
    if substitutions:
        _check_substitutions(delivery, by, substitutions)
        content = proof_mailing.marked(delivery.content)
    else:
        content = proof_mailing.marked(proof_mailing.of_now(delivery.message, audiences.attribute_names()))
    try:
        compile_content(content["subject"], content["html"], content["text"], fields=content["fields"])
    except ContentError as error:
        raise Refused("content", _("The message cannot be sent as it is: %(error)s", error=error)) from error
    return content


def _check_substitutions(delivery: Delivery, by: Any, substitutions: Sequence[Substitution]) -> None:
    if not may_substitute(delivery) or sealing.changed_since_prepared(delivery):
        words = _(
            "The message can be sent as a profile of its target gets it once it is prepared as it stands. Prepare."
        )
        raise Refused("not_prepared", words)
    for row in substitutions:
        try:
            validate_email(row.address)
        except ValidationError:
            raise Refused("bad_address", _("“%(address)s” is no e-mail address.", address=row.address)) from None
        if len(row.prefix) > MOST_PREFIX or not row.prefix.isprintable():
            raise Refused("bad_prefix", _("A prefix is one line of at most %(n)s characters.", n=MOST_PREFIX))
    wanted = {row.profile for row in substitutions}
    targeted = set(delivery.sending_logs.filter(profile__in=wanted).values_list("profile_id", flat=True))
    targeted -= masked_rows.sight(by, delivery).hidden(targeted)  # whom one may not read is not there
    if strangers := sorted(wanted - targeted):
        raise Refused(
            "not_targeted", _("Not in the target: the profiles %(names)s.", names=", ".join(map(str, strangers)))
        )


def _rows(
    delivery: Delivery, proof: Proof, chosen: Iterable[TestProfile], substitutions: Iterable[Substitution]
) -> list[ProofRecipient]:
    usual = subject_prefix(delivery.message, proof.number)
    tests = [ProofRecipient(proof=proof, address=person.email, test_profile=person, prefix=usual) for person in chosen]
    return tests + [
        ProofRecipient(
            proof=proof, address=row.address.strip().lower(), profile_id=row.profile,
            prefix=subject_prefix(delivery.message, proof.number, row.prefix),
        )
        for row in substitutions
    ]  # fmt: skip


def subject_prefix(message: Any, number: int, own: str = "") -> str:
    """What stands before the subject: “[Proof 1] ”; empty if the message wants none. `own`: a row's own prefix."""
    prefix = own.strip() or message.proof_prefix.strip()
    if not prefix:
        return ""
    return f"[{prefix}] " if message.hide_proof_number else f"[{prefix} {number}] "


def _parts(rows: Iterable[ProofRecipient]) -> list[list[ProofRecipient]]:
    """The rows in lists in which no address comes twice."""
    seen: dict[str, int] = defaultdict(int)
    parts: list[list[ProofRecipient]] = []
    for row in rows:
        place = seen[row.address]
        seen[row.address] += 1
        if place == len(parts):
            parts.append([])
        parts[place].append(row)
    return parts


def _send(
    delivery: Delivery, proof: Proof, readers: list[ProofRecipient], content: dict[str, Any], routing: Routing
) -> None:
    """A delivery of its own, on its way at once."""
    now, size = timezone.now(), len(readers)
    carrier = Delivery.everything.create(
        message=delivery.message, campaign=delivery.campaign, proof=proof, label=f"Proof {proof.number}",
        routing=routing, retry_by=routing.retry_by, content=content, preparation=1, targeted=size, to_deliver=size,
        created_by=proof.sent_by, confirmed_by=proof.sent_by, confirmed_at=now, contact_date=now, started_at=now,
        validity_end=now + VALID,
    )  # fmt: skip
    batch = Batch.objects.create(delivery=carrier, number=1, total=size, pending=size, next_due_at=now)
    logs = SendingLog.objects.bulk_create(
        SendingLog(
            delivery=carrier, batch=batch, address=reader.address, date=now, due_at=now,
            test_profile=reader.test_profile is not None,
        )
        for reader in readers
    )  # fmt: skip
    for reader, log in zip(readers, logs, strict=True):
        reader.sending_log = log
    ProofRecipient.objects.bulk_create(readers)
    advance(Delivery.everything.filter(pk=carrier.pk), Act.SEND_PROOF)
    doorbells.ring_delivery(carrier.pk)


def history(delivery: Delivery) -> list[Proof]:
    """The delivery's proofs, newest first, with their readers, logs and verdicts loaded."""
    found = Proof.objects.filter(delivery=delivery).select_related("sent_by")
    wanted = ("recipients__sending_log", "recipients__test_profile", "verdicts__user")
    return list(found.prefetch_related(*wanted))


def candidates(delivery: Delivery, most: int = 20) -> list[Profile]:
    """Some profiles of the prepared target, to be chosen from."""
    ids = delivery.sending_logs.filter(profile__isnull=False).order_by("status", "pk").values_list("profile", flat=True)
    return list(Profile.objects.filter(pk__in=list(ids[:most])).order_by("pk"))
