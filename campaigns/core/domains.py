"""Domains of e-mail addresses as DNS and SMTP have them, so that what is compared is what is sent to. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

import idna

_DOMAIN = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")


class BadDomain(ValueError):
    """What no mail can be sent to."""


@lru_cache(maxsize=4096)
def ascii_domain(domain: str) -> str:
    """A domain in lower case, an international one in punycode (RFC 5891). Raises BadDomain."""
    if _DOMAIN.fullmatch(domain):
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True, transitional=False).decode("ascii")
    except idna.IDNAError as error:
        raise BadDomain(f"{domain!r} is no domain: {error}") from error


def domain_of(address: str) -> str:
    """The domain that a mail to `address` goes to: behind the last @ (RFC 5321 section 4.1.2). '' for what has none."""
    try:
        return ascii_domain(address.rpartition("@")[2]) if "@" in address else ""
    except BadDomain:
        return ""
