"""Numbers, durations and moments as people read them on a dashboard. Pure of models."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _

NOTHING = "\N{EN DASH}"
_SCALES = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))


def exact(number: int) -> str:
    """9892 reads 9,892, or as the reader's language groups figures."""
    return str(number_format(number, force_grouping=True))


def compact(number: int) -> str:
    """9892 reads `9.89 k`: three figures, cut and never rounded up, so that 999,999 does not read as a million."""
    for scale, unit in _SCALES:
        if number >= scale:
            whole = number // scale
            decimals = 3 - len(str(whole))
            cut = number * 10**decimals // scale
            return f"{number_format(cut / 10**decimals, decimals)} {unit}"
    return str(number)


def rate(per_second: float) -> str:
    """Messages per second: whole from ten on, one decimal below."""
    return f"{exact(round(per_second))}/s" if per_second >= 10 else f"{number_format(round(per_second, 1), 1)}/s"


def duration(seconds: float) -> str:
    """The two greatest units: `2 d 4 h`, `3 h 5 min`, `4 min 10 s`, `12 s`."""
    left = max(0, round(seconds))
    for (size, unit), (lesser, lesser_unit) in pairwise(
        ((86_400, _("d")), (3_600, _("h")), (60, _("min")), (1, _("s")))
    ):
        if left >= size:
            rest = left % size // lesser
            return f"{left // size} {unit} {rest} {lesser_unit}" if rest else f"{left // size} {unit}"
    unit = _("s")
    return f"{left} {unit}"


def moment(at: datetime | None, zone: str = "") -> str:
    """A point in time with its zone: `2026-03-28 09:00 Europe/Paris (GMT+01:00)`; a dash for none."""
    if at is None:
        return NOTHING
    local = at.astimezone(ZoneInfo(zone)) if zone else timezone.localtime(at)
    return f"{local:%Y-%m-%d %H:%M} {zone or timezone.get_current_timezone_name()} (GMT{_offset(local)})"


def clock(at: datetime) -> str:
    """The time alone, with the date unless it is today's: for what is near."""
    local = timezone.localtime(at)
    return f"{local:%H:%M:%S}" if local.date() == timezone.localdate() else f"{local:%Y-%m-%d %H:%M}"


def _offset(local: datetime) -> str:
    seconds = int((local.utcoffset() or timedelta()).total_seconds())
    sign, minutes = ("-" if seconds < 0 else "+"), abs(seconds) // 60
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}"
