"""The reports of a delivery and of a campaign: tables, each with a picture. No HTML here but the pictures.

Reports are rates over what was processed (concepts.md, The figures); the dashboard may show others.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.core import formats
from campaigns.models import Campaign, Profile
from deliveries.ledger.counters import counters, counters_of
from deliveries.ledger.kpis import Counters, Figure
from deliveries.models import Delivery, ExclusionCause
from deliveries.models.states import CONFIRMED, LogStatus, Reason
from deliveries.models.storage import dialect
from reporting.figures import breakdown
from reporting.figures.breakdown import Breakdown
from reporting.figures.clicks import clicks_by_url
from reporting.models import Figures

from . import charts, engagement
from .engagement import Report, share

SAMPLED = 10_000  # profiles whose messages the fatigue summary counts
MANY = 10  # messages, from where on the fatigue summary counts no further


def of_delivery(delivery: Delivery) -> tuple[list[Report], datetime | None]:
    """The delivery's reports, and when what they draw was summed."""
    numbers = counters(delivery)
    figures = Figures.objects.filter(delivery=delivery).first()
    summed, at = breakdown.summed(delivery)
    made = [
        _summary(numbers),
        _indicators(numbers, figures, summed),
        _throughput(summed),
        _bounces(summed, numbers),
        _worst(summed),
        _domains(summed),
        *engagement.of_delivery(numbers, figures, summed),
        *engagement.of_urls(clicks_by_url(delivery, summed), numbers),
        _hot_clicks(delivery, summed),
    ]
    return made, at


def _summary(n: Counters) -> Report:
    done = n.sent + n.failed
    rows = [
        (_("To deliver"), n.to_deliver, ""),
        (_("Processed"), done, share(done, n.to_deliver)),
        (_("Delivered"), n.sent, share(n.sent, done)),
        (_("Bounces + errors"), n.failed, share(n.failed, done)),
        (_("of these hard"), n.hard, share(n.hard, done)),
        (_("of these soft"), n.soft, share(n.soft, done)),
        (_("Opens"), n.opens, share(n.opens, n.sent)),
        (_("Clicks"), n.clicks, share(n.clicks, n.sent)),
    ]
    note = _("Delivered and bounces are shares of what was processed, opens and clicks of Delivered.")
    drawn = charts.bars(_("Delivery summary"), [(label, number) for label, number, _share_ in rows])
    return Report("summary", _("Delivery summary"), note, drawn, [_("Figure"), _("Messages"), _("Share")], rows)


def _indicators(n: Counters, figures: Figures | None, summed: Breakdown) -> Report:
    f, spam = figures or Figures(), sum(domain["complained"] for domain in summed["domains"])
    rows = [
        (_("Recipients who opened"), n.opens, share(n.opens, n.sent)),
        (_("people among them"), f.people_opens, share(f.people_opens, n.sent)),
        (_("Recipients who clicked"), n.clicks, share(n.clicks, n.sent)),
        (_("people among them"), f.people_clicks, share(f.people_clicks, n.sent)),
        (_("Mirror page"), f.mirrors, share(f.mirrors, n.sent)),
        (_("Opt-outs"), f.opt_outs, share(f.opt_outs, n.sent)),
        (_("Spam complaints"), spam, share(spam, n.sent)),
        (_("Opens in all"), f.all_opens, ""),
        (_("Clicks in all"), f.all_clicks, ""),
    ]
    note = _("Recipients are counted once, whatever they did how often; machines are programs that read mail first.")
    drawn = charts.bars(_("Tracking indicators"), [(label, number) for label, number, part in rows if part])
    head = [_("Indicator"), _("Number"), _("of Delivered")]
    return Report("indicators", _("Tracking indicators"), note, drawn, head, rows)


def _throughput(summed: Breakdown) -> Report:
    step = summed["step"]
    points = breakdown.gapless(step, summed["throughput"])
    pattern = "%H:%M:%S" if step < 60 else "%H:%M" if step < 24 * 3600 else "%Y-%m-%d"
    labels = [f"{timezone.localtime(at):{pattern}}" for at, _number in points]
    drawn = charts.columns(_("Messages handed over"), [(_("messages"), [number for _at, number in points])], labels)
    rows = [
        (f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S}", number, formats.exact(round(number * 3600 / step)))
        for at, number in points
    ]
    note = _("How many messages the mail server took, each column %(long)s.") % {"long": formats.duration(step)}
    head = [_("From"), _("Messages"), _("an hour")]
    return Report("throughput", _("Delivery throughput"), note, drawn, head, rows)


def _bounces(summed: Breakdown, n: Counters) -> Report:
    done = n.sent + n.failed
    found = [(breakdown.reason_label(kind, reason), number) for kind, reason, number in summed["reasons"]]
    rows = [(label, number, share(number, done)) for label, number in found]
    drawn = charts.bars(_("Bounces by reason"), found[:8], colour=charts.RED)
    head = [_("Reason"), _("Messages"), _("of processed")]
    return Report("bounces", _("Bounce summary"), _("Why messages failed, the most frequent first."), drawn, head, rows)


def _worst(summed: Breakdown) -> Report:
    rows = [(d["domain"], d["bounces"], share(d["bounces"], d["sent"]), d["hard"], d["soft"]) for d in summed["worst"]]
    drawn = charts.bars(_("Bounces by domain"), [(row[0], row[1]) for row in rows], colour=charts.RED)
    head = [_("Domain"), _("Bounces"), _("of processed"), _("Hard"), _("Soft")]
    return Report("worst", _("Domains that bounce most"), _("Where messages failed."), drawn, head, rows)


def _domains(summed: Breakdown) -> Report:
    rows: list[list[Any]] = []
    for one in summed["domains"]:
        numbers: Any = one
        rows.append([one["domain"] or _("all others"), *(numbers.get(name, 0) for name in breakdown.NUMBERS)])
    drawn = charts.bars(_("Processed messages by domain"), [(str(row[0]), row[1]) for row in rows])
    head = [
        _("Domain"),
        _("Processed"),
        _("Delivered"),
        _("Bounces"),
        _("Hard"),
        _("Soft"),
        _("Opened"),
        _("Clicked"),
        _("Opted out"),
        _("Complained"),
        _("Mirror page"),
        _("Denylisted"),
    ]
    note = _("The domains with most messages; opened and clicked count recipients.")
    return Report("domains", _("Breakdown by domain"), note, drawn, head, rows)


def _hot_clicks(delivery: Delivery, summed: Breakdown) -> Report:
    urls = [url for url in clicks_by_url(delivery, summed) if url.link is not None]
    every = sum(url.events for url in urls)
    rows = [(u.label or u.url, u.part, u.events, share(u.events, every), u.recipients, u.people) for u in urls]
    ranked = sorted(((str(row[0]), row[2]) for row in rows if row[2]), key=lambda pair: -pair[1])
    head = [_("Link"), _("Part"), _("Clicks"), _("of all clicks"), _("Recipients"), _("People")]
    note = _("Where in the message people click; below, the message itself with the share of each link.")
    return Report("hot-clicks", _("Hot clicks"), note, charts.bars(_("Clicks by link"), ranked[:10]), head, rows)


def of_campaign(campaign: Campaign) -> list[Report]:
    """The campaign's deliveries side by side."""
    confirmed = Delivery.objects.filter(campaign=campaign, state__in=CONFIRMED).defer("content", "fingerprint")
    deliveries = list(confirmed.order_by("-pk")[:50])
    numbers = counters_of(deliveries)
    rows = []
    for d in deliveries:
        n = numbers[d.pk]
        done = n.sent + n.failed
        rows.append(
            (
                str(d),
                n.to_deliver,
                n.sent,
                share(n.sent, done),
                share(n.failed, done),
                share(n.opens, n.sent),
                share(n.clicks, n.sent),
            )
        )
    rates = [(str(d), round(100 * Figure(numbers[d.pk].opens, numbers[d.pk].sent).ratio, 1)) for d in deliveries[:12]]
    head = [_("Delivery"), _("To deliver"), _("Delivered"), _("Delivered %"), _("Bounces"), _("Opens"), _("Clicks")]
    drawn = charts.bars(_("Open rate by delivery"), rates, unit=" %")
    title, note = _("Comparison of deliveries"), _("The campaign's confirmed deliveries, the newest first.")
    return [Report("comparison", title, note, drawn, head, rows), fatigue(), _left_out(campaign)]


def _left_out(campaign: Campaign) -> Report:
    """Whom fatigue rules kept from the campaign's deliveries, by rule."""
    causes = ExclusionCause.objects.filter(delivery__campaign=campaign, cause=Reason.FATIGUE_RULE, volume__gt=0)
    found: Any = causes.order_by().values_list("rule_label").annotate(Sum("volume"), Count("delivery", distinct=True))
    ranked = sorted(found, key=lambda row: (-row[1], row[0]))
    rows = [(label or _("a rule"), volume, deliveries) for label, volume, deliveries in ranked]
    drawn = charts.bars(_("Left out by fatigue rule"), [(str(row[0]), row[1]) for row in rows])
    note = _("Profiles that a fatigue rule kept from a delivery; the exclusion logs name them.")
    head = [_("Rule"), _("Profiles"), _("Deliveries")]
    return Report("left-out", _("Left out by fatigue rules"), note, drawn, head, rows)


def fatigue(days: int = 15) -> Report:
    """How many messages profiles were sent within the last days. Ignores campaigns and rights, as it must.

    Of a sample, evenly spread: counting the rows of everybody would take minutes where there are millions.
    """
    newest = Profile.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    step = max(1, newest // SAMPLED)
    ids, parameter = dialect.one_of(range(newest, 0, -step))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT n, COUNT(*) FROM (SELECT COUNT(*) AS n FROM deliveries_sendinglog WHERE profile_id {ids} "
            f"AND status = {LogStatus.SENT:d} AND date >= %s GROUP BY profile_id) counted GROUP BY n ORDER BY n",
            [parameter, dialect.stamp(timezone.now() - timedelta(days=days))],
        )
        found = [(int(number), int(profiles)) for number, profiles in cursor.fetchall()]
    rows = [(str(number), profiles) for number, profiles in found if number < MANY]
    if many := sum(profiles for number, profiles in found if number >= MANY):
        rows.append((f"{MANY}+", many))
    note = _("Messages that a profile was sent within %(days)d days, over all campaigns.") % {"days": days}
    if step > 1:
        note += " " + _("Counted for one profile in %(step)d.") % {"step": step}
    drawn = charts.bars(_("Profiles by number of messages"), rows)
    return Report("fatigue", _("Fatigue summary"), note, drawn, [_("Messages"), _("Profiles")], rows)
