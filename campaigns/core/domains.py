"""Domains of e-mail addresses as DNS and SMTP have them, so that what is compared is what is sent to. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

import idna

_DOMAIN = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")


class BadAddress(ValueError):
    """What no mail can be sent to."""


@lru_cache(maxsize=4096)
def ascii_domain(domain: str) -> str:
    """A domain in lower case, an international one in punycode (RFC 5891). Raises BadAddress."""
    if _DOMAIN.fullmatch(domain):
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True, transitional=False).decode("ascii")
    except UnicodeError as error:
        raise BadAddress(f"{domain!r} is no domain: {error}") from error


def ascii_address(address: str) -> str:
    """The address with its domain as `ascii_domain` writes it; nothing is said of what stands before. Raises
    BadAddress."""
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{ascii_domain(domain)}"


def domain_of(address: str) -> str:
    """The domain that a mail to `address` goes to: behind the last @ (RFC 5321 section 4.1.2). '' for what has none."""
    try:
        return ascii_domain(address.rpartition("@")[2]) if "@" in address else ""
    except BadAddress:
        return ""
