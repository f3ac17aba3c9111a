"""When a recipient is tried again that a server put off, or whose message came back with a soft bounce. Pure.

config/docs/deliverability.md: 5 tries in the first 24 hours, at least an hour apart and spread over the day, then one a
day, until the validity ends. The first ones lie closer together, since most trouble is short; all are spread by chance
so that what was put off together does not come back together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import random

DAY = timedelta(hours=24)
CLOSENESS = 1.5  # 1 spreads the first day's retries evenly; more puts the first ones closer together
EARLIER, LATER = 0.2, 0.1  # shares by which chance brings the first day's retries forward, and puts later ones off


@dataclass(frozen=True, slots=True)
class Policy:
    """A routing's retries: how many in the first 24 hours, the least time between two, the time between later ones."""

    first_day: int = 5
    gap: timedelta = timedelta(hours=1)
    every: timedelta = DAY


DEFAULT = Policy()


def pause_before(attempt: int, policy: Policy = DEFAULT, chance: Callable[[], float] = random) -> timedelta:
    """How long to wait. In: how often the server has answered, this time included (from 1); `chance` gives 0 to 1."""
    if attempt <= policy.first_day:
        plain = _offset(attempt, policy) - _offset(attempt - 1, policy)
        return max(policy.gap, plain * (1 - EARLIER * chance()))
    return max(policy.gap, policy.every * (1 + LATER * chance()))


def _offset(retry: int, policy: Policy) -> timedelta:
    """When the retry with this number comes after the first try, if chance did nothing."""
    return DAY * float((retry / policy.first_day) ** CLOSENESS)
