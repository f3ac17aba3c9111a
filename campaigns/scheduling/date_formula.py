"""A date of each recipient's own, by a formula in Liquid: `{{ profile.renewal_date | add_days: -14 }}`.

Pure. What the formula gives is read as ISO 8601, such as 2026-03-28 09:00:00+01:00. Without an offset it is a clock in
the schedule's zone, and without a time it is the contact date's clock on that day. `contact_date` may be quoted, and
an attribute by its name alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from liquid.exceptions import LiquidError

from campaigns.content.fast_render import compile_segments, fill
from campaigns.content.liquid.sandbox import PLAIN, Template, parse
from campaigns.content.liquid.weights import of_template
from campaigns.content.liquid.work import MOST_FOR_FORMULA, Meter, TooMuchWork
from campaigns.content.liquid_binding import bind
from campaigns.content.problems import Problem
from campaigns.content.template_source import BUILTINS, read

from .calendar import instant, wall_clock

CONTACT_DATE = "contact_date"
WHERE = "Date formula"
LONGEST = 100  # characters of a date
_ZONE_APART = re.compile(r"(?<!\s)\s++(?=[+-]\d\d:?\d\d$|Z$)")
_DATE_ALONE = re.compile(r"\d{4}-?\d\d-?\d\d|\d{4}-?W\d\d-?\d")


@dataclass(frozen=True)
class Formula:
    """A formula that can be computed. `names`: {as it quotes a field of the profile: that field}."""

    names: Mapping[str, str]
    text: Callable[[Mapping[str, str]], str]

    @property
    def fields(self) -> frozenset[str]:
        """The fields of the profile that it reads."""
        return frozenset(self.names.values())

    def due(self, fields: Mapping[str, str], contact_date: datetime, zone: ZoneInfo) -> datetime | None:
        """The recipient's instant in UTC; None if the formula gives nothing, or nothing that is a date."""
        quoted = {name: fields[field] for name, field in self.names.items()}
        given = {**quoted, CONTACT_DATE: wall_clock(contact_date, zone).isoformat(sep=" ")}
        try:
            text = self.text(given)
        except (LiquidError, ArithmeticError, ValueError, TypeError):
            return None
        return read_date(text, contact_date, zone)


def read_date(text: str, contact_date: datetime, zone: ZoneInfo) -> datetime | None:
    """The instant in UTC that a text names (see the module); None if it names none."""
    text = text.strip()
    if len(text) > LONGEST:  # a date is short
        return None
    written = _ZONE_APART.sub("", text)
    try:
        found = datetime.fromisoformat(written)
        if _DATE_ALONE.fullmatch(written):
            found = datetime.combine(found, wall_clock(contact_date, zone).time())
        return instant(found.replace(tzinfo=None), zone) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def compiled(source: str, fields: Collection[str]) -> Formula | list[Problem]:
    """The formula over profiles that have these `fields`, or all that is wrong with it."""
    found = _parsed(source)
    if isinstance(found, list):
        return found
    known = {name.removeprefix("attributes."): name for name in fields} | {name: name for name in fields}
    used, problems = bind(found, WHERE, frozenset({*known, CONTACT_DATE}))
    problems += [Problem(WHERE, 0, f"{name} is no date") for name in sorted(used & set(BUILTINS))]
    if problems:
        return problems
    own = {name: known[name] for name in used - {CONTACT_DATE}}
    segments, weight = compile_segments(found, {}), of_template(found)

    def text(given: Mapping[str, str]) -> str:
        meter = Meter(weight, MOST_FOR_FORMULA)
        return found.fill(given, meter) if segments is None else fill(segments, given, lambda slot: "", meter)

    if weight > MOST_FOR_FORMULA or not _affordable(text, used):
        return [Problem(WHERE, 0, _TOO_MUCH, code="work")]
    return Formula(own, text)


_TOO_MUCH = f"It does more work than a date may (more than {MOST_FOR_FORMULA:,} units). Shorten it."


def _affordable(text: Callable[[Mapping[str, str]], str], used: Collection[str]) -> bool:
    """Whether samples pass. People on whom it would spend more get the contact date, as where it gives no date."""
    for sample in ("", "2026-03-28 09:00"):
        try:
            text(dict.fromkeys(used, sample))
        except TooMuchWork:
            return False
        except (LiquidError, ArithmeticError, ValueError, TypeError):
            continue
    return True


def _parsed(source: str) -> Template | list[Problem]:
    if not source.strip():
        return [Problem(WHERE, 0, "Write the formula that gives each recipient's date.")]
    draft, problems = read(WHERE, source)
    if problems:
        return problems
    template = parse(draft, PLAIN)
    return [template] if isinstance(template, Problem) else template


def clean(source: str, fields: Collection[str] | None = None) -> None:
    """For forms. In: `fields`, if they are known. Raises ValidationError on `formula` with each thing that is wrong."""
    found = _parsed(source) if fields is None else compiled(source, fields)
    if isinstance(found, list):
        words = [_("Write the formula that gives each recipient's date.")] if not source.strip() else map(str, found)
        raise ValidationError({"formula": list(words)})
