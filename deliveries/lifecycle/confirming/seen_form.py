"""Refuses what would be done to another form than the one that somebody looked at.

A page or a program sends the word of what it showed (fingerprint.word) along with the act; the comparison is made in
the transaction of the act, under the message's lock.
"""

from __future__ import annotations

from campaigns.content.fingerprint import Seal, changed_since_seen, word
from campaigns.core.kept_text import keep as _
from campaigns.models import Message
from deliveries.ledger.errors import Refused
from deliveries.models import Delivery


def refuse(seen: str | None, *forms: Seal) -> None:
    """In: the word that was seen, None where the caller vouches for it, and the seals that it may be the word of.

    Raises Refused('form_unseen') without a word, Refused('form_differs', …, changed=[parts]).
    """
    if seen is None or any(seen == word(form) for form in forms):
        return
    if not seen:
        raise Refused("form_unseen", _("Say what you looked at: it leaves in your name. Open the page again."))
    changed = changed_since_seen(seen, forms[0])
    words = _("Changed since you looked: %(names)s. Look at it again.", names=", ".join(changed))
    raise Refused("form_differs", words, changed=changed)


def refuse_moved(delivery: Delivery, message: Message) -> None:
    """In: a delivery whose rights were asked, and its message under its lock. Raises Refused('form_differs') if the
    message moved to another campaign in between."""
    if message.campaign_id != delivery.message.campaign_id:
        raise Refused("form_differs", _("The message moved to another campaign. Look again."), changed=["campaign"])
