"""Another person than the one who prepared: asked by confirming in a campaign with four eyes, and by approving.

Who prepared is known by their account. Once that is deleted nobody can tell whether somebody else has come since, so
the delivery must be prepared again.
"""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_noop

from campaigns.said import said as _

from .models import Delivery
from .refusal import Refused

OWN = gettext_noop("You prepared this delivery; another person has to approve it.")
GONE = gettext_noop(
    "The account that prepared this was deleted, so nobody can tell whether you are another person. Prepare it again."
)


def is_own(delivery: Delivery, user: Any) -> bool:
    """True if `user` prepared it."""
    return bool(delivery.prepared_by_id == user.pk)


def preparer_gone(delivery: Delivery) -> bool:
    """True if it was prepared by an account that was deleted since."""
    return delivery.prepared_by_id is None and bool(delivery.fingerprint)


def may_look(delivery: Delivery, user: Any) -> bool:
    """True if `user` is another person than the one who prepared, as far as can be told."""
    return not (is_own(delivery, user) or preparer_gone(delivery))


def require(delivery: Delivery, user: Any, own: str) -> None:
    """Raise Refused('own_preparation') with the words `own`, or Refused('preparer_gone'), unless `may_look`."""
    if is_own(delivery, user):
        raise Refused("own_preparation", own)
    if preparer_gone(delivery):
        raise Refused("preparer_gone", _(GONE))
