"""How much work the filling of one message may be, counted in units that are the same on every machine.

A unit is one or two microseconds on a slow machine: one tag or operand, one turn of a loop, ten characters written,
fifty characters that a filter or a comparison looks at (fewer for the slow filters, see filters.py). What a template
does once is known when it is compiled (weights.py) and is what a Meter begins with; the rest is charged as it happens,
and before memory is taken for it. Both ways of filling a template charge and refuse the same (property test).

Processor time is only the far net beneath, for a machine or a library that is much slower than was assumed: what falls
into it is put off, not refused, for the message itself is in order.
"""

from __future__ import annotations

from time import thread_time

from liquid.exceptions import LiquidError

from campaigns.core.kept_text import keep as _

MOST = 300_000  # units for one recipient's message, with all its parts
MOST_FOR_FORMULA = 1_000  # units for one recipient's date: a preparation may compute a million of them
NET = 10.0  # seconds of processor time for what should take half of one
LOOK_EVERY = 20_000  # units between two looks at the clock

WRITTEN = 10  # characters written for a unit: they are also escaped, encoded and sent
LOOKED_AT = 50  # characters looked at for a unit, by the quick filters and comparisons
COPIED = 1_000  # characters for a unit, where they are only copied
SHORT = 80  # what is written in one piece up to this length costs nothing but its tag
PER_ITEM = 8  # characters that an item of a list counts for, beside its own


class TooMuchWork(LiquidError):
    """The budget is used up. `place`: the position in its template of the innermost loop that ran, if one did."""

    def __init__(self, most: int) -> None:
        super().__init__(_("it does more work than one message may (more than %(n)s units)", n=most), token=None)
        self.place: int | None = None


class OutOfTime(Exception):
    """The far net: the processor time is used up, and the budget is not."""


class Meter:
    """Counts the work of one recipient's message: one for all its parts, so that parts cannot multiply it."""

    most, mark, began = MOST, LOOK_EVERY, 0.0  # of nearly all, here since one is made for each message

    def __init__(self, spent: int = 0, most: int = MOST) -> None:
        """`spent`: what the templates weigh (see weights.py)."""
        self.spent = spent
        if most != MOST:
            self.most, self.mark = most, min(most, LOOK_EVERY)

    def charge(self, units: int) -> None:
        """Raises TooMuchWork, OutOfTime."""
        self.spent += units
        if self.spent > self.mark:
            self._look()

    def write(self, length: int) -> None:
        """Charge for so many characters that are written in one piece."""
        if length > SHORT:
            self.charge(length // WRITTEN)

    def look_at(self, value: object) -> None:
        """Charge for a value that a comparison looks at."""
        size = extent(value)
        if size >= LOOKED_AT:
            self.charge(size // LOOKED_AT)

    def _look(self) -> None:
        if self.spent > self.most:
            raise TooMuchWork(self.most)
        now = thread_time()
        self.began = self.began or now  # the first look begins: short messages never ask for the time
        if now - self.began > NET:
            raise OutOfTime
        self.mark = min(self.spent + LOOK_EVERY, self.most)


def extent(value: object) -> int:
    """How large a value is, in characters."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return PER_ITEM * len(value) + sum(len(item) for item in value if isinstance(item, str))
    if isinstance(value, range):
        return PER_ITEM * len(value)
    return value.bit_length() if isinstance(value, int) else 1
