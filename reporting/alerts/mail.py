"""The mail of an alert dashboard: a summary by criterion, the gravest first, then the deliveries of each.

As text, and as HTML with the colours of the alert types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.accounts.staff_mail import Mail
from deliveries.models import Delivery
from reporting.models.alert_criteria import LEVELS, Facts, Level
from reporting.models.alerts import AlertCriterion

Found = list[tuple[AlertCriterion, list[Delivery]]]
WORDS = {
    Level.ERROR: gettext_lazy("Error"),
    Level.WARNING: gettext_lazy("Warning"),
    Level.INFO: gettext_lazy("Info"),
}
COLOURS = {Level.ERROR: "#a61b1b", Level.WARNING: "#7a5200", Level.INFO: "#1a6630"}


@dataclass(frozen=True, slots=True)
class Line:
    """A delivery in the mail, with the indicators that the criterion shows."""

    delivery: Delivery
    url: str
    figures: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Section:
    """A criterion in the mail."""

    title: str
    level: str
    colour: str
    lines: Sequence[Line]


def percent(part: int, whole: int) -> str:
    """Two decimals, as alerts show them."""
    return f"{100 * part / whole:.2f} %" if whole else "0.00 %"


def _date(facts: Facts) -> str:
    return f"{timezone.localtime(facts.contact_date):%Y-%m-%d %H:%M}" if facts.contact_date else "-"


def _of_processed(part: int, facts: Facts) -> str:
    return f"{part} ({percent(part, facts.processed)})"


# The indicators that a criterion may show, by name: (label, value).
INDICATORS: dict[str, tuple[object, Callable[[Facts, datetime], str]]] = {
    "contact_date": (gettext_lazy("contact date"), lambda f, now: _date(f)),
    "to_deliver": (gettext_lazy("to send"), lambda f, now: str(f.counters.to_deliver)),
    "sent": (
        gettext_lazy("sent"),
        lambda f, now: f"{f.processed} ({percent(f.processed, f.counters.to_deliver)})",
    ),
    "delivered": (gettext_lazy("delivered"), lambda f, now: _of_processed(f.counters.sent, f)),
    "errors": (gettext_lazy("errors"), lambda f, now: _of_processed(f.counters.failed, f)),
    "soft": (gettext_lazy("soft"), lambda f, now: _of_processed(f.counters.soft, f)),
    "hard": (gettext_lazy("hard"), lambda f, now: _of_processed(f.counters.hard, f)),
    "throughput": (gettext_lazy("thousand an hour"), lambda f, now: f"{f.hourly(now) / 1000:.2f}"),
}


def level_of(criterion: AlertCriterion) -> Level:
    """The type that was chosen for it, else its own."""
    return Level[criterion.level] if criterion.level else LEVELS[criterion.kind]


def letter(label: str, found: Found, facts: Mapping[int, Facts], now: datetime) -> Mail:
    """The mail in the language that is active now. In: the dashboard's label, each criterion with its deliveries, and
    the facts of these by id."""
    subject = f"[{label}] " + ", ".join(f"{criterion.get_kind_display()}: {len(met)}" for criterion, met in found)
    order = list(Level)
    ranked = sorted(found, key=lambda pair: order.index(level_of(pair[0])))
    sections = [_section(criterion, deliveries, facts, now) for criterion, deliveries in ranked]
    return Mail(subject, _text(sections), render_to_string("reporting/alert_mail.html", {"sections": sections}))


def _section(criterion: AlertCriterion, met: list[Delivery], facts: Mapping[int, Facts], now: datetime) -> Section:
    level = level_of(criterion)
    chosen = [INDICATORS[name] for name in criterion.columns or INDICATORS if name in INDICATORS]
    lines = [
        Line(
            delivery,
            f"{settings.PUBLIC_URL}{delivery.get_absolute_url()}",
            [(str(label), value(facts[delivery.pk], now)) for label, value in chosen],
        )
        for delivery in met
    ]
    return Section(str(criterion.get_kind_display()), str(WORDS[level]), COLOURS[level], lines)


def _text(sections: Sequence[Section]) -> str:
    lines = [_("Summary"), ""]
    lines += [f"{section.level:8} {section.title}: {len(section.lines)}" for section in sections]
    for section in sections:
        lines += ["", f"{section.title} ({section.level})", ""]
        for line in section.lines:
            figures = ", ".join(f"{label} {value}" for label, value in line.figures)
            lines += [f"- {line.delivery}", f"  {figures}", f"  {line.url}"]
    return "\n".join(lines) + "\n"
