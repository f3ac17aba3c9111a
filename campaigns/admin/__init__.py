"""Registers the admin pages, which are split by subject."""

from . import audit, campaigns, imports, messages, profiles, proof_domains, seeds, tracking, typologies, units, users

__all__ = [
    "audit",
    "campaigns",
    "imports",
    "messages",
    "profiles",
    "proof_domains",
    "seeds",
    "tracking",
    "typologies",
    "units",
    "users",
]
