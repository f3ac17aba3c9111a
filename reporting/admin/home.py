"""What the admin's first page tells: what runs, what waits for the user, the last seven days, and what went wrong.

Three queries whatever the number of recipients: counters come from the batches, no log is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.accounts import permissions
from campaigns.core import formats
from campaigns.core.actors import Actor
from deliveries.admin.dashboard.deployment_block import processed
from deliveries.ledger.counters import counters_of
from deliveries.ledger.kpis import Counters, Kpis, kpis, total
from deliveries.models import Delivery
from deliveries.models.logical_status import LOGICAL, short_label
from deliveries.models.states import CONFIRMED, PREPARING, RUNNING, State
from deliveries.preparation.sealing import READ, READ_LISTS, changed_since_prepared
from reporting.models import alert_criteria
from reporting.models.alert_criteria import LEVELS, Facts, Level, Limits
from reporting.reports import charts

SHOWN = 8  # lines in a block
DAYS = 7
COUNTED = 500  # deliveries that are looked at
_MOVING = PREPARING | RUNNING | {State.PAUSED}
_WRONG = {
    "failed": gettext_lazy("Failed"),
    "preparation_failed": gettext_lazy("The preparation failed"),
    "soft_bounces": gettext_lazy("Many soft bounces"),
    "hard_bounces": gettext_lazy("Many hard bounces"),
    "start_pending": gettext_lazy("Not started though it is time"),
    "low_throughput": gettext_lazy("Slow"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A delivery in a block. `percent`: how far it is, None without a bar; `figures`: None before it is confirmed."""

    delivery: Delivery
    state: str
    tone: str
    percent: int | None = None
    words: str = ""
    figures: Kpis | None = None


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that went wrong: how bad, what, where."""

    level: str
    what: str
    words: str
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Week:
    """The last seven days: all together, by day, and the newest deliveries."""

    number: int
    to_deliver: str
    figures: Kpis
    days: Sequence[tuple[str, int, int]]  # (day, delivered, bounces)
    chart: str
    newest: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Home:
    """The page."""

    running: Sequence[Line]
    awaiting: Sequence[Line]
    week: Week | None
    alerts: Sequence[Warned]


def home(user: Actor) -> Home:
    """The first page of `user`, with what they may read."""
    now = timezone.now()
    known = _moving_or_recent(user, now)
    numbers = counters_of(known)
    running = sorted((d for d in known if d.state in _MOVING), key=lambda d: -d.pk)[:SHOWN]
    sent = [d for d in known if d.state in CONFIRMED and d.contact_date and _in_week(d.contact_date, now)]
    return Home(
        running=[_running(delivery, numbers[delivery.pk]) for delivery in running],
        awaiting=_awaiting(user),
        week=_week(sent, numbers, now) if sent else None,
        alerts=_alerts(known, numbers, now),
    )


def _moving_or_recent(user: Actor, now: datetime) -> list[Delivery]:
    """What is at work, began in the last seven days, or failed to be prepared in the last one; the newest first."""
    week = Q(contact_date__gt=now - timedelta(days=DAYS), contact_date__lte=now, state__in=CONFIRMED)
    failed = Q(preparation_at__gt=now - timedelta(days=1), state=State.PREPARATION_FAILED)
    readable = Delivery.objects.filter(campaign__in=permissions.readable_campaigns(user)).select_related("campaign")
    found = readable.filter(Q(state__in=_MOVING) | week | failed).defer("content", "fingerprint")  # may be megabytes
    return list(found.order_by(F("contact_date").desc(nulls_first=True), "-pk")[:COUNTED])


def _in_week(at: datetime, now: datetime) -> bool:
    return now - timedelta(days=DAYS) < at <= now


def _line(delivery: Delivery, **more: Any) -> Line:
    return Line(delivery, short_label(delivery.state), str(LOGICAL[State(delivery.state)].value), **more)


def _running(delivery: Delivery, counters: Counters) -> Line:
    """How far it is; a bar is full only when nothing is left."""
    if delivery.state in PREPARING:
        return _line(delivery, percent=delivery.progress, words=_("Preparation"))
    if delivery.state == State.START_PENDING and delivery.contact_date and delivery.contact_date > timezone.now():
        return _line(delivery, words=_("from %(when)s on") % {"when": formats.clock(delivery.contact_date)})
    done, due = processed(counters), counters.to_deliver - counters.cancelled
    percent = 100 if done >= due else min(99, 100 * done // due)
    words = _("%(done)s of %(all)s") % {"done": formats.exact(done), "all": formats.exact(counters.to_deliver)}
    return _line(delivery, percent=percent, words=words)


def _awaiting(user: Actor) -> list[Line]:
    """Ready deliveries that the user may start, and whether they still are what was prepared."""
    startable = permissions.readable_campaigns(user, permissions.START)
    ready = Delivery.objects.filter(state=State.READY, starts_by_itself=False, campaign__in=startable)
    own = Q(prepared_by=user) | Q(
        prepared_by=None
    )  # or by an account that is gone (deliveries/lifecycle/confirming/four_eyes.py)
    ready = ready.exclude(own, campaign__four_eyes=True).exclude(expires_at__lte=timezone.now())
    loaded = ready.select_related("campaign", *READ).prefetch_related(*READ_LISTS).defer("content")
    return [_asked(delivery) for delivery in loaded.order_by("-pk")[:SHOWN]]


def _asked(delivery: Delivery) -> Line:
    if changed_since_prepared(delivery):
        return _line(delivery, words=_("changed since it was prepared: prepare again"))
    words = _("%(n)s messages") % {"n": formats.exact(delivery.to_deliver)}
    if delivery.expires_at:
        words += _(", to be confirmed until %s") % formats.clock(delivery.expires_at)
    return _line(delivery, words=words)


def _week(sent: Sequence[Delivery], numbers: dict[int, Counters], now: datetime) -> Week:
    """Rates of all together are over what all processed: whether a feedback service counts differs by delivery."""
    together = total(numbers[delivery.pk] for delivery in sent)
    days = _by_day(sent, numbers, now)
    return Week(
        number=len(sent),
        to_deliver=formats.compact(together.to_deliver),
        figures=kpis(together, feedback_service=False),
        days=days,
        chart=charts.columns(
            _("Messages by day of contact"),
            [(_("delivered"), [day[1] for day in days]), (_("bounces"), [day[2] for day in days])],
            [day[0] for day in days],
            colours=(charts.GREEN, charts.RED),
        ),
        newest=[_line(d, figures=kpis(numbers[d.pk], feedback_service=d.feedback_service)) for d in sent[:SHOWN]],
    )


def _by_day(sent: Iterable[Delivery], numbers: dict[int, Counters], now: datetime) -> list[tuple[str, int, int]]:
    """Today and the days before, with zeros; what began earlier on the first of them counts to that day."""
    today = timezone.localdate(now)
    sums = {today - timedelta(days=back): [0, 0] for back in range(DAYS, -1, -1)}
    for delivery in sent:
        assert delivery.contact_date is not None
        day = sums[timezone.localdate(delivery.contact_date)]
        day[0] += numbers[delivery.pk].sent
        day[1] += numbers[delivery.pk].failed
    return [(f"{day:%m-%d}", good, bad) for day, (good, bad) in sums.items()]


def _alerts(deliveries: Iterable[Delivery], numbers: dict[int, Counters], now: datetime) -> list[Warned]:
    """What is held up, and what meets a criterion of alerts at its default limits; the gravest first."""
    found = []
    for d in deliveries:
        if d.hindrance and d.state in RUNNING:
            found.append(Warned(Level.ERROR.name, _("Held up"), d.hindrance, d))
        facts = Facts(d.state, numbers[d.pk], d.contact_date, d.preparation_at, d.started_at, d.finished_at)
        for kind, what in _WRONG.items():
            if alert_criteria.meets(kind, facts, Limits(), now):
                found.append(Warned(LEVELS[kind].name, str(what), _in_words(kind, facts, now), d))
    return sorted(found, key=lambda one: (one.level != Level.ERROR.name, -one.delivery.pk))[:SHOWN]


def _in_words(kind: str, facts: Facts, now: datetime) -> str:
    """The figure that made the criterion speak; empty where its name says it all."""
    bounced = {"soft_bounces": facts.counters.soft, "hard_bounces": facts.counters.hard}.get(kind)
    if bounced is not None:
        return _("%(bounced)s of %(all)s processed: %(share).2f %%") % {
            "bounced": formats.exact(bounced),
            "all": formats.exact(facts.processed),
            "share": 100 * bounced / facts.processed,
        }
    return _("%(n)s messages an hour") % {"n": f"{facts.hourly(now):,.0f}"} if kind == "low_throughput" else ""
