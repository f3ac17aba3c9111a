"""Another person than the one who prepared: asked by confirming in a campaign with four eyes, and by approving.

Who prepared is known by their account. Once that is deleted nobody can tell whether somebody else has come since, so
the delivery must be prepared again.
"""

from __future__ import annotations

from django.utils.translation import gettext_noop

from campaigns.core.actors import Actor
from campaigns.core.kept_text import keep as _
from deliveries.ledger.errors import Refused
from deliveries.models import Delivery

OWN = gettext_noop("You prepared this delivery; another person has to approve it.")
GONE = gettext_noop(
    "The account that prepared this was deleted, so nobody can tell whether you are another person. Prepare it again."
)
NOBODYS = gettext_noop(
    "This campaign wants two people, and nobody has asked for this preparation as it is. Prepare it again; then "
    "another person can go on."
)


def is_own(delivery: Delivery, user: Actor) -> bool:
    """True if `user` prepared it."""
    return bool(delivery.prepared_by_id == user.pk)


def unknown(delivery: Delivery) -> str:
    """Why nobody can tell who prepared it, in English: the account was deleted, or it was prepared in a form that its
    preparer did not see, whose writer could else be the only one who looked at it. '' if it is known."""
    if delivery.prepared_by_id is not None or not delivery.fingerprint:
        return ""
    return GONE if delivery.prepared_by_name else NOBODYS


def may_look(delivery: Delivery, user: Actor) -> bool:
    """True if `user` is another person than the one who prepared, as far as can be told."""
    return not (is_own(delivery, user) or unknown(delivery))


def require(delivery: Delivery, user: Actor, own: str) -> None:
    """Raise Refused('own_preparation') with the words `own`, or Refused('preparer_unknown'), unless `may_look`."""
    if is_own(delivery, user):
        raise Refused("own_preparation", own)
    if why := unknown(delivery):
        raise Refused("preparer_unknown", _(why))
