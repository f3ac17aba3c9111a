"""Sending logs that are locked, changed in memory, and written back at once with their batches' counters.

Batches are locked before their rows, both in order of their keys, so that nobody waits in a circle; the counters change
by the difference between each row before and after, so whatever was known before, the ledger balances.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.db import connection
from django.utils import timezone

from campaigns.core import queue
from campaigns.core.kept_text import keep as _
from deliveries.models import Delivery, SendingLog
from deliveries.models.counters import COUNTERS, Kind, steps
from deliveries.models.states import Act, State, advance
from deliveries.models.storage import dialect, partition_lookup

from .events import log_event

Retry = SendingLog.Retry


@dataclass(slots=True)
class LockedRow:
    """The columns of a sending log that are read or written, in the order of _COLUMNS."""

    id: int
    batch_id: int
    delivery_id: int
    address: str
    status: int
    failure_type: int
    reason: int
    reply: str
    claim_fence: int | None
    claims: int
    attempts: int
    due_at: Any
    relayed_at: Any
    last_event_at: Any
    last_event_rank: int
    retry_state: int
    complained_at: Any
    date: Any = None  # of the change, where a report decided the row now; not read

    @property
    def retrying(self) -> bool:
        """Somebody will try again."""
        return (self.due_at is not None and self.attempts > 0) or self.retry_state == Retry.SERVER

    @property
    def kind(self) -> Kind:
        """What its batch counts it by."""
        relayed, complained = self.relayed_at is not None, self.complained_at is not None
        return Kind(self.status, self.failure_type, relayed, self.retrying, complained)


_COLUMNS = [field.name for field in fields(LockedRow) if field.name != "date"]
_TIMES = ("due_at", "relayed_at", "last_event_at", "complained_at")
_WRITTEN = {
    "id": int,
    "status": int,
    "failure_type": int,
    "reason": int,
    "reply": str,
    "date": datetime,
    "claim_fence": int,
    "claims": int,
    "attempts": int,
    "due_at": datetime,
    "relayed_at": datetime,
    "last_event_at": datetime,
    "last_event_rank": int,
    "retry_state": int,
    "complained_at": datetime,
}
_VALUES = attrgetter(*_WRITTEN)


class LockedRows:
    """Locked rows with their deliveries: changed one by one, and then written at once. Iterating gives the rows."""

    def __init__(self, found: list[tuple[Any, ...]]) -> None:
        self._rows, self.now = [LockedRow(*values) for values in found], timezone.now()
        self._before = {values[0]: LockedRow(*values) for values in found}
        wanted = {row.delivery_id for row in self._rows}
        self._deliveries = (
            Delivery.everything.select_related("routing")
            .only(
                "state",
                "feedback_service",
                "retry_by",
                "validity_end",
                "routing__retry_first_day",
                "routing__retry_gap",
                "routing__retry_every",
            )
            .in_bulk(wanted)
        )

    @classmethod
    def of_logs(cls, ids: list[int]) -> LockedRows:
        """These rows, wherever they are; their batches are locked first, in order."""
        matches, parameter = dialect.one_of(ids)
        lock = " FOR NO KEY UPDATE" if connection.vendor == "postgresql" else ""
        tables = partition_lookup.of_logs(ids)
        source = f"{partition_lookup.source(tables)} l"
        batches = f"SELECT batch_id FROM {source} WHERE id {matches} AND batch_id IS NOT NULL"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM deliveries_batch WHERE id IN ({batches}) ORDER BY id{lock}", [parameter])
        return cls.where(tables, f"id {matches} AND batch_id IS NOT NULL", [parameter])

    @classmethod
    def where(cls, tables: list[str], condition: str, parameters: list[Any], limit: int | None = None) -> LockedRows:
        """The rows of these tables that meet an SQL condition, locked in order."""
        lock = " FOR NO KEY UPDATE" if connection.vendor == "postgresql" else ""
        most = f" LIMIT {limit:d}" if limit else ""
        found: list[tuple[Any, ...]] = []
        with connection.cursor() as cursor:
            for table in tables:
                columns = ", ".join(_COLUMNS)
                cursor.execute(f"SELECT {columns} FROM {table} WHERE {condition} ORDER BY id{most}{lock}", parameters)
                found += cursor.fetchall()
        return cls([_aware(values) for values in found] if connection.vendor == "sqlite" else found)

    def __iter__(self) -> Iterator[LockedRow]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def delivery(self, row: LockedRow) -> Delivery:
        """The row's delivery: its state, its validity, and how its routing tries again."""
        return self._deliveries[row.delivery_id]

    def write(self) -> set[int]:
        """Write the rows that changed, and their batches' counters. Out: the deliveries of these rows."""
        changed = [row for row in self._rows if row != self._before[row.id]]
        if not changed:
            return set()
        sets = ", ".join(f"{name} = r.{name}" for name in _WRITTEN if name not in ("id", "date"))
        sets += ", date = COALESCE(r.date, l.date)"
        where: dict[str, list[LockedRow]] = defaultdict(list)
        for row in changed:
            where[partition_lookup.of_batch(row.batch_id)].append(row)
        with connection.cursor() as cursor:
            for table, rows in where.items():
                cursor.execute(
                    f"UPDATE {table} AS l SET {sets} FROM {dialect.rows(_WRITTEN)} r WHERE l.id = r.id",
                    [dialect.rows_parameter(map(_VALUES, rows))],
                )
        self._count(changed)
        self._reopen(changed)
        return {row.delivery_id for row in changed}

    def _count(self, changed: list[LockedRow]) -> None:
        deltas: dict[int, Counter[str]] = defaultdict(Counter)
        due: dict[int, datetime] = {}
        for row in changed:
            before, delta = self._before[row.id], deltas[row.batch_id]
            if row.due_at and row.due_at != before.due_at:
                due[row.batch_id] = min(row.due_at, due.get(row.batch_id, row.due_at))
            for name, step in steps(before.kind, row.kind).items():
                delta[name] += step
        columns = {"id": int, **dict.fromkeys(COUNTERS, int), "due": datetime}
        sets = ", ".join(f"{name} = b.{name} + r.{name}" for name in COUNTERS)
        earlier = "r.due IS NOT NULL AND (b.next_due_at IS NULL OR b.next_due_at > r.due)"
        values = (
            (batch_id, *(delta[name] for name in COUNTERS), due.get(batch_id))
            for batch_id, delta in sorted(deltas.items())
        )
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE deliveries_batch AS b SET {sets}, "
                f"next_due_at = CASE WHEN {earlier} THEN r.due ELSE b.next_due_at END "
                f"FROM {dialect.rows(columns)} r WHERE b.id = r.id",
                [dialect.rows_parameter(values)],
            )

    def _reopen(self, changed: list[LockedRow]) -> None:
        """A finished delivery goes on when one of its messages came back and is sent again."""
        due = {row.delivery_id for row in changed if row.due_at is not None}
        for delivery_id in sorted(pk for pk in due if self._deliveries[pk].state == State.FINISHED):
            if advance(Delivery.everything.filter(pk=delivery_id), Act.REOPEN, finished_at=None):
                words = _("In progress again: messages came back and are sent again later.")
                log_event(delivery_id, "reopened", words)
                queue.enqueue(queue.Task.ENQUEUE_BATCHES, delivery_id)


def _aware(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row as SQLite gives it, with times that can be compared."""
    named = zip(_COLUMNS, values, strict=True)
    return tuple(dialect.moment(value) if name in _TIMES else value for name, value in named)
