"""Whether a delivery was approved: asked by Confirm and by the dashboard. proof_verdicts.py writes what is read here.

An approval holds for the fingerprint that its giver saw: what is prepared differently later needs another (house:
confirming is sealed). Who gives it holds Start deliveries in the campaign and is not who prepared.
"""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from campaigns import access

from .models import Delivery
from .proof_models import Verdict

MISSING = gettext_noop(
    "This campaign wants another person's approval before anybody confirms. Somebody with the role “Start deliveries” "
    "who did not prepare this delivery has to approve it as it is prepared now."
)
NOBODYS = gettext_noop(
    "This campaign wants two people, and nobody has asked for this preparation as it is. Prepare it again; then "
    "another person can go on."
)
REFUSED = gettext_noop("Refused by %(who)s: %(comment)s Change what is wrong and prepare again, or have it approved.")


def is_nobodys(delivery: Delivery) -> bool:
    """True if it was prepared in a form that its preparer did not see: who wrote it could else be the only one who
    looked at it. So where two people are wanted somebody has to prepare it first."""
    return delivery.prepared_by_id is None and bool(delivery.asked_for or delivery.parent_id)


def standing(delivery: Delivery) -> Verdict | None:
    """The newest verdict of a user that holds for what is prepared now; None without one."""
    if not delivery.fingerprint:
        return None
    given = Verdict.objects.filter(delivery=delivery, user__isnull=False).select_related("user")
    return next((one for one in given if one.fingerprint == delivery.fingerprint and _counts(one, delivery)), None)


def _counts(verdict: Verdict, delivery: Delivery) -> bool:
    """An approval by whoever prepared it, or by somebody who has lost the role, is none; a refusal stands anyway."""
    if not verdict.approved:
        return True
    user = verdict.user
    assert user is not None
    if is_nobodys(delivery):
        return False
    return user.pk != delivery.prepared_by_id and access.may_start(user, delivery.campaign)


def missing(delivery: Delivery, *, again: bool = False) -> str:
    """Why it may not be confirmed yet, as a sentence in English, or in the reader's language with `again`; '' if it
    may, or if the campaign does not ask."""
    if not delivery.campaign.needs_approval:
        return ""
    verdict = standing(delivery)
    if verdict is not None and verdict.approved:
        return ""
    tell = _ if again else str
    if verdict is None and is_nobodys(delivery):
        return tell(NOBODYS)
    if verdict is None:
        return tell(MISSING)
    comment = f"“{verdict.comment}”." if verdict.comment else "-"
    return tell(REFUSED) % {"who": verdict.who, "comment": comment}
