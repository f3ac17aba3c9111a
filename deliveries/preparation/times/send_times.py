"""When each recipient of a preparation is due, where that differs from one to the next (concepts.md, When it leaves).

Computed while the people are in a temporary table (target.py), so that later edits of profiles change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from django.db import connection

from campaigns.content.problems import Problem
from campaigns.messages import profile_values
from campaigns.models import Profile, Schedule
from campaigns.scheduling import calendar, date_formula
from deliveries.models.storage import dialect
from deliveries.preparation.target_table import execute, rows, temporary

_ZONE = "prepared_zone"
READ_AT_ONCE = 5000


class Spread(Protocol):
    """Fills the column `due_at` of all rows with `cause` 0 of a table that also has `profile_id` and `zone`."""

    unreadable: int

    def __call__(self, table: str) -> None:
        """Do so; `unreadable`: for how many the contact date had to do."""


class Unreadable(ValueError):
    """The schedule's formula cannot be computed; a control rule says so before this is raised."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))


def spread_of(schedule: Schedule | None, fields: Sequence[str], going_on: Callable[[], None]) -> Spread | None:
    """How the schedule spreads its recipients; None if all are due at once.

    In: `fields` that a formula may quote; what is called after every few thousand people, since a million formulas take
    minutes, and who is silent for one is taken for dead.
    """
    if schedule is None or schedule.contact_date is None or not schedule.is_spread:
        return None
    if schedule.mode == Schedule.Mode.RECIPIENT_ZONE:
        return ByZone(schedule)
    formula = date_formula.compiled(schedule.formula, fields)
    if isinstance(formula, list):
        raise Unreadable(formula)
    return ByFormula(schedule, formula, going_on)


class ByZone:
    """The same clock everywhere: computed once a zone, then looked up in a table, since SQLite would search a list of
    600 for each person."""

    unreadable = 0

    def __init__(self, schedule: Schedule) -> None:
        assert schedule.contact_date is not None
        self.at, self.zone = schedule.contact_date, schedule.zone

    def __call__(self, table: str) -> None:
        """See Spread."""
        zones = [zone for (zone,) in rows(f"SELECT DISTINCT zone FROM {table} WHERE cause = 0")]
        due = calendar.instants_by_zone(self.at, self.zone, zones)
        columns = "zone varchar(64) PRIMARY KEY, due_at timestamptz NOT NULL"
        temporary(_ZONE, columns, [(zone, dialect.stamp(at)) for zone, at in due.items()])
        execute(
            f"UPDATE {table} SET due_at = z.due_at FROM {_ZONE} z WHERE z.zone = {table}.zone AND {table}.cause = 0"
        )
        execute(f"DROP TABLE {_ZONE}")


class ByFormula:
    """Each recipient's own date; the contact date where the formula gives none."""

    def __init__(self, schedule: Schedule, formula: date_formula.Formula, going_on: Callable[[], None]) -> None:
        assert schedule.contact_date is not None
        self.at, self.zone, self.formula = schedule.contact_date, schedule.zone, formula
        self.going_on = going_on
        self.read = profile_values.reader(formula.fields)
        columns = profile_values.columns(formula.fields)
        self.columns = "".join(f", p.{connection.ops.quote_name(column)}" for column in columns)
        self.unreadable = 0

    def __call__(self, table: str) -> None:
        """See Spread."""
        last = 0
        while some := self._some(table, last):
            self._write(table, [(row[0], self._due(row[1:])) for row in some])
            last = some[-1][0]
            self.going_on()

    def _some(self, table: str, after: int) -> list[Any]:
        people = Profile._meta.db_table
        sql = f"""SELECT t.profile_id{self.columns} FROM {table} t JOIN {people} p ON p.id = t.profile_id
                  WHERE t.profile_id > %s AND t.cause = 0 ORDER BY t.profile_id LIMIT %s"""
        return rows(sql, [after, READ_AT_ONCE])

    def _due(self, values: Sequence[Any]) -> datetime:
        due = self.formula.due(self.read(values), self.at, self.zone)
        self.unreadable += due is None
        return due or self.at

    def _write(self, table: str, due: list[tuple[int, datetime]]) -> None:
        sql = f"""UPDATE {table} SET due_at = r.due FROM {dialect.rows({"pk": int, "due": datetime})} r
                  WHERE {table}.profile_id = r.pk"""
        execute(sql, [dialect.rows_parameter((pk, dialect.stamp(at)) for pk, at in due)])
