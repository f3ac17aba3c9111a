"""Statements that may take long. Others end after DATABASE_STATEMENT_SECONDS, lest one page hold up all that follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def unhurried() -> Iterator[None]:
    """Let statements take as long as they need: counting, importing or purging millions of rows. On PostgreSQL this is
    a transaction, to whose end it holds: a setting of the session would be another's behind a pooler."""
    if connection.vendor != "postgresql":  # SQLite knows no such limit, and a transaction would keep writers out
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        yield
