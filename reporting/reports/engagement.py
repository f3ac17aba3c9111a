"""The reports of what recipients did: opens, opt-outs, complaints, and their clicks by URL and category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from deliveries.ledger.kpis import Counters, Figure
from reporting.figures.breakdown import Breakdown
from reporting.models import Figures

from . import charts


@dataclass(frozen=True, slots=True)
class Report:
    """One report: a heading, what it says in a sentence, a picture and the same as a table."""

    name: str
    title: str
    note: str
    chart: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]


def share(part: int, whole: int) -> str:
    """Like “12 %”."""
    return Figure(part, whole).percent


def of_delivery(n: Counters, figures: Figures | None, summed: Breakdown) -> list[Report]:
    """Opens, opt-outs and complaints."""
    f = figures or Figures()
    out, spam = (sum(one[name] for one in summed["domains"]) for name in ("opted_out", "complained"))
    opens = [
        (_("Recipients who opened"), n.opens, share(n.opens, n.sent)),
        (_("people among them"), f.people_opens, share(f.people_opens, n.sent)),
        (_("machines alone"), n.opens - f.people_opens, share(n.opens - f.people_opens, n.sent)),
        (_("Opens in all"), f.all_opens, ""),
    ]
    words = {
        "opened": _("An open is an image loaded, or anything that needs one; totals are no sums of recipients."),
        "opted_out": _("Recipients who pressed the button, not those who only looked at the page."),
        "complained": _("Recipients whose mail service reported the message as spam; they stay Delivered."),
    }
    return [
        _by_domain("opens", _("Opens"), words["opened"], "opened", opens, summed, charts.GREEN),
        _by_domain(
            "unsubscriptions",
            _("Unsubscriptions"),
            words["opted_out"],
            "opted_out",
            [(_("Opt-outs"), out, share(out, n.sent))],
            summed,
            charts.BLUE,
        ),
        _by_domain(
            "complaints",
            _("Complaints"),
            words["complained"],
            "complained",
            [(_("Spam complaints"), spam, share(spam, n.sent))],
            summed,
            charts.RED,
        ),
    ]


def _by_domain(
    name: str, title: str, note: str, number: str, first: Sequence[Sequence[Any]], summed: Breakdown, colour: int
) -> Report:
    """The whole, then the domains that have some, each with its share of what was delivered there."""
    domains: list[Any] = [one for one in summed["domains"] if one.get(number)]
    rows = [(one["domain"] or _("all others"), one[number], share(one[number], one["delivered"])) for one in domains]
    drawn = charts.bars(title, [(str(row[0]), row[1]) for row in rows], colour=colour)
    head = [_("Indicator or domain"), _("Number"), _("of Delivered")]
    return Report(name, title, note, drawn, head, [*first, *rows])


def of_urls(urls: Sequence[Any], n: Counters) -> list[Report]:
    """Clicks by URL, with its category. In: links with events, recipients and people (log_pages.clicks_by_url)."""
    tracked = [url for url in urls if url.link is not None]
    every, by_category = sum(url.events for url in tracked), Counter[str]()
    for url in tracked:
        by_category[url.category or _("without a category")] += url.events
    rows = [
        (u.url, u.category, u.events, share(u.events, every), u.recipients, share(u.recipients, n.sent), u.people)
        for u in sorted(tracked, key=lambda url: -url.events)
    ]
    head = [
        _("URL"),
        _("Category"),
        _("Clicks"),
        _("of all clicks"),
        _("Recipients"),
        _("of Delivered"),
        _("People"),
    ]
    drawn = charts.bars(_("Clicks by category"), by_category.most_common(10)) if every else ""
    note = _("What recipients clicked; the picture sums it by category (data-category in the HTML).")
    return [Report("urls", _("URLs and click streams"), note, drawn, head, rows)]
