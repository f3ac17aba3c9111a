"""Where a proof may go, with whose data: one rule for pages, API and command line, asked when the proof is sent.

    | the mail shows | its domain is listed for the campaign's unit | it is not |
    |---|---|---|
    | a test profile's data | Prepare deliveries | Start deliveries |
    | a real profile's data | Prepare deliveries | Start deliveries and Export |

Whose the address is does not matter: whoever prepares can write a test profile with any address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from django.utils.translation import gettext_noop

from campaigns.accounts import permissions
from campaigns.core.actors import Person
from campaigns.core.kept_text import keep
from campaigns.messages import proof_domains
from deliveries.lifecycle.commands import ask
from deliveries.models import Delivery
from deliveries.models.proofs import ProofRecipient

_TEST = gettext_noop(
    "%(address)s lies in no domain that proofs may go to. Choose another address, ask an administrator to list the "
    "domain, or have the proof sent by somebody with the role “Start deliveries”."
)
_REAL = gettext_noop(
    "%(address)s lies in no domain that proofs may go to, and the mail shows a real profile's data. Choose another "
    "address, ask an administrator to list the domain, or have the proof sent by somebody with the roles “Start "
    "deliveries” and “Export”."
)


def require(delivery: Delivery, by: Person, mails: Sequence[ProofRecipient]) -> None:
    """Raise PermissionDenied, which names an address, unless `by` may send all these mails of a proof of `delivery`."""
    outside = _outside(delivery, [mail.address for mail in mails])
    for real, template in ((True, _REAL), (False, _TEST)):
        beyond = [mail.address for mail in mails if mail.address in outside and (mail.profile_id is not None) is real]
        if beyond:
            words = keep(template, address=beyond[0])
            may = partial(permissions.require_prove_beyond, real=real, words=words)
            ask(may, delivery, by, "send a proof beyond the listed domains of", delivery.message.campaign)


def out_of_reach(delivery: Delivery, by: Person, addresses: Iterable[str]) -> set[str]:
    """Of the addresses of test profiles those that `by` may not send to; for pages."""
    campaigns = (delivery.campaign, delivery.message.campaign)
    if all(permissions.may_prove_beyond(by, campaign, real=False) for campaign in campaigns):
        return set()
    return _outside(delivery, addresses)


def _outside(delivery: Delivery, addresses: Iterable[str]) -> set[str]:
    """The list that counts is that of the unit to which the message belongs now."""
    return proof_domains.outside(addresses, delivery.message.campaign.unit)
