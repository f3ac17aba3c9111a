"""Counts a delivery's rows again and compares with the counters on its batches; corrects those that have drifted.

Rows and counters change in one transaction (statuses.py), so a single statement sees both at the same moment, and no
sender waits for it. What it finds is a difference, and a difference stays true whatever happens meanwhile: adding it to
the counter corrects it without counting again under a lock. Two corrections at once would add it twice: whoever calls
`correct` sees to it that only one runs (reporting/figures/kept_figures.py).
"""

from __future__ import annotations

from typing import NamedTuple

from django.db import connection
from django.db.models import F

from campaigns.core.web.slow_statements import unhurried
from deliveries.models import Batch, SendingLog
from deliveries.models.counters import COUNTERS, Only

# What counters tell rows apart by (Kind), in SQL. Grouping by these first leaves a few lines a batch to sum, and costs
# half of asking each row for every counter (measured).
_KEYS = {
    "status": "status",
    "failure_type": "failure_type",
    "relayed": "relayed_at IS NOT NULL",
    "retrying": f"due_at IS NOT NULL AND attempts > 0 OR retry_state = {SendingLog.Retry.SERVER:d}",
    "complained": "complained_at IS NOT NULL",
}


def _has(key: str, wanted: int | bool | tuple[int, ...]) -> str:
    if isinstance(wanted, bool):
        return key if wanted else f"NOT {key}"
    either = wanted if isinstance(wanted, tuple) else (wanted,)
    return f"{key} IN ({', '.join(map(str, either))})"


def _where(only: Only) -> str:
    return " AND ".join(_has(key, wanted) for key, wanted in only.items())


class Drift(NamedTuple):
    """A counter that does not say what the rows do."""

    batch_id: int
    counter: str
    stood: int
    counted: int


def drifts(delivery_id: int) -> list[Drift]:
    """The counters that differ from the delivery's rows, both read in one statement."""
    keys = ", ".join(f"{what} AS {name}" for name, what in _KEYS.items())
    alike = ", ".join(map(str, range(1, len(_KEYS) + 2)))  # the batch and all keys
    summed = "CAST(SUM(CASE WHEN {} THEN n ELSE 0 END) AS bigint) AS {}".format  # sums of bigint are decimals
    counts = ", ".join(summed(_where(only), name) for name, only in COUNTERS.items())
    stood = ", ".join(f"b.{name}" for name in COUNTERS)
    counted = ", ".join(f"COALESCE(c.{name}, 0)" for name in COUNTERS)
    differs = " OR ".join(f"b.{name} <> COALESCE(c.{name}, 0)" for name in COUNTERS)
    sql = f"""
        SELECT b.id, {stood}, {counted} FROM deliveries_batch b LEFT JOIN (
            SELECT batch_id, {counts} FROM (
                SELECT batch_id, {keys}, COUNT(*) AS n FROM deliveries_sendinglog WHERE delivery_id = %s
                GROUP BY {alike}
            ) alike GROUP BY batch_id
        ) c ON c.batch_id = b.id
        WHERE b.delivery_id = %s AND ({differs}) ORDER BY b.id"""
    with unhurried(), connection.cursor() as cursor:
        cursor.execute(sql, [delivery_id, delivery_id])
        rows = cursor.fetchall()
    return [drift for row in rows for drift in _of_batch(row)]


def _of_batch(row: tuple[int, ...]) -> list[Drift]:
    pk, numbers, names = row[0], row[1:], list(COUNTERS)
    pairs = zip(names, numbers[: len(names)], numbers[len(names) :], strict=True)
    return [Drift(pk, name, stood, counted) for name, stood, counted in pairs if stood != counted]


def correct(delivery_id: int) -> list[Drift]:
    """Correct the counters that have drifted, one short statement a batch. Out: what was found."""
    found = drifts(delivery_id)
    for pk in sorted({drift.batch_id for drift in found}):
        steps = {d.counter: F(d.counter) + (d.counted - d.stood) for d in found if d.batch_id == pk}
        Batch.objects.filter(pk=pk).update(**steps)
    return found
