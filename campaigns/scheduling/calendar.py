"""When things happen: wall clocks and instants, the slots of a recurrence, the periods that gather them.

Pure. A person means a clock on a wall; a delivery leaves at an instant. Between the two stands a zone's summer time
(concepts.md, When it leaves): a clock that the zone skips moves forward by what was skipped, and of two instants the
first counts.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from campaigns.core.kept_text import keep as _

_LONGEST_GAP = timedelta(hours=25)  # zones that moved across the date line skipped a whole day
LAST_DAY = 0  # of a month, for `monthly`


class BadRecurrence(ValueError):
    """The recurrence makes no sense; the text says why, for people."""


def instant(clock: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant of a wall clock (naive) in a zone: skipped clocks move forward, of two instants the first."""
    return clock.replace(tzinfo=zone, fold=0).astimezone(UTC)


def wall_clock(at: datetime, zone: ZoneInfo) -> datetime:
    """What a clock on the wall in `zone` shows at the instant `at`: a naive datetime."""
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def change_of_clock(clock: datetime, zone: ZoneInfo) -> str:
    """What summer time does to a wall clock (naive): "skipped", "twice", or "" for nothing."""
    first, second = (clock.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return ""
    return "twice" if wall_clock(first.astimezone(UTC), zone) == clock else "skipped"


def instants_by_zone(at: datetime, zone: ZoneInfo, others: Iterable[str]) -> dict[str, datetime]:
    """When each of the zones `others` shows the wall clock that `zone` shows at `at`.

    Out: {name: UTC instant}. An empty name, or one that is no zone, stands for `zone` itself.
    """
    clock = wall_clock(at, zone)
    return {name: instant(clock, named(name) or zone) for name in others}


def named(name: str) -> ZoneInfo | None:
    """The IANA zone of that name; None if it is empty or there is none."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, OSError, ValueError):  # not there, a folder's name, no name
        return None


# --- recurrences ------------------------------------------------------------------------------------------------------


def daily(at: time) -> str:
    """Cron expression: every day at a clock."""
    return f"{at.minute} {at.hour} * * *"


def weekly(at: time, weekdays: Collection[int]) -> str:
    """Cron expression: at a clock on some weekdays, 1 (Monday) to 7 (Sunday, ISO 8601). Raises BadRecurrence."""
    if not weekdays or not set(weekdays) <= set(range(1, 8)):
        raise BadRecurrence(_("Choose at least one day of the week."))
    return f"{at.minute} {at.hour} * * {','.join(str(day % 7) for day in sorted(weekdays))}"


def monthly(at: time, day: int) -> str:
    """Cron expression: at a clock on a day of each month, 1 to 31 or LAST_DAY. Raises BadRecurrence.

    A month that has no such day has no slot, which is why LAST_DAY exists.
    """
    if not 0 <= day <= 31:
        raise BadRecurrence(_("Choose a day of the month from 1 to 31, or the last one."))
    return f"{at.minute} {at.hour} {'L' if day == LAST_DAY else day} * *"


def check_cron(expression: str) -> None:
    """Raise BadRecurrence unless it has five fields that make sense and ever come true."""
    if len(expression.split()) != 5:
        words = _("A cron expression has five fields: minute, hour, day of month, month, day of week.")
        raise BadRecurrence(words)
    try:
        next(CronSim(expression, datetime(2000, 1, 1)), None)
    except CronSimError as error:
        raise BadRecurrence(_("This is no cron expression: %(error)s.", error=error)) from error


def slots(expression: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """The UTC instants later than `after` at which the cron expression, read as a wall clock in `zone`, comes true.

    In ascending order, each once: a clock that is skipped joins whatever is due at the instant it moves to, and one
    that comes twice counts the first time. Raises BadRecurrence.
    """
    check_cron(expression)
    last, waiting = after, list[datetime]()
    for clock in CronSim(expression, wall_clock(after, zone) - _LONGEST_GAP):
        at = instant(clock, zone)
        heapq.heappush(waiting, at)
        if wall_clock(at, zone) != clock:  # skipped: clocks yet to come may be earlier instants
            continue
        while waiting and waiting[0] <= at:
            due = heapq.heappop(waiting)
            if due > last:
                yield due
                last = due


def next_slots(expression: str, zone: ZoneInfo, after: datetime, number: int = 10) -> list[datetime]:
    """The next `number` slots, or fewer if there are no more."""
    return list(islice(slots(expression, zone, after), number))


def period(at: datetime, zone: ZoneInfo, length: str) -> str:
    """The name of the day, ISO week, month or year in which an instant lies by the wall clock of `zone`.

    In: length "day", "week", "month", "year", or "none". Out: 2026-03-28, 2026-W13, 2026-03, 2026, or "".
    """
    clock = wall_clock(at, zone)
    year, week, _day = clock.isocalendar()
    names = {
        "day": f"{clock:%Y-%m-%d}",
        "week": f"{year}-W{week:02}",
        "month": f"{clock:%Y-%m}",
        "year": f"{clock:%Y}",
    }
    return names.get(length, "")
