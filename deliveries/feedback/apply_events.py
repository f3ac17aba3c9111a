"""Applies what was reported about messages: each event once, proved by a unique key, in set-based transactions.

Events come from every door (raw_mail.py, esp_webhooks.py, the sending loop's replies). In one transaction of at most
CHUNK events: keep the new ones, let the matched ones decide their sending logs (reports.py), then weigh on their
addresses (quarantine.py). Lock order: batches, sending logs, addresses. What nothing matched is kept and changes
nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from deliveries.ledger import reports
from deliveries.ledger.transitions import Fact
from deliveries.models.feedback import FeedbackEvent
from deliveries.models.states import FailureType, LogMove, Reason
from deliveries.models.storage import dialect, partition_lookup

from . import circuit_breaker, quarantine

if TYPE_CHECKING:
    from deliveries.ledger.change import Change

logger = logging.getLogger("deliveries.feedback.apply_events")

CHUNK = 500  # events in one transaction
TRIES = 3  # of a transaction that the database gave up because of another one
OLDEST = timedelta(days=30)  # a report that claims to be older than that is taken to be that old
Kind, Source = FeedbackEvent.Kind, FeedbackEvent.Source
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing reported of one recipient. `key` names it within its source; `log_id` comes from a token made here.

    at: when it happened, None for now; type, reason: FailureType and Reason; text: the server's words, of any length.
    """

    source: int
    key: str
    kind: int
    at: datetime | None = None
    type: int = FailureType.NONE
    reason: int = Reason.NOT_DEFINED
    detail: str = ""
    code: str = ""
    status: str = ""
    stage: str = ""
    text: str = ""
    rule: str = ""
    address: str = ""
    log_id: int | None = None


class Applied(NamedTuple):
    """How many events were new, and how many of these were matched with a sending log."""

    new: int
    matched: int


_COLUMNS: dict[str, type] = {
    field.name: {"source": int, "kind": int, "type": int, "reason": int, "log_id": int, "at": datetime}.get(
        field.name, str
    )
    for field in fields(Event)
}
_FACTS = {FailureType.HARD: Fact.HARD, FailureType.IGNORED: Fact.IGNORED}


def apply(events: Iterable[Event]) -> Applied:
    """Keep new events and let them take effect. In any order, in any division, and repeated, the result is the same."""
    new = matched = 0
    waiting = iter(events)
    while chunk := list(islice(waiting, CHUNK)):
        fresh, known, deliveries = persistently(lambda chunk=chunk: _apply(chunk))  # type: ignore[misc]
        new, matched = new + fresh, matched + known
        for delivery_id in sorted(deliveries):
            circuit_breaker.check(delivery_id)
    return Applied(new, matched)


def persistently(act: Callable[[], T]) -> T:
    """Call a function that is one transaction; again when the database gave it up for another's sake."""
    for left in reversed(range(TRIES)):
        try:
            return act()
        except OperationalError:
            if not left or transaction.get_connection().in_atomic_block:
                raise
            logger.info("a transaction of feedback is tried again", exc_info=True)
    raise AssertionError


def _apply(chunk: Sequence[Event]) -> tuple[int, int, set[int]]:
    with transaction.atomic():
        fresh = _keep(chunk)
        matched = [(event, log_id, address, at) for event, log_id, address, at in fresh if log_id is not None]
        changed = reports.decide(_report(event, log_id, at) for event, log_id, _address, at in matched)
        _weigh(matched)
    grave = any(event.type == FailureType.HARD or event.kind == Kind.COMPLAINT for event, *_rest in matched)
    return len(fresh), len(matched), changed if grave else set()


def _weigh(matched: Sequence[tuple[Event, int, str, datetime]]) -> None:
    condemned = quarantine.weigh((event.kind, event.type, address) for event, _log, address, _at in matched)
    if condemned:
        reports.give_up([log_id for _event, log_id, address, _at in matched if address in condemned])


def _keep(chunk: Sequence[Event]) -> list[tuple[Event, int | None, str, datetime]]:
    """Store the events that are new. Out: each with its sending log (None: not matched, or the log is gone), the
    address and the time that count."""
    dialect.look_up()
    now = timezone.now()
    ordered = sorted(chunk, key=lambda event: (event.source, event.key))  # one order: no deadlock
    times = {(event.source, event.key): _when(event.at, now) for event in reversed(ordered)}
    values = (_values(event, times[event.source, event.key]) for event in ordered)
    names = ", ".join(name for name in _COLUMNS if name not in ("address", "log_id"))
    picked = ", ".join(f"r.{name}" for name in _COLUMNS if name not in ("address", "log_id"))
    logs = partition_lookup.source(
        partition_lookup.of_logs({event.log_id for event in ordered if event.log_id is not None})
    )
    sql = f"""
        INSERT INTO deliveries_feedbackevent (received_at, counts, {names}, log_id, address)
        SELECT %s, %s, {picked}, l.id, COALESCE(l.address, r.address)
        FROM {dialect.rows(_COLUMNS)} r LEFT JOIN {logs} l ON l.id = r.log_id WHERE true
        ON CONFLICT (source, key) DO NOTHING RETURNING source, key, log_id, address"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [dialect.stamp(now), True, dialect.rows_parameter(values)])
        stored = cursor.fetchall()
    by_key = {(event.source, event.key): event for event in reversed(ordered)}
    return [(by_key[source, key], log_id, address, times[source, key]) for source, key, log_id, address in stored]


def _values(event: Event, at: datetime) -> tuple[Any, ...]:
    """The event's fields in the order of _COLUMNS."""
    return (
        event.source,
        event.key,
        event.kind,
        at,
        event.type,
        event.reason,
        clean(event.detail, 64),
        clean(event.code, 3),
        clean(event.status, 12),
        clean(event.stage, 8),
        clean(event.text, 1000),
        clean(event.rule, 128),
        clean(event.address, 254),
        event.log_id,
    )


def _when(at: datetime | None, now: datetime) -> datetime:
    """A time that can be compared: never in the future, and not before anything could have been sent."""
    if at is None:
        return now
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return min(max(at, now - OLDEST), now)


def clean(text: str, width: int) -> str:
    """Text of strangers for a column: one line, nothing invisible, nothing that no database takes."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return text[:width]


def _report(event: Event, log_id: int, at: datetime) -> reports.Report:
    complains = event.kind == Kind.COMPLAINT
    gave_up = event.kind == Kind.BOUNCE and event.type == FailureType.SOFT and (event.status or event.code)[:1] == "4"
    return reports.Report(
        log_id, fact_of(event), at, int(event.reason), clean(event.text, 500), complains, exhausted=gave_up
    )


def fact_of(event: Event) -> Fact | None:
    """What an event says of its message. A reply says nothing here: the sending loop recorded it with its row.

    Who complains has received the message.
    """
    if event.source == Source.REPLY:
        return None
    match event.kind:
        case Kind.DELIVERED | Kind.COMPLAINT:
            return Fact.DELIVERED
        case Kind.DELAYED:
            return Fact.DELAYED
        case Kind.BOUNCE:
            return _FACTS.get(FailureType(event.type), Fact.SOFT)
    return None


def note_replies(changes: Iterable[Change]) -> None:
    """Keep what servers said in the dialogue, and weigh it on the addresses; the rows are the ledger's. The caller
    holds the transaction that recorded them."""
    replies = [_reply(change) for change in changes if change.move in (LogMove.DEFER, LogMove.REFUSE)]
    for start in range(0, len(replies), CHUNK):
        fresh = _keep(replies[start : start + CHUNK])
        quarantine.weigh((event.kind, event.type, address) for event, log_id, address, _at in fresh if log_id)


def note_success(tries: Iterable[tuple[int, int]]) -> None:
    """Messages were accepted whose addresses had errors before: that frees them. In: (sending log, attempts before).

    Only without a feedback service: with one, its report is the success.
    """
    events = [Event(Source.REPLY, f"{log_id}.{attempts}", Kind.DELIVERED, log_id=log_id) for log_id, attempts in tries]
    apply(events)


def _reply(change: Change) -> Event:
    code = change.reply[:3] if change.reply[:3].isdigit() else ""
    kind = Kind.BOUNCE if change.move is LogMove.REFUSE else Kind.DELAYED
    return Event(
        Source.REPLY,
        f"{change.log_id}.{change.attempts}",
        kind,
        None,
        int(change.failure_type),
        int(change.reason),
        code=code,
        text=change.reply,
        log_id=change.log_id,
    )
