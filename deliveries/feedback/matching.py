"""Which sending log a report is about: proved by a token that was made here, never by an address.

Tokens stand in the return path (VERP), the Message-ID, the envelope id (RFC 3461) and whatever header fields or
metadata a server copies from the message; wherever one stands, its signature alone decides. Tokens of the pages (an
opt-out address, say) prove nothing here, and those of a Message-ID are no return path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from deliveries.ledger.message_tokens import old_tokens, recognising, tokens
from deliveries.ledger.message_tokens.tokens import Purpose
from deliveries.mail.bounces.parser import Report

MAX_TEXT = 200_000  # characters of one text that are searched
MAX_TRIES = 500  # token-like words of one text
SEEN: tuple[Purpose, ...] = ("message_id", "return_path")  # what mail servers see of a message

_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])[0-9A-Fa-f]{12}[A-Za-z2-7]{15}(?![A-Za-z0-9])"
    r"|(?<![A-Za-z2-7])[A-Za-z2-7]{24}(?![A-Za-z2-7])"  # of the old form
)


def log_in(texts: Iterable[str], purposes: tuple[Purpose, ...] = SEEN) -> int | None:
    """The sending log that the first valid token in the texts names, or None."""
    for word in _words(texts):
        if (log_id := recognising.log_named(word, *purposes)) is not None:
            return log_id
    return None


def return_path_of(local_part: str) -> int | None:
    """The sending log to whose return path an address with this local part may belong, or None if it was not given by
    us. Asks no database: whether a row takes a token of the old form is seen when the mail is read."""
    for word in _words([local_part]):
        for found in (tokens.unsign(word, "return_path"), old_tokens.unsign(word)):
            if found is not None:
                return found
    return None


def log_of(report: Report, recipient: str = "") -> int | None:
    """The sending log of a report; `recipient` is the address to which the report itself was sent, as the envelope of
    the transaction had it. Best evidence first."""
    evidence = report.evidence
    found = log_in([recipient, *evidence.envelope_to], ("return_path",))
    return found if found is not None else log_in([evidence.envelope_id, *evidence.message_ids])


def _words(texts: Iterable[str]) -> Iterator[str]:
    """What looks like a token."""
    for text in texts:
        for tries, match in enumerate(_TOKEN.finditer(text[:MAX_TEXT])):
            if tries >= MAX_TRIES:
                break
            yield match.group()
