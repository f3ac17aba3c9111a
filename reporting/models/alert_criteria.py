"""When a delivery is worth an alert (concepts.md, What alerts tell). Pure: facts and limits in, a yes or no out.

Everything is compared strictly: a ratio of 5 % is no alert where the limit is 5 %. But a delivery of just the minimum
size counts: "at least 50 recipients" (Campaign Classic's Delivery monitoring).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from deliveries.ledger.kpis import Counters

PREPARATION_FAILED, START_PENDING, FAILED = 37, 51, 87
SENDING = frozenset({55, 61, 62})


class Level(Enum):
    """What kind of alert a criterion raises, the gravest first."""

    ERROR = "Error"
    WARNING = "Warning"
    INFO = "Info"


LEVELS = {
    "failed": Level.ERROR,
    "preparation_failed": Level.ERROR,
    "soft_bounces": Level.WARNING,
    "hard_bounces": Level.WARNING,
    "start_pending": Level.WARNING,
    "low_throughput": Level.WARNING,
    "in_progress": Level.INFO,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """A dashboard's parameters; ratios between 0 and 1, throughput in messages an hour."""

    minimum_target: int = 50
    window_hours: int = 24
    soft_ratio: float = 0.05
    hard_ratio: float = 0.05
    pending_minutes: int = 20
    throughput_minutes: int = 20
    throughput_processed: float = 0.8
    throughput_minimum: int = 1000
    progress_processed: float = 0.0


@dataclass(frozen=True, slots=True)
class Facts:
    """A delivery now. `modified`: of the failed preparation. `counters`: as on its dashboard."""

    state: int
    counters: Counters
    contact_date: datetime | None
    modified: datetime | None
    started_at: datetime | None
    finished_at: datetime | None = None

    @property
    def processed(self) -> int:
        """Delivered and bounced."""
        return self.counters.sent + self.counters.failed

    @property
    def ratio(self) -> float:
        """Processed of To deliver."""
        return self.processed / self.counters.to_deliver if self.counters.to_deliver else 0.0

    def hourly(self, now: datetime) -> float:
        """Messages an hour from the start to the end, or to now."""
        seconds = ((self.finished_at or now) - self.started_at).total_seconds() if self.started_at else 0.0
        return self.processed * 3600 / seconds if seconds > 0 else 0.0


def meets(kind: str, facts: Facts, limits: Limits, now: datetime) -> bool:
    """True if the delivery meets the criterion `kind`. Raises KeyError for an unknown one."""
    when = facts.modified if kind == "preparation_failed" else facts.contact_date
    if when is None or abs(when - now) > timedelta(hours=limits.window_hours):
        return False
    # A preparation that failed may not know its target.
    if kind != "preparation_failed" and facts.counters.to_deliver < limits.minimum_target:
        return False
    return _TESTS[kind](facts, limits, now)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _low(facts: Facts, limits: Limits, now: datetime) -> bool:
    if facts.state not in SENDING or facts.started_at is None:
        return False
    old = now - facts.started_at > timedelta(minutes=limits.throughput_minutes)
    return old and facts.ratio < limits.throughput_processed and facts.hourly(now) < limits.throughput_minimum


def _pending(facts: Facts, limits: Limits, now: datetime) -> bool:
    waited = now - facts.contact_date if facts.contact_date else timedelta(0)
    return facts.state == START_PENDING and waited > timedelta(minutes=limits.pending_minutes)


_TESTS: dict[str, Callable[[Facts, Limits, datetime], bool]] = {
    "failed": lambda facts, limits, now: facts.state == FAILED,
    "preparation_failed": lambda facts, limits, now: facts.state == PREPARATION_FAILED,
    "soft_bounces": lambda facts, limits, now: _share(facts.counters.soft, facts.processed) > limits.soft_ratio,
    "hard_bounces": lambda facts, limits, now: _share(facts.counters.hard, facts.processed) > limits.hard_ratio,
    "start_pending": _pending,
    "low_throughput": _low,
    "in_progress": lambda facts, limits, now: facts.state in SENDING and facts.ratio > limits.progress_processed,
}
