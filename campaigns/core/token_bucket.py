"""Token buckets in the memory of one process: cheap enough to stand before the fastest door. Pure of Django."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

MOST = 20_000  # keys; then those that are full again are forgotten, and if that is not enough, all of them


class Buckets:
    """For each key `per_second` on average and `burst` at once. 0 a second: no limit."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = monotonic) -> None:
        self.per_second, self.burst, self._clock = per_second, burst, clock
        self._left: dict[str, tuple[float, float]] = {}  # key: (tokens, at)
        self._lock = threading.Lock()

    def take(self, key: str, cost: float = 1.0) -> bool:
        """True if the key may go on, which costs it `cost`; False if it has nothing left, which costs nothing."""
        if not self.per_second:
            return True
        with self._lock:
            now = self._clock()
            left = self._now(key, now)
            if left < 1.0:
                return False
            if key not in self._left and len(self._left) >= MOST:
                self._forget(now)
            self._left[key] = (left - cost, now)
        return True

    def _now(self, key: str, now: float) -> float:
        tokens, at = self._left.get(key, (self.burst, now))
        return min(self.burst, tokens + (now - at) * self.per_second)

    def _forget(self, now: float) -> None:
        kept = {key: value for key, value in self._left.items() if self._now(key, now) < self.burst}
        self._left = kept if len(kept) < MOST else {}
