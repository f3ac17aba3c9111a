"""The temporary table of a preparation's target, and the statements over it that several rooms write.

One row a profile: profile_id, address, cause (0: gets the message) and rule (the typology rule's number, or 0). It
lives in the database connection and ends with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.db import connection

from deliveries.models.states import Reason

TARGET = "prepared_target"


class Found(NamedTuple):
    """How many a cause left out; a typology rule is named by its number and label."""

    cause: Reason
    volume: int
    rule: int = 0
    rule_label: str = ""

    @property
    def words(self) -> str:
        """The cause for the log, with the rule if it was one."""
        return f"{self.cause.label} “{self.rule_label}” (RL{self.rule})" if self.rule else str(self.cause.label)


def execute(sql: str, params: Sequence[Any] = ()) -> int:
    """Run a statement. Out: the number of rows that it changed."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def rows(sql: str, params: Sequence[Any] = ()) -> list[Any]:
    """All rows that a statement gives."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def leave_out(cause: Reason, where: str, params: Sequence[Any] = (), *, rule: int = 0, source: str = "") -> int:
    """Leave out those who are still in and for whom `where` holds. In: `source` is joined. Out: how many."""
    return execute(
        f"UPDATE {TARGET} SET cause = {cause:d}, rule = {rule:d} {source and f'FROM {source}'} "
        f"WHERE {TARGET}.cause = 0 AND {where}",
        params,
    )


def temporary(name: str, columns: str, values: Iterable[tuple[Any, ...]] = ()) -> None:
    """Make a temporary table anew, with these rows."""
    execute(f"DROP TABLE IF EXISTS {name}")
    execute(f"CREATE TEMPORARY TABLE {name} ({columns})")
    places = ", ".join(["%s"] * (columns.count(",") + 1))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {name} VALUES ({places})", list(values))
    analyse(name)


def analyse(name: str) -> None:
    """Let PostgreSQL's planner know how large a temporary table is: autovacuum never sees them."""
    if connection.vendor == "postgresql":
        execute(f"ANALYZE {name}")
