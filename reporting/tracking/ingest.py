"""Moves events from the buffer files into tracking logs: each exactly once, whenever it is killed.

The place reached in a file is kept in the database and moves in the transaction that makes the rows. Must run on the
host that has the files.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from django.db import connection, transaction

from deliveries.models import Batch
from deliveries.models.storage import dialect, partition_lookup
from reporting.models import CLICKING, OPENING, TrackingBuffer, TrackingLog, TrackingType

from . import bot_detection, buffer, tracked_urls
from .buffer import Event

logger = logging.getLogger("reporting.tracking.ingest")

LINES = 1000  # events in a transaction
REMEMBERED = 5000  # earlier events that are judged again with the new ones
_KNOWN = frozenset(int(kind) for kind in TrackingType)


class Recipient(NamedTuple):
    """What folding needs of a sending log."""

    delivery_id: int
    batch_id: int | None
    relayed_at: datetime | None
    opened_at: datetime | None
    clicked_at: datetime | None


def fold(folder: Path) -> int:
    """Move all that the files of `folder` hold now, and remove files whose writer is gone. Out: lines moved."""
    return sum(_fold_file(path) for path in buffer.files(folder))


def _fold_file(path: Path) -> int:
    total, offset = 0, 0
    while True:
        with transaction.atomic():
            TrackingBuffer.objects.get_or_create(pk=path.name)
            cursor = TrackingBuffer.objects.select_for_update().get(pk=path.name)
            try:
                events, offset, damaged = buffer.read(path, cursor.offset, LINES)
            except FileNotFoundError:
                return total
            if damaged:
                logger.error("%s: %s damaged lines left out before byte %s", path.name, damaged, offset)
            if offset == cursor.offset:
                break
            store(events)
            cursor.offset = offset
            cursor.save()
        total += len(events) + damaged
    if buffer.remove_if_abandoned(path, offset):  # the file first: a row without a file does no harm
        TrackingBuffer.objects.filter(pk=path.name).delete()
    return total


def store(events: Sequence[Event]) -> None:
    """Make tracking logs of events, judged with what their recipients did before, and set first opens and clicks.

    Must run in a transaction. Events of sending logs that are gone are dropped.
    """
    found = partition_lookup.logs({event.log_id for event in events})
    recipients = {
        log.pk: Recipient(log.delivery_id, log.batch_id, log.relayed_at, log.opened_at, log.clicked_at) for log in found
    }
    rows = [_row(e, recipients[e.log_id]) for e in events if e.log_id in recipients and e.type in _KNOWN]
    if not rows:
        return
    links = tracked_urls.numbers_of({row.delivery_id for row in rows})
    earlier = list(_earlier(rows))
    changed = judge_rows([*earlier, *rows], recipients, links)
    TrackingLog.objects.bulk_create(rows)
    update_verdicts(row for row in earlier if row in changed)
    _first_times(rows, recipients)


def _row(event: Event, recipient: Recipient) -> TrackingLog:
    return TrackingLog(
        delivery_id=recipient.delivery_id,
        sending_log_id=event.log_id,
        type=event.type,
        link=event.link if event.link >= 0 else None,
        at=datetime.fromtimestamp(event.at / 1000, UTC),
        agent=event.agent,
        network=event.network,
        head=event.head,
    )


def _earlier(rows: Sequence[TrackingLog]) -> Iterable[TrackingLog]:
    """Rows near enough to matter to the rules."""
    since = min(row.at for row in rows) - timedelta(seconds=bot_detection.LOOK_BACK_SECONDS)
    logs = {row.sending_log_id for row in rows}
    return TrackingLog.objects.filter(sending_log_id__in=logs, at__gte=since).order_by("-at")[:REMEMBERED]


def judge_rows(
    rows: Iterable[TrackingLog], recipients: Mapping[int, Recipient], links: Mapping[int, int]
) -> list[TrackingLog]:
    """Judge each recipient's rows together; sets machine, rule and version on them. Out: those that changed."""
    by_log: dict[int, list[TrackingLog]] = defaultdict(list)
    for row in rows:
        by_log[row.sending_log_id].append(row)
    changed = []
    for log_id, history in by_log.items():
        sent_at = recipients[log_id].relayed_at
        touches = [bot_detection.Touch(r.at.timestamp(), r.type, r.link, r.head, r.network, r.agent) for r in history]
        since = sent_at.timestamp() if sent_at else None
        rules = bot_detection.judge(touches, since, links.get(history[0].delivery_id, 0))
        for row, rule in zip(history, rules, strict=True):
            if (row.rule, row.version) != (rule, bot_detection.VERSION):
                row.machine, row.rule, row.version = bool(rule), rule, bot_detection.VERSION
                changed.append(row)
    return changed


def update_verdicts(rows: Iterable[TrackingLog]) -> None:
    """Write what the rules say now."""
    by_rule: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        by_rule[row.rule].append(row.pk)
    for rule, ids in by_rule.items():
        TrackingLog.objects.filter(pk__in=ids).update(machine=bool(rule), rule=rule, version=bot_detection.VERSION)


def _first_times(rows: Iterable[TrackingLog], recipients: Mapping[int, Recipient]) -> None:
    """SendingLog.opened_at and clicked_at: the first time of each; a click, mirror page or opt-out implies an open."""
    firsts: dict[int, tuple[datetime | None, datetime | None]] = {}
    for row in rows:
        known = recipients[row.sending_log_id]
        opened, clicked = firsts.get(row.sending_log_id, (known.opened_at, known.clicked_at))
        if row.type in OPENING:
            opened = min(opened or row.at, row.at)
        if row.type in CLICKING:
            clicked = min(clicked or row.at, row.at)
        if (opened, clicked) != (known.opened_at, known.clicked_at):
            firsts[row.sending_log_id] = (opened, clicked)
    if not firsts:
        return
    # Senders lock a batch before its rows: in any other order the two could wait for each other.
    batches = {batch for pk in firsts if (batch := recipients[pk].batch_id) is not None}
    list(Batch.objects.select_for_update().filter(pk__in=batches).order_by("pk").values_list("pk"))
    source = dialect.rows({"log_id": int, "opened": datetime, "clicked": datetime})
    # Another host may have been folding the same rows meanwhile.
    earlier = "{0}_at = CASE WHEN l.{0}_at IS NULL OR r.{0} < l.{0}_at THEN r.{0} ELSE l.{0}_at END".format
    where: dict[str, list[tuple[int, object, object]]] = defaultdict(list)
    for pk, (opened, clicked) in firsts.items():
        where[_table(recipients[pk])].append((pk, dialect.stamp(opened), dialect.stamp(clicked)))
    with connection.cursor() as cursor:
        for table, values in where.items():
            sets = f"{earlier('opened')}, {earlier('clicked')}"
            cursor.execute(
                f"UPDATE {table} AS l SET {sets} FROM {source} r WHERE l.id = r.log_id",
                [dialect.rows_parameter(values)],
            )


def _table(recipient: Recipient) -> str:
    """The table of the recipient's sending log; for the control group, which is in no batch, all of them."""
    return partition_lookup.ALL if recipient.batch_id is None else partition_lookup.of_batch(recipient.batch_id)
