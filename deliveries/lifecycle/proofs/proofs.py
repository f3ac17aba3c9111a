"""Sends proofs: to test profiles, or as profiles of the target get it, to other addresses (proofs-and-tracking.md,
Proofs).

Where they may go is asked in addresses.py, how many a day in limits.py. A proof needs no approval.

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
from django.db.models import Exists, Max, OuterRef, QuerySet
from django.utils import timezone

from campaigns.accounts import permissions, units
from campaigns.content.checks import stopping
from campaigns.content.compile import compile_content
from campaigns.content.problems import ContentError
from campaigns.core import queue
from campaigns.core.actors import Actor, Person
from campaigns.core.kept_text import keep
from campaigns.core.kept_text import keep as _
from campaigns.models import Profile
from campaigns.models.people.seeds import TestProfile
from campaigns.targeting import audiences
from deliveries.ledger.audit import audited
from deliveries.ledger.errors import Refused
from deliveries.ledger.events import log_event
from deliveries.lifecycle.commands import ask
from deliveries.models import Batch, Delivery, DeliveryEvent, Routing, SendingLog
from deliveries.models.proofs import MOST, Proof, ProofRecipient, Verdict
from deliveries.models.states import EDITABLE, Act, State, advance
from deliveries.preparation import control_rules, sealing
from deliveries.preparation.control_rules import Facts, Phase

from . import addresses, limits, proof_content

MOST_PREFIX = 500
MARK = "Proof"  # in every subject that quotes a real profile, whatever the message's prefix is
LONGEST_ADDRESS = 254  # RFC 5321 section 4.5.3.1.3, less the angles
VALID = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Substitution:
    """A mail as the profile with the id `profile` gets it, to `address`; `prefix` in the place of the message's, after
    the mark."""

    profile: int
    address: str
    prefix: str = ""


def test_profiles(by: Actor) -> QuerySet[TestProfile]:
    """Those that get proofs, as far as `by` may read them."""
    return TestProfile.objects.filter(units.readable(by), proofs=True)


def what_there_is(delivery: Delivery, by: Actor) -> tuple[bool, bool]:
    """Whether there is anybody to whom `by` may send proofs, and whether any was sent or judged. One query."""
    mine = {"delivery": OuterRef("pk")}
    asked = (Exists(test_profiles(by)), Exists(Proof.objects.filter(**mine)), Exists(Verdict.objects.filter(**mine)))
    readers, sent, judged = Delivery.objects.filter(pk=delivery.pk).values_list(*asked).first() or (False, False, False)
    return readers, sent or judged


def may_substitute(delivery: Delivery) -> bool:
    """True after a successful preparation: then the target is known."""
    return delivery.state == State.READY and delivery.to_deliver > 0


@audited("send_proof")
def send_proof(
    delivery: Delivery, by: Person, *, readers: Iterable[int] = (), substitutions: Sequence[Substitution] = ()
) -> Proof:
    """Send a proof to the test profiles with the ids `readers` and to the addresses of `substitutions`.

    Raises PermissionDenied, also for an address that `by` may not send to; Refused('not_editable'), Refused('nobody'),
    Refused('proof_size'), Refused('unknown_reader'), Refused('not_prepared'), Refused('not_targeted'),
    Refused('bad_address'), Refused('bad_prefix'), Refused('no_routing'), Refused('content'), Refused('proof_limit').
    """
    ask(permissions.require_prepare, delivery, by, "send a proof of", delivery.message.campaign)
    if delivery.state not in EDITABLE:
        raise Refused("not_editable", _("No proof can be sent: it is “%(state)s”.", state=delivery.get_state_display()))
    chosen = _chosen(by, set(readers), also=len(substitutions))
    _check_size(delivery, by, len(chosen) + len(substitutions))
    if substitutions:
        _check_substitutions(delivery, by, substitutions)
    mails = _mails(chosen, substitutions)
    addresses.require(delivery, by, mails)
    content = _content(delivery, real=bool(substitutions))
    routing = delivery.routing or Routing.objects.filter(is_default=True, enabled=True).first()
    if routing is None:
        raise Refused(
            "no_routing", _("There is no mail server that could send it. An administrator can add a routing.")
        )
    with transaction.atomic():
        limits.take(delivery, by, len(mails))
        proof = _proof(delivery, by)
        _number(delivery, proof, mails, [row.prefix for row in substitutions])
        for part in _parts(mails):
            _send(delivery, proof, part, content, routing)
        words = keep(_PROOF_SENT, number=proof.number, by=str(by), n=len(mails))
        log_event(delivery, "proof_sent", words, user=by, proof=proof.number, recipients=len(mails))
    return proof


def _proof(delivery: Delivery, by: Person) -> Proof:
    """The next proof of the delivery, which is locked from here on."""
    locked = Delivery.objects.select_for_update().get(pk=delivery.pk)
    last = Proof.objects.filter(delivery=locked).aggregate(n=Max("number"))["n"] or 0
    seal = sealing.fingerprint(delivery, delivery.message)
    return Proof.objects.create(delivery=locked, number=last + 1, sent_by=by, fingerprint=seal)


def _chosen(by: Person, wanted: set[int], also: int) -> list[TestProfile]:
    """The test profiles with these ids. `also`: how many mails there are besides. Raises Refused."""
    chosen = list(test_profiles(by).filter(pk__in=wanted))
    missing = sorted(wanted - {person.pk for person in chosen})
    if missing and (chosen or also):
        words = _("Not among the test profiles that you can send proofs to: %(names)s.", names=_named(missing))
        raise Refused("unknown_reader", words)
    return chosen


def _named(ids: Iterable[int]) -> str:
    return ", ".join(map(str, list(ids)[:20]))


_PROOF_SENT = "Proof %(number)s sent by %(by)s to %(n)s addresses."


def _check_size(delivery: Delivery, by: Person, size: int) -> None:
    """The control rule “Proof size”: a red line in the log, and nothing leaves."""
    if not size:
        raise Refused("nobody", _("Choose who shall get the proof."))
    facts = Facts(delivery, delivery.message, timezone.now(), proof_size=size)
    for problem in control_rules.check(Phase.PROOF, facts):
        words, severity = problem.sentence, DeliveryEvent.Severity.ERROR
        log_event(delivery, problem.code, words, user=by, severity=severity, size=size, most=MOST)
        raise Refused("proof_size", words, size=size)


def _content(delivery: Delivery, *, real: bool) -> dict[str, Any]:
    """What is sent: for the target's profiles what was prepared, for test profiles alone the message as it stands."""
    now = delivery.content if real else proof_content.of_now(delivery.message, audiences.attribute_names())
    content = proof_content.marked(now)
    try:
        compiled = compile_content(content["subject"], content["html"], content["text"], fields=content["fields"])
        if errors := stopping(compiled):
            raise ContentError(errors)
    except ContentError as error:
        raise Refused("content", _("The message cannot be sent as it is: %(error)s", error=error)) from error
    return content


def _check_substitutions(delivery: Delivery, by: Person, substitutions: Sequence[Substitution]) -> None:
    if not may_substitute(delivery) or sealing.changed_since_prepared(delivery):
        words = _(
            "The message can be sent as a profile of its target gets it once it is prepared as it stands. Prepare."
        )
        raise Refused("not_prepared", words)
    for row in substitutions:
        _check_row(row)
    wanted = {row.profile for row in substitutions}
    targeted = delivery.sending_logs.filter(profile__in=wanted).values_list("profile_id", flat=True)
    shown = Profile.objects.filter(units.readable(by), pk__in=list(targeted)).values_list("pk", flat=True)
    if strangers := sorted(wanted - set(shown)):
        raise Refused("not_targeted", _("Not in the target: the profiles %(names)s.", names=_named(strangers)))


def _check_row(row: Substitution) -> None:
    try:
        validate_email(row.address.strip())
    except ValidationError:
        raise Refused("bad_address", _("“%(address)s” is no e-mail address.", address=row.address)) from None
    if len(row.address.strip()) > LONGEST_ADDRESS:
        raise Refused("bad_address", _("An address has at most %(n)s characters.", n=LONGEST_ADDRESS))
    if len(row.prefix) > MOST_PREFIX or not row.prefix.isprintable():
        raise Refused("bad_prefix", _("A prefix is one line of at most %(n)s characters.", n=MOST_PREFIX))


def _mails(chosen: Iterable[TestProfile], substitutions: Iterable[Substitution]) -> list[ProofRecipient]:
    """The mails, test profiles first, with the addresses that they are judged by and sent to, whatever is edited
    later."""
    tests = [ProofRecipient(address=person.email, test_profile=person) for person in chosen]
    real = [ProofRecipient(address=row.address.strip().lower(), profile_id=row.profile) for row in substitutions]
    return [*tests, *real]


def _number(delivery: Delivery, proof: Proof, mails: Iterable[ProofRecipient], prefixes: Iterable[str]) -> None:
    """Give the mails their proof and what stands before their subjects. In: the own prefixes of substitutions."""
    own = iter(prefixes)
    for mail in mails:
        real = mail.profile_id is not None
        mail.proof = proof
        mail.prefix = subject_prefix(delivery.message, proof.number, next(own) if real else "", real=real)


def subject_prefix(message: Any, number: int, own: str = "", *, real: bool = False) -> str:
    """What stands before the subject: “[Proof 1] ”; empty if the message wants none. `own`: a row's own prefix.

    Where a `real` profile's data is shown the mark stands first, whatever message and row want.
    """
    prefix = own.strip() or message.proof_prefix.strip()
    if real:
        mark = f"[{MARK}] " if message.hide_proof_number else f"[{MARK} {number}] "
        return mark if prefix in ("", MARK) else f"{mark}[{prefix}] "
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
        message=delivery.message,
        campaign=delivery.campaign,
        proof=proof,
        label=f"Proof {proof.number}",
        routing=routing,
        retry_by=routing.retry_by,
        content=content,
        preparation=1,
        targeted=size,
        to_deliver=size,
        created_by=proof.sent_by,
        confirmed_by=proof.sent_by,
        confirmed_at=now,
        contact_date=now,
        started_at=now,
        validity_end=now + VALID,
    )
    batch = Batch.objects.create(delivery=carrier, number=1, total=size, pending=size, next_due_at=now)
    logs = SendingLog.objects.bulk_create(
        SendingLog(
            delivery=carrier,
            batch=batch,
            address=reader.address,
            date=now,
            due_at=now,
            test_profile=reader.test_profile is not None,
        )
        for reader in readers
    )
    for reader, log in zip(readers, logs, strict=True):
        reader.sending_log = log
    ProofRecipient.objects.bulk_create(readers)
    advance(Delivery.everything.filter(pk=carrier.pk), Act.SEND_PROOF)
    queue.enqueue(queue.Task.ENQUEUE_BATCHES, carrier.pk)
