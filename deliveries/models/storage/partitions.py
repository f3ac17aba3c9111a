"""The logs of many deliveries as PostgreSQL partitions: a table for each so many deliveries, which a purge drops whole.

By choice (`manage.py partition_logs`), and on PostgreSQL alone. Sending and tracking logs are split at the same ids, so
that both go together. The rows that were there become the first partition as they stand: nothing is copied. Later ones
are attached empty, which no sender notices; each new delivery sees to it that the one after its own exists.

Ids come from one sequence, and each partition has its own primary key on them. A key of the whole table would have to
contain the delivery: then, until statistics are fresh, PostgreSQL takes a look-up by id for a scan of all (measured).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from typing import Any, NamedTuple

from django.db import OperationalError, connection, transaction
from django.db.models import Model

from campaigns.core.web.slow_statements import unhurried
from deliveries.models.batch import Batch
from deliveries.models.delivery import Delivery
from deliveries.models.states import PREPARING, SENDING

logger = logging.getLogger("deliveries.models.storage.partitions")

DELIVERIES = 50  # in a partition, if nobody asks for another number
LOCK_SECONDS = 2  # a change of the tables gives up rather than keep senders waiting longer
_KEY = 0x70617274  # PostgreSQL's advisory lock of whoever makes or drops partitions
_BOUNDS = re.compile(r"FROM \((?:MINVALUE|'(\d+)')\) TO \('(\d+)'\)")


class Unpartitionable(Exception):
    """The logs cannot be split now, or not in this database; says why."""


class Range(NamedTuple):
    """Deliveries low ≤ id < high share a partition of each table. `low` 0: all that were there before."""

    low: int
    high: int

    def __contains__(self, delivery_id: object) -> bool:
        return isinstance(delivery_id, int) and self.low <= delivery_id < self.high


def models() -> list[type[Model]]:
    """The models whose tables are split: a delivery's sending logs and tracking logs."""
    return [_related(name) for name in ("sending_logs", "tracking_logs")]


def _related(name: str) -> type[Model]:
    found: Any = Delivery._meta.get_field(name).related_model
    return found  # type: ignore[no-any-return]


def _tables() -> list[str]:
    return [model._meta.db_table for model in models()]


def ranges() -> list[Range]:
    """The partitions that both tables have, in order; none if they are not split."""
    of_each = _of_each()
    return sorted(set.intersection(*(set(found) for found in of_each.values()))) if of_each else []


def tables_of(model: type[Model]) -> dict[Range, str]:
    """{range: its table} of a model whose logs are split, in order; empty if they are not."""
    return dict(sorted(_of_each().get(model._meta.db_table, {}).items()))


def _of_each() -> dict[str, dict[Range, str]]:
    """{table: {range: name of the partition}} of the tables that are split."""
    if connection.vendor != "postgresql":
        return {}
    sql = """SELECT p.relname, c.relname, pg_get_expr(c.relpartbound, c.oid)
             FROM pg_class p LEFT JOIN pg_inherits i ON i.inhparent = p.oid LEFT JOIN pg_class c ON c.oid = i.inhrelid
             WHERE p.relkind = 'p' AND p.relname = ANY(%s) AND pg_table_is_visible(p.oid)"""
    found: dict[str, dict[Range, str]] = {}
    for table, name, bounds in _rows(sql, [_tables()]):
        into = found.setdefault(table, {})
        if match := _BOUNDS.search(bounds or ""):
            into[Range(int(match[1] or 0), int(match[2]))] = name
    return found


def make_room(delivery_id: int, width: int | None = None) -> list[str]:
    """Attach the partition of this delivery if it has none, and the one after it. Out: the names of the new ones.

    In: `width`, deliveries in a new one; else as many as the newest has. Does nothing where the tables are not split,
    or, while the delivery's own partition is there, if another makes the next one just now.
    """
    of_each = _of_each()
    if not _missing(of_each, delivery_id, width):
        return []
    urgent = any(all(delivery_id not in one for one in its) for its in of_each.values())
    try:
        with transaction.atomic():
            if not _alone(wait=urgent):
                return []
            wanted = _missing(_of_each(), delivery_id, width)  # another may have made them meanwhile
            return [_attach(table, one) for table, one in wanted]
    except OperationalError:  # somebody reads or changes the whole table
        if urgent:
            raise
        logger.warning("no partition was made for the deliveries after DM%s; the next one tries again", delivery_id)
        return []


def on_new_delivery(sender: Any, instance: Delivery, created: bool, **kwargs: Any) -> None:
    """Make room for a delivery that was made just now, in its transaction."""
    if created:
        make_room(instance.pk)


def _missing(of_each: dict[str, dict[Range, str]], delivery_id: int, width: int | None) -> list[tuple[str, Range]]:
    return [(table, one) for table, its in of_each.items() for one in missing(sorted(its), delivery_id, width)]


def missing(there: list[Range], delivery_id: int, width: int | None) -> list[Range]:
    """The ranges to make so that a delivery and those after it, as many as fill a partition, have theirs. Pure."""
    wide = width or (there[-1].high - there[-1].low if there and there[-1].low else DELIVERIES)
    last = there[-1].high if there else 1
    new = []
    if there and delivery_id < last and not any(delivery_id in one for one in there):  # where one was dropped
        below = max((one.high for one in there if one.high <= delivery_id), default=0)
        new.append(Range(below, min(one.low for one in there if one.low > delivery_id)))
    if last <= delivery_id:  # ids may skip some
        new.append(Range(last, max(last + wide, delivery_id + 1)))
        last = new[-1].high
    if last <= delivery_id + wide:
        new.append(Range(last, last + wide))
    return new


def _attach(table: str, one: Range) -> str:
    """Attaching takes a lock that lets others read and write the whole table; CREATE … PARTITION OF would not."""
    name = f"{table}_{one.low}_{one.high - 1}"
    also = "INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE"
    _run(f"CREATE TABLE {name} (LIKE {table} {also}, PRIMARY KEY (id)) {_storage(table)}")
    low = f"{one.low}" if one.low else "MINVALUE"
    _run(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({one.high})")
    return name


def _storage(table: str) -> str:
    """How full its pages are and the like, as the newest partition has it: the whole table cannot say it for them."""
    sql = """SELECT array_to_string(reloptions, ', ') FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
             WHERE inhparent = %s::regclass ORDER BY inhrelid DESC LIMIT 1"""
    found = _rows(sql, [table])
    return f"WITH ({found[0][0]})" if found and found[0][0] else ""


def split(width: int | None = None) -> list[str]:
    """Split the tables, and make the next partitions. Out: the partitions that are new; none if all were there.

    One transaction, in which nobody else reads or writes the logs: it reads the old rows once. Raises Unpartitionable,
    with nothing changed.
    """
    if connection.vendor != "postgresql":
        raise Unpartitionable("Only PostgreSQL splits tables into partitions; this is another database.")
    with unhurried(), connection.cursor() as cursor:
        _alone(wait=True)
        done = _of_each()
        left = [table for table in _tables() if table not in done]
        if left:
            cursor.execute(f"SET LOCAL lock_timeout = '{5 * LOCK_SECONDS}s'")
            cursor.execute(f"LOCK TABLE {', '.join(left)} IN ACCESS EXCLUSIVE MODE")
            _refuse_while_busy()
        newest = _newest()
        old = [_split(table, newest + 1) for table in left]
        new = make_room(newest, width)
        for table in _tables() if left else ():
            cursor.execute(f"ANALYZE {table}")
    return old + new


def _newest() -> int:
    """The highest id that a delivery ever had: rows of one that was deleted may be left."""
    sequence = "pg_get_serial_sequence(%s, 'id')::regclass"
    sql = f"SELECT GREATEST(COALESCE(MAX(id), 0), pg_sequence_last_value({sequence})) FROM deliveries_delivery"
    return int(_rows(sql, [Delivery._meta.db_table])[0][0])


def _refuse_while_busy() -> None:
    busy = Delivery.everything.filter(state__in=SENDING | PREPARING).order_by("pk")[:5]
    names = ", ".join(str(delivery) for delivery in busy)
    if names:
        raise Unpartitionable(f"Still sending or preparing: {names}. Pause them, or wait for their end.")
    if Batch.objects.filter(lease_until__isnull=False).exists():
        raise Unpartitionable("A worker still holds a batch; try again in a minute.")


def _split(table: str, high: int) -> str:
    """Make the table a partition of a new one of its name, which has its columns, constraints, indexes and sequence."""
    old = f"{table}_0_{high - 1}"
    constraints, indexes = _described(table)
    (next_id,) = _rows(f"SELECT nextval(pg_get_serial_sequence('{table}', 'id'))")[0]
    _run(f"ALTER TABLE {table} RENAME TO {old}")
    _run(f"ALTER TABLE {old} ALTER COLUMN id DROP IDENTITY")
    for number, name in enumerate([*constraints, *indexes]):  # an index's name is taken in the whole schema
        _run(f'ALTER INDEX "{name}" RENAME TO {old}_{number}')
    also = " ".join(f"INCLUDING {what}" for what in ("DEFAULTS", "CONSTRAINTS", "STORAGE", "COMMENTS"))
    _run(f"CREATE TABLE {table} (LIKE {old} {also}) PARTITION BY RANGE (delivery_id)")
    _run(f"ALTER TABLE {table} ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (START {next_id})")
    for name, definition in constraints.items():
        _run(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
    for definition in indexes.values():
        _run(definition)
    _run(f"ALTER TABLE {table} ATTACH PARTITION {old} FOR VALUES FROM (MINVALUE) TO ({high})")
    return old


def _described(table: str) -> tuple[dict[str, str], dict[str, str]]:
    """({unique constraint: definition}, {index of no constraint: statement}); checks are copied with the columns, the
    primary key stays the partition's. Raises Unpartitionable if there is something else."""
    found = _rows(
        "SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass", [table]
    )
    strange = [name for name, kind, _definition in found if kind not in ("p", "u", "c", "n")]
    if strange:
        raise Unpartitionable(f"{table} has constraints that cannot be kept: {', '.join(strange)}.")
    unique = {name: definition for name, kind, definition in found if kind == "u"}
    indexes = _rows(
        "SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
        "WHERE indrelid = %s::regclass AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)",
        [table],
    )
    return unique, dict(indexes)


def empty(one: Range, sparing: Collection[int]) -> bool:
    """Take all rows out of a range at once, and drop its partitions unless one of the deliveries `sparing` lies in it:
    these may yet get rows. Out: False, with nothing changed, if one of them has rows.

    Raises OperationalError if others use the tables for LOCK_SECONDS on end.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        _alone(wait=True)
        of_each = {table: its[one] for table, its in _of_each().items() if one in its}
        locked = [] if sparing else [f"ONLY {table}" for table in of_each]  # whole tables first, as others do
        for table in [*locked, *of_each.values()]:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        for name in of_each.values():
            cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {name} WHERE delivery_id = ANY(%s))", [list(sparing)])
            if cursor.fetchone()[0]:
                return False
        for name in of_each.values():
            cursor.execute(f"TRUNCATE {name}" if sparing else f"DROP TABLE {name}")
    return True


def _alone(*, wait: bool) -> bool:
    """Be the only one who changes partitions, to the transaction's end. Out: False if another is at it (not `wait`)."""
    if wait:
        _run("SELECT pg_advisory_xact_lock(%s)", [_KEY])
        return True
    return bool(_rows("SELECT pg_try_advisory_xact_lock(%s)", [_KEY])[0][0])


def _run(sql: str, parameters: list[Any] | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def _rows(sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
