"""A delivery's rows in shares, which PostgreSQL counts side by side: each share is a range of ids of sending logs.

Where it expects many groups, as by domain or by recipient, PostgreSQL does not divide the work of grouping among
processes; parts of a UNION ALL it does (Parallel Append), and each is counted by one of them: half the time on two
cores (measured).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection

from deliveries.models.states import LogStatus

LEAST, MOST = 50_000, 500_000  # ids in a share


def of(delivery_id: int) -> list[tuple[int, int]]:
    """[(first id, id after the last)] of the shares; one that is empty if the delivery has no rows."""
    of_status = f"FROM deliveries_sendinglog WHERE delivery_id = {delivery_id:d} AND status"
    of_each = " UNION ALL ".join(  # by status: so the index has both ends at hand
        f"SELECT (SELECT MIN(id) {of_status} = {status:d}) AS low, (SELECT MAX(id) {of_status} = {status:d}) AS high"
        for status in LogStatus
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT MIN(low), MAX(high) FROM ({of_each}) edges")
        low, high = cursor.fetchone()
    if low is None:
        return [(0, 0)]
    # Four at least where there are many, so that all processes have something to do.
    share = min(MOST, max(LEAST, (high - low) // 4 + 1))
    return [(at, at + share) for at in range(low, high + 1, share)]


def summed(
    delivery_id: int, keys: str, numbers: Sequence[str], select: Callable[[str, str], str]
) -> list[tuple[Any, ...]]:
    """Groups of a delivery's rows, with sums of numbers. In: `keys`: what to group by; `select` makes the statement of
    a share, which gives keys and numbers, from the conditions on sending logs (`l`) and on tracking logs (`t`)."""
    conditions = (
        [
            f"{rows}.delivery_id = {delivery_id:d} AND {rows}.{key} >= {low:d} AND {rows}.{key} < {high:d}"
            for rows, key in (("l", "id"), ("t", "sending_log_id"))
        ]
        for low, high in of(delivery_id)
    )
    parts = " UNION ALL ".join(select(logs, events) for logs, events in conditions)
    sums = ", ".join(f"CAST(SUM({number}) AS bigint)" for number in numbers)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {keys}, {sums} FROM ({parts}) parts GROUP BY {keys}")
        return list(cursor.fetchall())


def plan_for_many(*, look_ups: bool) -> None:
    """Let the rest of this transaction be planned for millions of rows. In: `look_ups`: whether a table's rows may be
    looked up one by one for those of another; not where far more come of a group than PostgreSQL expects."""
    if connection.vendor == "postgresql":
        chosen = {
            "enable_nestloop": "on" if look_ups else "off",
            "work_mem": "64MB",
            "jit": "off",  # compiling costs more than it saves (measured)
            # Whole shares are divided among processes, not one share: each would group all of it again (measured).
            "min_parallel_table_scan_size": "1TB",
            "min_parallel_index_scan_size": "1TB",
        }
        with connection.cursor() as cursor:
            cursor.execute("SELECT " + ", ".join(f"set_config('{name}', '{to}', true)" for name, to in chosen.items()))
