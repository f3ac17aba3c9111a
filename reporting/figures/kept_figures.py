"""A delivery's open and click figures from its tracking logs: refreshed hourly, or all at once by Compute stats.

Formulas (concepts.md, The figures): over rows with status Sent alone, distinct rows, never sums of daily uniques.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from campaigns.accounts import permissions
from campaigns.core.actors import Person
from campaigns.core.kept_text import keep as _
from campaigns.core.web.slow_statements import unhurried
from deliveries.ledger import recount
from deliveries.ledger.counters import counters
from deliveries.ledger.events import log_event
from deliveries.lifecycle.commands import Refused, ask
from deliveries.models import Delivery, DeliveryEvent
from deliveries.models.states import LogStatus
from reporting.models import CLICKING, OPENING, Figures, TrackingLog, TrackingType
from reporting.tracking import bot_detection

from . import breakdown, id_ranges

logger = logging.getLogger("reporting.figures.kept_figures")

ALONE = timedelta(minutes=10)  # a Compute stats that died holds up the next one no longer


class Measured(NamedTuple):
    """Distinct Sent rows with such an event; the last two count events."""

    opens: int = 0
    clicks: int = 0
    people_opens: int = 0
    people_clicks: int = 0
    mirrors: int = 0
    opt_outs: int = 0
    all_opens: int = 0
    all_clicks: int = 0


def measure(delivery_id: int) -> Measured:
    """Count the delivery's tracking logs, recipient by recipient; each lies in one share, so the sums are distinct."""
    found = id_ranges.summed(delivery_id, "did", ("recipients", "opened", "clicked"), _alike)
    parts = (_measured(*row) for row in found)
    return Measured(*map(sum, zip(Measured(), *parts, strict=True)))


_PEOPLES = 1 << len(OPENING)  # people's types follow machines' in what a recipient did, a bit for each type


def _alike(logs: str, events: str) -> str:
    """SQL: how many recipients did what, with the numbers of their opens and clicks. The index tracking_recipient holds
    all that is asked of tracking logs, in order of recipient."""
    kind = " ".join(f"WHEN {code:d} THEN {1 << place:d}" for place, code in enumerate(OPENING))
    return f"""
        SELECT did, COUNT(*) AS recipients, SUM(opened) AS opened, SUM(clicked) AS clicked FROM (
            SELECT sending_log_id,
                SUM((CASE type {kind} ELSE 0 END) * (CASE WHEN machine THEN 1 ELSE {_PEOPLES:d} END)) AS did,
                SUM(CASE WHEN type = {TrackingType.OPEN:d} THEN n ELSE 0 END) AS opened,
                SUM(CASE WHEN type IN ({", ".join(map(str, CLICKING))}) THEN n ELSE 0 END) AS clicked
            FROM (
                SELECT sending_log_id, type, machine, CAST(COUNT(*) AS integer) AS n FROM reporting_trackinglog t
                WHERE {events} GROUP BY sending_log_id, type, machine
            ) kinds GROUP BY sending_log_id
        ) e JOIN deliveries_sendinglog l ON l.id = e.sending_log_id
        WHERE {logs} AND l.status = {LogStatus.SENT:d} GROUP BY did"""


def _measured(did: int, recipients: int, opened: int, clicked: int) -> Measured:
    """The figures of recipients who all did the same."""
    people = did // _PEOPLES
    every = did % _PEOPLES | people

    def of(seen: int, *types: int) -> int:
        return recipients if any(seen >> OPENING.index(code) & 1 for code in types) else 0

    opens = of(every, *OPENING)
    implied = 0 if of(every, TrackingType.OPEN) else opens
    return Measured(
        opens,
        of(every, *CLICKING),
        of(people, *OPENING),
        of(people, *CLICKING),
        of(every, TrackingType.MIRROR),
        of(every, TrackingType.OPT_OUT),
        opened + implied,
        clicked,
    )


def refresh(delivery: Delivery, *, only_if_changed: bool = False) -> Measured | None:
    """Bring the delivery's opens and clicks up to date, and the time of it. Out: what was counted.

    `only_if_changed`: count only if there are newer tracking logs, or other Sent rows, than the last time; else None.
    """
    last, sent = _last_log(delivery.pk), counters(delivery).sent
    now = timezone.now()
    if only_if_changed:
        same = Figures.objects.filter(delivery=delivery, last_log=last, sent=sent, version=bot_detection.VERSION)
        if same.exists():
            Delivery.objects.filter(pk=delivery.pk).update(stats_at=now)
            return None
    with unhurried():
        id_ranges.plan_for_many(look_ups=False)
        found = measure(delivery.pk)
        id_ranges.plan_for_many(look_ups=True)
        sums = breakdown.breakdown(delivery.pk)
    also = found._asdict()
    opens, clicks = also.pop("opens"), also.pop("clicks")
    also |= {"last_log": last, "sent": sent, "version": bot_detection.VERSION, "refreshed_at": now}
    also["breakdown"] = sums
    with transaction.atomic():
        Delivery.objects.filter(pk=delivery.pk).update(opens=opens, clicks=clicks, stats_at=now)
        Figures.objects.update_or_create(delivery=delivery, defaults=also)
    return found


def _last_log(delivery_id: int) -> int:
    """The newest of each type is one step in the index; of all together it is not."""
    newest = (TrackingLog.objects.filter(delivery=delivery_id, type=kind).order_by("-pk")[:1] for kind in TrackingType)
    return max((row.pk for rows in newest for row in rows.only("pk")), default=0)


def refresh_all(seconds: float) -> bool:
    """Refresh the deliveries whose figures can still change, the oldest figures first. Out: False if time ran out."""
    until = time.monotonic() + seconds
    since = timezone.now() - timedelta(days=settings.TRACKING_DAYS + 1)
    stale = Q(stats_at=None) | Q(stats_at__lt=timezone.now() - timedelta(minutes=settings.FIGURES_MINUTES / 2))
    living = Delivery.objects.filter(stale, confirmed_at__isnull=False, contact_date__gte=since)
    living = living.exclude(figures_of__purging_at__isnull=False)
    for delivery in living.order_by(F("stats_at").asc(nulls_first=True)):
        if time.monotonic() > until:
            return False
        refresh(delivery, only_if_changed=True)
    return True


def compute_stats(delivery: Delivery, by: Person) -> list[recount.Drift]:
    """Recompute all figures from the logs now: batch counters, opens and clicks. Out: the counters that had drifted.

    Again gives the same. Raises PermissionDenied; Refused('not_confirmed'), Refused('purged'),
    Refused('computing') while another runs.
    """
    ask(permissions.require_prepare, delivery, by, "compute the stats of")
    if delivery.confirmed_at is None:
        raise Refused("not_confirmed", _("%(delivery)s was not confirmed yet: it has no figures.", delivery=delivery))
    if Figures.objects.filter(delivery=delivery, purging_at__isnull=False).exists():
        raise Refused(
            "purged",
            _("The logs of %(delivery)s are gone (retention); its figures stay as they are.", delivery=delivery),
        )
    _be_alone(delivery)
    try:
        drift = recount.correct(delivery.pk)
        found = refresh(delivery)
    finally:
        Figures.objects.filter(delivery=delivery).update(counting_until=None)
    _tell(delivery, by, drift, found)
    delivery.refresh_from_db()
    return drift


def _be_alone(delivery: Delivery) -> None:
    now = timezone.now()
    Figures.objects.get_or_create(delivery=delivery)
    free = Figures.objects.filter(Q(counting_until=None) | Q(counting_until__lt=now), delivery=delivery)
    if not free.update(counting_until=now + ALONE):
        raise Refused("computing", _("The stats of this delivery are being computed already."))


def _tell(delivery: Delivery, by: Person, drift: list[recount.Drift], found: Measured | None) -> None:
    words = _("Stats computed from the logs by %(by)s.", by=by)
    if drift:
        words = _(
            "Stats computed from the logs by %(by)s. In %(n)s batches counters had drifted, now corrected: %(parts)s.",
            by=by,
            n=_batches(drift),
            parts=summary(drift),
        )
    log_event(
        delivery,
        "stats_computed",
        words,
        user=by,
        severity=DeliveryEvent.Severity.WARNING if drift else DeliveryEvent.Severity.INFO,
        drift=[d._asdict() for d in drift[:100]],
        figures=found._asdict() if found else {},
    )


def summary(drift: list[recount.Drift]) -> str:
    """By how much the counters are wrong, all batches together: “sent -1, failed +1”."""
    sums: dict[str, int] = {}
    for one in drift:
        sums[one.counter] = sums.get(one.counter, 0) + one.counted - one.stood
    return ", ".join(f"{name} {step:+d}" for name, step in sums.items())


def _batches(drift: list[recount.Drift]) -> int:
    return len({one.batch_id for one in drift})


def check_drift(seconds: float) -> list[Delivery]:
    """Compare the counters of deliveries that can still change with their rows. Out: those that had drifted.

    Nothing is corrected: whoever is told can look first, and Compute stats corrects.
    """
    until = time.monotonic() + seconds
    since = timezone.now() - timedelta(days=8)  # bounces come for a week
    found = []
    for delivery in Delivery.objects.filter(confirmed_at__gte=since).order_by("-pk"):
        drift = recount.drifts(delivery.pk)
        if drift:
            found.append(delivery)
            text = _(
                "The nightly check found counters in %(n)s batches that differ from the logs: %(parts)s. "
                "Compute stats corrects them.",
                n=_batches(drift),
                parts=summary(drift),
            )
            kept = [one._asdict() for one in drift[:100]]
            log_event(delivery, "drift", text, severity=DeliveryEvent.Severity.WARNING, drift=kept)
        if time.monotonic() > until:
            logger.error("the nightly check ran out of time before DM%s", delivery.pk)
            break
    return found
