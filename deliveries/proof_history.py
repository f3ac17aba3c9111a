"""What was sent as a proof and said of it, and who can be shown in one: as far as the reader's unit reaches.

A delivery can be read from below its unit, where the test profiles and people of other branches do not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from campaigns import units
from campaigns.models import Profile
from campaigns.test_profile_models import TestProfile

from .models import Delivery
from .proof_models import Proof, ProofRecipient, Verdict


def history(delivery: Delivery, by: Any) -> list[Proof]:
    """The delivery's proofs, newest first, with their readers, logs and verdicts loaded.

    A test profile that `by` may not read has neither name nor address (`reader.hidden`), and a profile no number.
    """
    found = Proof.objects.filter(delivery=delivery).select_related("sent_by")
    wanted = ("recipients__sending_log", "recipients__test_profile", "verdicts__user")
    proofs = list(found.prefetch_related(*wanted))
    readers = [reader for proof in proofs for reader in proof.recipients.all()]
    addresses = _hide(readers, by)
    for proof in proofs:
        _hide_verdicts(proof.verdicts.all(), addresses)
    return proofs


def verdicts(delivery: Delivery, by: Any) -> list[Verdict]:
    """What was said of the delivery and its proofs, newest first; hidden as in `history`."""
    readers = list(ProofRecipient.objects.filter(proof__delivery=delivery).select_related("test_profile"))
    addresses = _hide(readers, by)
    return _hide_verdicts(delivery.verdicts.select_related("proof", "user"), addresses)


def _hide(readers: Iterable[ProofRecipient], by: Any) -> set[str]:
    """Take out what `by` may not read. Out: the addresses of those whom they may not know."""
    readers = list(readers)
    hidden: set[str] = set()
    shown: set[str] = set()
    sees_test = _seen(TestProfile, [reader.test_profile_id for reader in readers], by)
    sees_person = _seen(Profile, [reader.profile_id for reader in readers], by)
    for reader in readers:
        beside = reader.test_profile_id is not None and not sees_test(reader.test_profile_id)
        (hidden if beside else shown).add(reader.address)
        reader.hidden = beside  # type: ignore[attr-defined]
        if beside:
            reader.test_profile, reader.address = None, ""
        if reader.profile_id is not None and not sees_person(reader.profile_id):
            reader.profile = None
    return hidden - shown


def _seen(model: Any, keys: Iterable[int | None], by: Any) -> Callable[[int], bool]:
    """Whether `by` may read one of the rows with these keys; one that is gone since tells nothing."""
    found = model.objects.filter(pk__in={key for key in keys if key is not None})
    unseen = set() if units.at_root(by) else set(found.exclude(units.readable(by)).values_list("pk", flat=True))
    return lambda key: key not in unseen


def _hide_verdicts(said: Iterable[Verdict], addresses: set[str]) -> list[Verdict]:
    found = list(said)
    for verdict in found:
        verdict.hidden = bool(verdict.address) and verdict.address in addresses  # type: ignore[attr-defined]
        if verdict.address in addresses:
            verdict.address = ""
    return found


def candidates(delivery: Delivery, by: Any, most: int = 20) -> list[Profile]:
    """Some profiles of the prepared target that `by` may read, to be chosen from."""
    targeted = delivery.sending_logs.filter(profile__isnull=False)
    if not units.at_root(by):
        targeted = targeted.filter(profile__in=Profile.objects.filter(units.readable(by)))
    ids = targeted.order_by("status", "pk").values_list("profile", flat=True)
    return list(Profile.objects.filter(pk__in=list(ids[:most])).order_by("pk"))
