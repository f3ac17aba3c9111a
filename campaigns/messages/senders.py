"""Which addresses a brand may send from, and where answers to its messages may go.

A sender outside the brand's domains stops the preparation. A reply-to outside them may be meant, when a partner answers
say, or be somebody who wants the readers' answers: it is told wherever the message is written, prepared and confirmed.
The brand's own reply-to was chosen by an administrator and is not told again with each message.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import cast

from campaigns.content.problems import Problem, Severity
from campaigns.core.kept_text import keep as _
from campaigns.models import Brand, Message
from campaigns.models.control_rule_catalogue import CONTROL_RULES
from campaigns.models.typologies import levels

from . import typologies

REPLY_TO = "reply-to-domain"  # code of the control rule


def covers(brand: Brand, address: str) -> bool:
    """True if the address lies in one of the brand's domains; *.example.com covers subdomains."""
    masks = (line.strip().lower() for line in brand.sender_domains.splitlines())
    domain = address.lower().rpartition("@")[2]
    return any(fnmatchcase(domain, mask) for mask in masks if mask)


def about_reply_to(brand: Brand, address: str) -> str:
    """What is to be told of a reply-to address, as a sentence that was `said`; '' if nothing."""
    if not address or address.lower() == brand.reply_to.lower() or covers(brand, address):
        return ""
    return _(
        "Answers go to %(address)s, which is not in a domain of the brand “%(brand)s”. Change the reply-to address "
        "unless that is meant.",
        address=address,
        brand=brand,
    )


def problems(message: Message) -> list[Problem]:
    """For the form of a message, at the level that its typology gives the rule."""
    level = levels(typologies.of(message)).get(REPLY_TO, CONTROL_RULES[REPLY_TO].level)
    words = about_reply_to(message.brand, message.reply_to)
    return [Problem("Sender", 0, words, cast("Severity", level), REPLY_TO)] if words and level != "off" else []
