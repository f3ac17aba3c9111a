"""A database connection of one's own for work that must keep it: temporary tables, statements that take minutes.

Behind a pooler that hands out connections by the transaction (pgbouncer) the next statement may meet another session,
which knows nothing of a temporary table. DATABASE_SESSION_URL names a way past it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections


@contextmanager
def own_session() -> Iterator[None]:
    """Use a new connection until the end, and then close it, with all that it holds.

    Its statements have no limit of time. Within a transaction, and on SQLite, the connection stays as it is.
    """
    shared = connections[DEFAULT_DB_ALIAS]
    if shared.vendor != "postgresql" or shared.in_atomic_block:
        yield
        return
    own = type(shared)({**shared.settings_dict, **settings.DATABASE_SESSION}, DEFAULT_DB_ALIAS)
    connections[DEFAULT_DB_ALIAS] = own
    try:
        yield
    finally:
        connections[DEFAULT_DB_ALIAS] = shared
        own.close()
