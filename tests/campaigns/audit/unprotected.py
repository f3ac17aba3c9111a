"""Takes the database's own refusals away again, for the tests that come after one of them."""

from django.db import connection

NAMES = {
    "campaigns_auditentry": ("audit_no_change", "audit_no_delete", "audit_no_truncate"),
    "campaigns_auditvalue": ("audit_value_no_change", "audit_value_no_truncate"),
}


def unprotect() -> None:
    """Drop every trigger that triggers.protect() makes."""
    with connection.cursor() as cursor:
        for table, names in NAMES.items():
            for name in names:
                suffix = "" if connection.vendor == "sqlite" else f" ON {table}"
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}{suffix}")
