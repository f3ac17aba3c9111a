"""How each connection to the database is opened: what settings.py makes of the addresses and limits it is given."""

from typing import Any

# Deferred transactions in WAL fail with "locked" whatever the timeout; IMMEDIATE ones queue.
SQLITE = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 30,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536;",
}
# A host that vanished sends no goodbye: it is noticed within half a minute, whether one asks it or waits for it.
NOTICED = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
OF_WHOLE_TABLES = (["migrate"], ["partition_logs"])  # commands whose statements take as long as they need

Database = dict[str, Any]


def configured(database: Database, past: Database | None, limits: dict[str, int], command: list[str]) -> Database:
    """What Django is to know of a database (its URL, read): PostgreSQL's connections bring `limits` in seconds.

    `past`: the server behind a pooler that gives each transaction another session (pgbouncer). A pooler refuses limits
    in the first packet, and any other way would set them for whoever comes next: they are the database role's
    (config/docs/operations.md). A server-side cursor would stay behind in the session as well. `command`: the arguments
    of manage.py.
    """
    if database["ENGINE"].endswith("sqlite3"):
        return {**database, "OPTIONS": SQLITE}
    found = _with_limits(database, {} if past else limits)
    found |= {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True, "DISABLE_SERVER_SIDE_CURSORS": bool(past)}
    return found | (session(database, past, limits) if command[:1] in OF_WHOLE_TABLES else {})


def session(database: Database, past: Database | None, limits: dict[str, int]) -> Database:
    """What is different for a dedicated connection (dedicated_connection.py): no limit on a statement."""
    if database["ENGINE"].endswith("sqlite3"):
        return {}
    unlimited = _with_limits(past or database, {**limits, "statement_timeout": 0})
    return unlimited if past else {"OPTIONS": unlimited["OPTIONS"]}


def _with_limits(database: Database, limits: dict[str, int]) -> Database:
    """What the URL says counts; its `options` come first."""
    given = database.get("OPTIONS", {})
    words = [given.get("options", ""), *(f"-c {name}={seconds}s" for name, seconds in limits.items())]
    options = {"options": " ".join(words).strip()} if limits else {}
    return {**database, "OPTIONS": {**NOTICED, **given, **options}}
