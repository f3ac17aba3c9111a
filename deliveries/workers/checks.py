"""System checks: settings under which a message could be lost or mailed twice are refused."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connection


@register()
def cluster_is_safe(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """django-q2 re-delivers a task after `retry` seconds: that must never reach one that still runs."""
    q, budget = settings.Q_CLUSTER, settings.TASK_BUDGET_SECONDS
    unsafe = {
        "timeout must be at least 3 times TASK_BUDGET_SECONDS": q["timeout"] < 3 * budget,
        "retry must be at least 5 times TASK_BUDGET_SECONDS and above timeout": q["retry"]
        < max(5 * budget, q["timeout"] + 1),
        "queue_limit must equal workers": q["queue_limit"] != q["workers"],
        "max_attempts must be 1 (retries are rows with a due time)": q["max_attempts"] != 1,
        "catch_up must be off (a missed schedule must not fire for every missed time)": q["catch_up"] is not False,
    }
    return [Error(f"Q_CLUSTER: {rule}.", id="deliveries.E001") for rule, broken in unsafe.items() if broken]


@register()
def sqlite_writes_queue(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Deferred SQLite transactions fail with "locked" under several writers, whatever the timeout."""
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3") and database["OPTIONS"].get("transaction_mode") != "IMMEDIATE":
        return [Error("SQLite needs OPTIONS transaction_mode IMMEDIATE.", id="deliveries.E002")]
    return []


@register()
def secret_key_is_set(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Sessions, tokens in mails and return paths are signed with it: it must be one, and the same, everywhere."""
    if settings.SECRET_KEY_IS_MISSING:
        remedy = "Set it to 50 or more random characters; `python3 manage.py up` makes one in its data directory."
        return [Error("SECRET_KEY is not set.", hint=remedy, id="deliveries.E003")]
    return []


@register()
def demo_stays_here(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """DEMO=1 means plain HTTP and accounts whose passwords everybody knows: no other machine may be let in. wsgi.py
    asks too, since gunicorn runs no checks."""
    if not settings.DEMO:
        return []
    open_to_others = {f"ALLOWED_HOSTS names {name}": not _is_here(name) for name in settings.ALLOWED_HOSTS} | {
        f"PUBLIC_URL is {settings.PUBLIC_URL}": not _is_here(urlsplit(settings.PUBLIC_URL).hostname or ""),
        "BEHIND_PROXY is on": settings.BEHIND_PROXY,
    }
    remedy = "Set DEMO=0 with settings of your own and real accounts, or leave the demo to `manage.py up`."
    return [
        Error(f"DEMO is on, but {rule}.", hint=remedy, id="deliveries.E004")
        for rule, open_ in open_to_others.items()
        if open_
    ]


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


_ROLES_LIMIT = """
    SELECT EXISTS (SELECT 1 FROM pg_db_role_setting, unnest(setconfig) AS one
                   WHERE one LIKE 'statement_timeout=%'
                     AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))
                     AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())))"""


@register(Tags.database)
def pooled_statements_end(app_configs: Any, databases: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """A pooler takes no limits from its clients (settings.py): they must be the database role's."""
    if not databases or not settings.DATABASE_IS_POOLED:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_ROLES_LIMIT)
        if cursor.fetchone()[0]:
            return []
    remedy = "ALTER ROLE CURRENT_USER SET statement_timeout = '60s'; config/docs/operations.md has all three."
    return [Warning("Behind the pooler statements may run for ever.", hint=remedy, id="deliveries.W001")]
