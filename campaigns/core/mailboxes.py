"""When two addresses are one mailbox: upper and lower case do not matter, nor which of its two spellings a domain has.

Profiles are stored in lower case, but old rows may hold capitals, and a domain beyond ASCII may stand as
it is read or as IDNA writes it. Pure.
"""

from __future__ import annotations

import idna

from .domains import BadAddress, ascii_address


def canonical(address: str) -> str:
    """The one form in which a mailbox is kept: lower case, the domain in IDNA's ASCII form (RFC 5891) if it has one."""
    written = address.strip().lower()
    try:
        return written if written.isascii() else ascii_address(written)
    except BadAddress:
        return written


def spellings(address: str) -> list[str]:
    """The forms, in lower case, in which a profile may hold this mailbox; the canonical one comes first."""
    first = canonical(address)
    local, at, domain = first.rpartition("@")
    if "xn--" not in domain:
        return [first]
    try:
        return [first, f"{local}{at}{idna.decode(domain).lower()}"]
    except UnicodeError:
        return [first]
