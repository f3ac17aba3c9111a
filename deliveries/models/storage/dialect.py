"""What PostgreSQL and SQLite spell differently in the set-based statements of the sending rooms.

Leases and due times are compared with the database's clock alone: two hosts need not agree on the time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import connection

_SQLITE_STAMP = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now'{})"  # %% since statements carry %s parameters


def _is_sqlite() -> bool:
    return connection.vendor == "sqlite"


def now() -> str:
    """SQL for the database's time."""
    return _SQLITE_STAMP.format("") if _is_sqlite() else "statement_timestamp()"


def in_seconds(seconds: float) -> str:
    """SQL for the database's time, `seconds` later."""
    if _is_sqlite():
        return _SQLITE_STAMP.format(f", '{seconds:+.3f} seconds'")
    return f"(statement_timestamp() + interval '{seconds:.3f} seconds')"


def stamp(moment: datetime | None) -> Any:
    """A time as a parameter of a statement."""
    return connection.ops.adapt_datetimefield_value(moment)


def moment(value: Any) -> datetime | None:
    """A time read by a raw statement, aware; SQLite gives text, or a naive one."""
    if value is None:
        return None
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def look_up() -> None:
    """Let the rest of this transaction find rows by their indexes. Until statistics are fresh PostgreSQL plans joins
    with a few hundred rows as scans of whole tables: each chunk would read all that was ever reported."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            settings = ", ".join(
                f"set_config('enable_{way}', 'off', true)" for way in ("hashjoin", "mergejoin", "seqscan")
            )
            cursor.execute(f"SELECT {settings}")


def one_of(ids: Iterable[int]) -> tuple[str, Any]:
    """SQL that follows `id`, and its parameter: true for the ids given."""
    if _is_sqlite():
        return "IN (SELECT value FROM json_each(%s))", json.dumps(list(ids))
    return "= ANY(%s)", list(ids)


_POSTGRES_TYPES = {int: "bigint", str: "text", bool: "boolean", datetime: "timestamptz"}


def rows(columns: Mapping[str, type]) -> str:
    """SQL of a subquery that turns one JSON parameter, a list of lists, into rows with these columns.

    One JSON text costs the server less than an array a column, and serves both databases (measured).
    """
    if _is_sqlite():
        picked = ", ".join(f"json_extract(value, '$[{i}]') AS {name}" for i, name in enumerate(columns))
        return f"(SELECT {picked} FROM json_each(%s))"
    picked = ", ".join(
        f"(v->>{i})::{_POSTGRES_TYPES[kind]} AS {name}" for i, (name, kind) in enumerate(columns.items())
    )
    return f"(SELECT {picked} FROM jsonb_array_elements(%s::jsonb) v)"


def rows_parameter(values: Iterable[tuple[Any, ...]]) -> str:
    """The parameter for `rows`; times may have gone through `stamp`, or not."""
    adapt = connection.ops.adapt_datetimefield_value
    return json.dumps(list(values), ensure_ascii=False, default=lambda value: str(adapt(value)))
