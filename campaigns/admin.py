"""Registers the admin pages, which are split by subject."""

from . import (
    admin_audit,
    admin_campaigns,
    admin_imports,
    admin_messages,
    admin_people,
    admin_proof_domains,
    admin_tracking,
    admin_typologies,
    admin_units,
    admin_users,
    test_profiles,
)

__all__ = [
    "admin_audit",
    "admin_campaigns",
    "admin_imports",
    "admin_messages",
    "admin_people",
    "admin_proof_domains",
    "admin_tracking",
    "admin_typologies",
    "admin_units",
    "admin_users",
    "test_profiles",
]
