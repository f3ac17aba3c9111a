"""Which sending log a report is about: proved by a token that was made here, never by an address.

Tokens stand in the return path (VERP), the Message-ID, the envelope id (RFC 3461) and whatever header fields or
metadata a server copies from the message; wherever one stands, its signature alone decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import tokens
from .bounces import Report

MAX_TEXT = 200_000  # characters of one text that are searched
MAX_TRIES = 500  # token-like words of one text

_TOKEN = re.compile(r"(?<![A-Za-z2-7])[A-Za-z2-7]{24}(?![A-Za-z2-7])")


def log_in(texts: Iterable[str]) -> int | None:
    """The sending log that the first valid token in the texts names, or None."""
    for text in texts:
        for tries, match in enumerate(_TOKEN.finditer(text[:MAX_TEXT])):
            if tries >= MAX_TRIES:
                break
            if (log_id := tokens.unsign(match.group())) is not None:
                return log_id
    return None


def log_of(report: Report, recipient: str = "") -> int | None:
    """The sending log of a report; `recipient` is the address to which the report itself was sent, as the envelope of
    the transaction had it. Best evidence first."""
    evidence = report.evidence
    return log_in([recipient, *evidence.envelope_to, evidence.envelope_id, *evidence.message_ids])
