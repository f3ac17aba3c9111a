"""How PostgreSQL keeps sending logs: on pages that are half empty at first.

A row is rewritten when it is claimed and when its outcome is recorded. With room on its page the first costs no index
anything and the second clears up after the first: half the server's work for a message sent, and the table is no
larger in the end. (The claim must change no column of an index: claimed rows are found by their due time.)
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from deliveries.models.logs import SendingLog

OPTIONS = "fillfactor = 50"  # of each table that holds sending logs


def leave_room(**kwargs: Any) -> None:
    """Set that for the table, or for its partitions; what is there already stays as it lies. Does nothing twice."""
    if connection.vendor != "postgresql":
        return
    sql = """SELECT c.oid::regclass FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
             WHERE c.relkind = 'r' AND %s::regclass IN (c.oid, i.inhparent) AND reloptions IS NULL"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [SendingLog._meta.db_table])
        for (table,) in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {table} SET ({OPTIONS})")
