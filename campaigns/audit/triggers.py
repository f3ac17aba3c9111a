"""The database's own refusals: SQL changes or deletes no entry of the audit, and changes no value beside one.

Sealing is let through, and the deleting of entries whose time is over, which a sealed entry says. Values may be
deleted: where no entry tells of an erasure, `verify_audit` finds that they are gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connection

from campaigns.models.audit.entries import AuditEntry, AuditValue

_ENTRIES, _VALUES = AuditEntry._meta.db_table, AuditValue._meta.db_table


def protect(**_: Any) -> None:
    """Let the database itself refuse changes and deletions, too, but for sealing and for what is over its time."""
    statements = _SQLITE if connection.vendor == "sqlite" else _POSTGRES
    fixed = [field.column for field in AuditEntry._meta.concrete_fields if field.name not in ("position", "chain")]
    words = {
        "table": _ENTRIES,
        "values": _VALUES,
        "same": " OR ".join(f"NEW.{name} {_DIFFERS[connection.vendor]} OLD.{name}" for name in fixed),
    }
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement % words)


_DIFFERS = {"sqlite": "IS NOT", "postgresql": "IS DISTINCT FROM"}
_SQLITE: Iterable[str] = (
    "DROP TRIGGER IF EXISTS audit_no_change",
    "DROP TRIGGER IF EXISTS audit_no_delete",
    "DROP TRIGGER IF EXISTS audit_value_no_change",
    """CREATE TRIGGER audit_no_change BEFORE UPDATE ON %(table)s WHEN OLD.position IS NOT NULL OR %(same)s
       BEGIN SELECT RAISE(ABORT, 'The audit is only ever added to.'); END""",
    """CREATE TRIGGER audit_no_delete BEFORE DELETE ON %(table)s WHEN OLD.position IS NULL OR NOT EXISTS (
         SELECT 1 FROM %(table)s p WHERE p.act = 'audit.purged' AND CAST(p.subject_id AS INTEGER) >= OLD.position)
       BEGIN SELECT RAISE(ABORT, 'The audit is only ever added to.'); END""",
    """CREATE TRIGGER audit_value_no_change BEFORE UPDATE ON %(values)s
       BEGIN SELECT RAISE(ABORT, 'The audit is only ever added to.'); END""",
)
_POSTGRES: Iterable[str] = (
    """CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'The audit is only ever added to.'; END $$""",
    """CREATE OR REPLACE FUNCTION audit_refuse_early() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN
         IF OLD.position IS NULL OR NOT EXISTS (SELECT 1 FROM %(table)s p
            WHERE p.act = 'audit.purged'
              AND CASE WHEN p.act = 'audit.purged' THEN p.subject_id::bigint >= OLD.position END)
         THEN RAISE EXCEPTION 'The audit is only ever added to.'; END IF;
         RETURN OLD;
       END $$""",
    "DROP TRIGGER IF EXISTS audit_no_change ON %(table)s",
    "DROP TRIGGER IF EXISTS audit_no_delete ON %(table)s",
    "DROP TRIGGER IF EXISTS audit_no_truncate ON %(table)s",
    "DROP TRIGGER IF EXISTS audit_value_no_change ON %(values)s",
    "DROP TRIGGER IF EXISTS audit_value_no_truncate ON %(values)s",
    """CREATE TRIGGER audit_no_change BEFORE UPDATE ON %(table)s FOR EACH ROW
       WHEN (OLD.position IS NOT NULL OR %(same)s) EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_no_delete BEFORE DELETE ON %(table)s FOR EACH ROW EXECUTE FUNCTION audit_refuse_early()""",
    """CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON %(table)s EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_value_no_change BEFORE UPDATE ON %(values)s FOR EACH ROW
       EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_value_no_truncate BEFORE TRUNCATE ON %(values)s EXECUTE FUNCTION audit_refuse()""",
)
