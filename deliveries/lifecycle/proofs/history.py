"""What was sent as a proof and said of it, and who can be shown in one: as far as the reader's unit reaches.

A delivery can be read from below its unit, where the test profiles and people of other branches do not exist.
"""

from __future__ import annotations

from campaigns.core.actors import Actor
from campaigns.models import Profile
from deliveries.ledger import masked_rows
from deliveries.models import Delivery
from deliveries.models.proofs import Proof, Verdict


def history(delivery: Delivery, by: Actor) -> list[Proof]:
    """The delivery's proofs, newest first, with their readers, logs and verdicts loaded, as `by` may see them."""
    found = Proof.objects.filter(delivery=delivery).select_related("sent_by")
    wanted = ("recipients__sending_log", "recipients__test_profile", "verdicts__user")
    proofs = list(found.prefetch_related(*wanted))
    masked_rows.mask_proofs(proofs, masked_rows.sight(by, delivery))
    return proofs


def verdicts(delivery: Delivery, by: Actor) -> list[Verdict]:
    """What was said of the delivery and its proofs, newest first; masked as in `history`."""
    found = list(delivery.verdicts.select_related("proof", "user"))
    masked_rows.mask_verdicts(found, masked_rows.sight(by, delivery))
    return found


def candidates(delivery: Delivery, by: Actor, most: int = 20) -> list[Profile]:
    """Some profiles of the prepared target that `by` may read, to be chosen from."""
    targeted = delivery.sending_logs.filter(masked_rows.sight(by, delivery).found(), profile__isnull=False)
    ids = targeted.order_by("status", "pk").values_list("profile", flat=True)
    return list(Profile.objects.filter(pk__in=list(ids[:most])).order_by("pk"))
