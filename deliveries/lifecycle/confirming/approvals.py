"""Whether a delivery was approved: asked by Confirm and by the dashboard. lifecycle/approving.py writes what is
read here.

An approval holds for the fingerprint that its giver saw: what is prepared differently later needs another
(proofs-and-tracking.md, Approval by another person). Its giver holds Start deliveries in the campaign and did not
prepare, and both must still be so. A refusal outlives its author: it stands whatever becomes of the account.
"""

from __future__ import annotations

from collections.abc import Callable

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from campaigns.accounts import permissions
from deliveries.models import Delivery
from deliveries.models.proofs import Verdict

from . import four_eyes

MISSING = gettext_noop(
    "This campaign wants another person's approval before anybody confirms. Somebody with the role “Start deliveries” "
    "who did not prepare this delivery has to approve it as it is prepared now."
)
REFUSED = gettext_noop("Refused by %(who)s: %(comment)s Change what is wrong and prepare again, or have it approved.")


VOID = gettext_noop("%(who)s approved it, which does not count: %(why)s")
_DELETED = gettext_noop("the account was deleted.")
_DISABLED = gettext_noop("the account is switched off.")
_PREPARED = gettext_noop("they prepared this delivery themselves.")
_NO_ROLE = gettext_noop("they do not hold the role “Start deliveries” here any more.")
_UNKNOWN = gettext_noop("nobody can tell who prepared it in this form. Prepare it again.")


def standing(delivery: Delivery) -> Verdict | None:
    """The newest verdict of a user that holds for what is prepared now; None without one."""
    return next((one for one in _given(delivery) if not why_void(one, delivery)), None)


def _given(delivery: Delivery) -> list[Verdict]:
    """What users, not readers by their links, have said of what is prepared now, newest first."""
    if not delivery.fingerprint:
        return []
    given = Verdict.objects.filter(delivery=delivery, address="").select_related("user")
    return [verdict for verdict in given if verdict.fingerprint == delivery.fingerprint]


def why_void(verdict: Verdict, delivery: Delivery) -> str:
    """Why a user's approval does not count now, in English; '' if it does, and of a refusal."""
    user = verdict.user
    if not verdict.approved:
        return ""
    if user is None:
        return _DELETED
    if four_eyes.is_own(delivery, user):
        return _PREPARED
    if four_eyes.unknown(delivery):
        return _UNKNOWN
    if not user.is_active:
        return _DISABLED
    return "" if permissions.may_start(user, delivery.campaign) else _NO_ROLE


def missing(delivery: Delivery, *, again: bool = False) -> str:
    """Why it may not be confirmed yet, as a sentence in English, or in the reader's language with `again`; '' if it
    may, or if the campaign does not ask."""
    if not delivery.campaign.needs_approval:
        return ""
    verdict, tell = standing(delivery), _ if again else str
    if verdict is None and (why := four_eyes.unknown(delivery)):
        return tell(why)
    if verdict is None:
        return " ".join([tell(MISSING), *_void(delivery, tell)])
    if verdict.approved:
        return ""
    comment = f"“{verdict.comment}”." if verdict.comment else "-"
    return tell(REFUSED) % {"who": verdict.who, "comment": comment}


def _void(delivery: Delivery, tell: Callable[[str], str]) -> list[str]:
    """The newest approval that does not count, and why."""
    newest = next(iter(_given(delivery)), None)
    if newest is None:
        return []
    return [tell(VOID) % {"who": newest.who, "why": tell(why_void(newest, delivery))}]
