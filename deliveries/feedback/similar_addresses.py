"""Addresses in the quarantine that somebody may have meant: matching is exact, so a slip of the pen finds nothing."""

from __future__ import annotations

from difflib import SequenceMatcher

from campaigns.core.web.search import starts_with
from deliveries.models import QuarantinedAddress

LOOKED_AT = 2000  # entries that begin alike
LIKE = 0.85  # share of letters in common


def normal(address: str) -> str:
    """An address as entries are found by: the domain's case never counts (RFC 5321 section 2.4)."""
    local, at, domain = address.strip().rpartition("@")
    return f"{local}{at}{domain.lower()}"


def similar_to(address: str, most: int = 5) -> list[str]:
    """Entries that look like `address` and are not it, likest first: another case, a slip in either part."""
    wanted = normal(address)
    beginning = wanted[:3].lower()
    if not beginning:
        return []
    alike = QuarantinedAddress.objects.filter(starts_with("address", beginning)).values_list("address", flat=True)
    scored = [(_likeness(wanted.lower(), found.lower()), found) for found in alike[:LOOKED_AT] if found != wanted]
    return [found for score, found in sorted(scored, reverse=True) if score >= LIKE][:most]


def _likeness(one: str, other: str) -> float:
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.ratio() if matcher.quick_ratio() >= LIKE else 0.0
