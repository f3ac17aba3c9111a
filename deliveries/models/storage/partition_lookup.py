"""In which tables given sending logs are: their partitions where the logs are split (partitions.py), else the one.

Statements that name the partition are planned as if nothing were split. One over the whole table opens all partitions:
with fifty a look-up by id takes 8 ms instead of 0.1 (measured). A condition on the delivery would find the partition,
too, but until statistics are fresh it leads PostgreSQL through all of the delivery's rows (measured: 100 times slower).

A process remembers which ids each partition has. Rows are added only for deliveries that have not ended, or take later
runs of their series; of all others the ids are known for good. What was made or dropped since shows in the catalogue.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import ProgrammingError, connection
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from deliveries.models.batch import Batch
from deliveries.models.delivery import Delivery
from deliveries.models.logs import SendingLog
from deliveries.models.states import ENDED, State

from . import partitions

FRESH_SECONDS = 60.0
KNOWN = 1000  # batches that a process remembers
ALL = SendingLog._meta.db_table


@dataclass(frozen=True, slots=True)
class Place:
    """A partition: the ids that it has, and whether more may come; `first` 0 while it is empty."""

    table: str
    first: int
    last: int
    grows: bool

    def may_hold(self, ids: list[int]) -> bool:
        """Whether one of these ids, in ascending order, can be here."""
        if self.grows and ids and ids[-1] > self.last:
            return True
        return bool(self.first) and bisect_left(ids, self.first) < bisect_right(ids, self.last)


@dataclass(frozen=True, slots=True)
class _Known:
    """What was seen at one time; threads replace it whole."""

    until: float = 0.0
    version: tuple[int, int] = (0, 0)
    places: list[Place] = field(default_factory=list)
    batches: dict[int, str] = field(default_factory=dict)


_known = _Known()


def forget() -> None:
    """Look everything up anew."""
    global _known
    _known = _Known()


def are_split() -> bool:
    """Whether there are partitions, as far as this process knows."""
    return bool(_seen().places)


def of_batch(batch_id: int) -> str:
    """The table that holds a batch's sending logs."""
    known = _seen()
    if not known.places:
        return ALL
    if batch_id not in known.batches:
        if len(known.batches) >= KNOWN:
            known.batches.clear()
        known.batches[batch_id] = _found(batch_id)
    return known.batches.get(batch_id, ALL)


def _found(batch_id: int) -> str:
    """Rows never move, but the delivery may be younger than what is known."""
    delivery_id = Batch.objects.values_list("delivery", flat=True).get(pk=batch_id)
    return next((name for one, name in partitions.tables_of(SendingLog).items() if delivery_id in one), ALL)


def of_logs(log_ids: Collection[int]) -> list[str]:
    """The tables, one at least, of which one has each of these sending logs that is there at all."""
    ids = sorted(log_ids)
    found = [place.table for place in _seen(sure=True).places if place.may_hold(ids)]
    return found or [ALL]


def source(tables: Iterable[str]) -> str:
    """SQL to read from all of them, to be followed by a name."""
    names = list(tables)
    return names[0] if len(names) == 1 else f"({' UNION ALL '.join(f'SELECT * FROM {name}' for name in names)})"


def logs(log_ids: Collection[int]) -> Iterable[SendingLog]:
    """The sending logs with these ids, in any order."""
    tables = of_logs(log_ids)
    if tables == [ALL]:
        return SendingLog.objects.filter(pk__in=log_ids)
    return SendingLog.objects.raw(f"SELECT * FROM {source(tables)} l WHERE id = ANY(%s)", [list(log_ids)])


def one(log_id: int, columns: str) -> tuple[Any, ...] | None:
    """These columns of a sending log, by hand: the query compiler takes twenty times as long as the query (measured).
    Outside of transactions."""
    likely = [place.table for place in _seen().places if place.may_hold([log_id])]
    with connection.cursor() as cursor:
        for table in (*likely, ALL):
            try:
                cursor.execute(f"SELECT {columns} FROM {table} WHERE id = %s", [log_id])
            except ProgrammingError:  # dropped meanwhile
                if table == ALL:
                    raise
                forget()
                continue
            if row := cursor.fetchone():
                return tuple(row)
    return None


def _seen(*, sure: bool = False) -> _Known:
    """What is known; `sure`: of the partitions as they are now, and not as they were a minute ago."""
    global _known
    if connection.vendor != "postgresql":
        return _known
    known, now = _known, time.monotonic()
    if known.until < now or (sure and known.places and known.version != _version()):
        version = _version()  # first: what changes meanwhile shows the next time
        known = _known = _Known(now + FRESH_SECONDS, version, _look())
    return known


def _version() -> tuple[int, int]:
    sql = "SELECT COUNT(*), COALESCE(MAX(inhrelid::bigint), 0) FROM pg_inherits WHERE inhparent = to_regclass(%s)"
    with connection.cursor() as cursor:
        cursor.execute(sql, [ALL])
        return tuple(cursor.fetchone())


def _look() -> list[Place]:
    """In this order: rows that come meanwhile are in a partition that grows."""
    names = partitions.tables_of(SendingLog)
    if not names:
        return []
    newest = Delivery.everything.aggregate(newest=Max("pk"))["newest"] or 0
    alive = sorted(_growing().values_list("pk", flat=True))
    ends = " UNION ALL ".join(f"SELECT '{name}', MIN(id), MAX(id) FROM {name}" for name in names.values())
    with connection.cursor() as cursor:
        cursor.execute(ends)
        ids = {name: (first or 0, last or 0) for name, first, last in cursor.fetchall()}
    return [
        Place(name, *ids[name], grows=one.high > newest or bisect_left(alive, one.low) < bisect_left(alive, one.high))
        for one, name in names.items()
    ]


def _growing() -> QuerySet[Delivery]:
    """Deliveries that may yet get rows: those that have not ended, and finished executions of a period that goes on
    (lifecycle/recurrence/runs.py): a day, a month, or a year."""
    now = timezone.now()
    goes_on = Q(slot__gte=now - timedelta(days=40)) | Q(period__regex=r"^\d{4}$", slot__gte=now - timedelta(days=400))
    return Delivery.everything.filter(~Q(state__in=ENDED) | Q(goes_on, state=State.FINISHED) & ~Q(period=""))
