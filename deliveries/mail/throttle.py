"""How fast each domain's mail may leave: its limits, and a back-off when it asks for one. Pure.

Limits come from the routing: {"example.com": {"connections": 2, "per_minute": 600}, "*": {…}}; "*" stands for each
domain without limits of its own. Those who send by the routing at the same time share them (`share`). A domain that
refuses for the moment, again and again, is left in peace for a while that doubles each time, so that one provider's
trouble slows its own mail alone. Greylisting is no such trouble: it is over for each recipient at the next try.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

PATIENCE = 20  # temporary refusals in a row, without an acceptance between them
PATIENCE_TOLD = 3  # … when they say "too much" (421, or a rate limit)
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 1800.0  # seconds
BURST = 10.0  # seconds whose share of `per_minute` may leave at once
HOLD = -1.0  # wait for an answer of the same domain
NO_SHARE = 5.0  # seconds until one who has no connection of a domain's looks again


@dataclass(slots=True)
class _Domain:
    connections: int  # for all together; 0: no limit
    per_second: float  # of all together; 0: no limit
    tokens: float
    filled_at: float
    open: int = 0
    behind: int = 0  # messages that were put off for their rate, and come later
    refusals: int = 0
    pauses: int = 0
    closed_until: float = 0.0


class Pace:
    """The pace of one routing in one process. `clock` gives seconds."""

    def __init__(self, limits: Mapping[str, Any], clock: Callable[[], float] = monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._domains: dict[str, _Domain] = {}
        self._place, self._sharers = 0, 1

    def share(self, place: int, sharers: int) -> None:
        """Keep to one part of every limit: `sharers` send at this moment, and this one is number `place` from 0."""
        self._place, self._sharers = place, max(1, sharers)

    def wait(self, address: str) -> float:
        """0.0: it may leave now (and counts as begun); HOLD: not before an answer; else for how many seconds not."""
        domain, now = self._of(address), self._clock()
        if domain.closed_until > now:
            return domain.closed_until - now
        if domain.connections and domain.open >= (mine := self._connections(domain)):
            return HOLD if mine else NO_SHARE
        if domain.per_second:
            self._fill(domain, now)
            if domain.tokens < 1.0:
                domain.behind += 1
                return (domain.behind - domain.tokens) * self._sharers / domain.per_second
            domain.tokens -= 1.0
        domain.open += 1
        return 0.0

    def answered(self, address: str, *, accepted: bool = False) -> None:
        """A message that had begun was answered, or given back; `accepted`: the domain takes mail."""
        domain = self._of(address)
        domain.open -= 1
        if accepted:
            domain.refusals = domain.pauses = 0

    def put_off(self, address: str, *, too_much: bool) -> None:
        """The domain refused for the moment; `too_much`: it said that it gets too much."""
        domain = self._of(address)
        domain.refusals += 1
        if domain.refusals >= (PATIENCE_TOLD if too_much else PATIENCE):
            domain.closed_until = self._clock() + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**domain.pauses)
            domain.pauses = min(domain.pauses + 1, 16)
            domain.refusals = 0

    def _connections(self, domain: _Domain) -> int:
        """Our part; the first ones take what is left over."""
        part, over = divmod(domain.connections, self._sharers)
        return part + (self._place < over)

    def _fill(self, domain: _Domain, now: float) -> None:
        per_second = domain.per_second / self._sharers
        gained = (now - domain.filled_at) * per_second
        domain.tokens = min(domain.tokens + gained, max(1.0, BURST * per_second))
        domain.filled_at = now
        domain.behind = max(0, domain.behind - int(gained))

    def _of(self, address: str) -> _Domain:
        name = address.rpartition("@")[2].lower()
        found = self._domains.get(name)
        if found is None:
            limits = self._limits.get(name, self._limits.get("*", {}))
            per_second = max(0.0, float(limits.get("per_minute", 0)) / 60)
            found = self._domains[name] = _Domain(
                max(0, int(limits.get("connections", 0))), per_second, max(1.0, BURST * per_second), self._clock()
            )
        return found


def problems(limits: object) -> list[str]:
    """What is wrong with limits that somebody wrote, in words; [] if nothing is."""
    if not isinstance(limits, dict):
        return ['Limits are written like {"example.com": {"connections": 2, "per_minute": 600}}.']
    found = []
    for domain, values in limits.items():
        if not isinstance(values, dict) or set(values) - {"connections", "per_minute"}:
            found.append(f"{domain}: give “connections”, “per_minute” or both.")
        elif not all(isinstance(n, int | float) and not isinstance(n, bool) and n > 0 for n in values.values()):
            found.append(f"{domain}: limits are numbers above zero.")
    return found
