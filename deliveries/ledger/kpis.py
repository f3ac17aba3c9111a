"""The figures of the Deployment block from a delivery's counters (concepts.md, The figures). Pure.

With a feedback service rates are over To deliver, which is constant: relaying moves nothing, and the first success does
not read 100 %. Without one they are over what was processed: the first relay reads 100 % delivered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from deliveries.models.counters import OUTCOMES, DeliveryCounters


@dataclass(frozen=True, slots=True)
class Counters(DeliveryCounters):
    """Numbers of sending-log rows, summed over a delivery's batches; opens and clicks are of distinct Sent rows."""

    to_deliver: int = 0
    opens: int = 0
    clicks: int = 0

    def __add__(self, other: Counters) -> Counters:
        """The counters of both together, as for a recurring parent."""
        return Counters(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def balances(self) -> bool:
        """To deliver = pending + in doubt + sent + failed + cancelled."""
        return bool(self.to_deliver == sum(getattr(self, name) for name in OUTCOMES))


@dataclass(frozen=True, slots=True)
class Figure:
    """A count, and what it is a share of."""

    count: int
    of: int

    @property
    def ratio(self) -> float:
        """The exact share, 0.0 of nothing."""
        return self.count / self.of if self.of else 0.0

    @property
    def percent(self) -> str:
        """A whole percent rounded half up; `<1 %` and `>99 %` where rounding would read 0 or 100 falsely."""
        if not self.of or not self.count:
            return "0 %"
        rounded = (200 * self.count + self.of) // (2 * self.of)
        if rounded == 0:
            return "<1 %"
        return ">99 %" if rounded == 100 and self.count < self.of else f"{rounded} %"


@dataclass(frozen=True, slots=True)
class Kpis:
    """The six figures of the Deployment block, each with its denominator."""

    to_deliver: int
    sent: Figure
    delivered: Figure
    bounces: Figure
    opens: Figure
    clicks: Figure
    delivered_percent: str
    bounces_percent: str


def kpis(counters: Counters, *, feedback_service: bool) -> Kpis:
    """The figures that the counters stand for. Sent = delivered + bounces, never the rows with status Sent alone."""
    delivered, bounced = counters.sent, counters.failed
    processed = delivered + bounced
    base = counters.to_deliver if feedback_service else processed
    good, bad = Figure(delivered, base), Figure(bounced, base)
    return Kpis(
        to_deliver=counters.to_deliver,
        sent=Figure(processed, counters.to_deliver),
        delivered=good,
        bounces=bad,
        opens=Figure(counters.opens, delivered),
        clicks=Figure(counters.clicks, delivered),
        delivered_percent=good.percent,
        # Both are shares of the same total here: the pair must add up on the screen.
        bounces_percent=bad.percent if feedback_service else _complement(good),
    )


def possible_delivered(counters: Counters, *, feedback_service: bool) -> tuple[int, int]:
    """The least and the most that Delivered can still become while rows are pending, in doubt or retrying."""
    open_failed = counters.retrying if feedback_service else 0
    return counters.sent, counters.sent + counters.pending + counters.in_doubt + min(open_failed, counters.failed)


def total(parts: Iterable[Counters]) -> Counters:
    """The sum of several deliveries' counters."""
    return sum(parts, Counters())


def _complement(good: Figure) -> str:
    if not good.of:
        return "0 %"
    if good.percent == "<1 %":
        return ">99 %"
    if good.percent == ">99 %":
        return "<1 %"
    return f"{100 - int(good.percent.removesuffix(' %'))} %"
