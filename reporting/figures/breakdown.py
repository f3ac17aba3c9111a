"""A delivery's rows summed by domain, cause, time and link: what the reports draw.

Kept with the figures, so that a report of millions of rows opens at once; small deliveries are summed when somebody
looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypedDict

from django.db import connection
from django.utils import timezone

from deliveries.models import Delivery
from deliveries.models.states import FailureType, LogStatus, Reason
from reporting.models import Figures, TrackingType

from . import id_ranges

AT_ONCE = 100_000  # recipients: up to that many are summed while somebody waits

STEPS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600)  # seconds in a column of the throughput
COLUMNS = 60
DOMAINS = 10
WORST = 5  # domains in the bounce summary
OTHERS = ""  # the name of all domains beyond


class Domain(TypedDict):
    """One mail domain's rows."""

    domain: str
    sent: int
    delivered: int
    bounces: int
    hard: int
    soft: int
    opened: int
    clicked: int
    opted_out: int
    complained: int
    mirrored: int
    denylisted: int


NUMBERS = (
    "sent",
    "delivered",
    "bounces",
    "hard",
    "soft",
    "opened",
    "clicked",
    "opted_out",
    "complained",
    "mirrored",
    "denylisted",
)


class Breakdown(TypedDict):
    """What is stored: plain JSON."""

    step: int
    throughput: list[tuple[int, int]]  # (seconds since 1970, messages handed over in the step that begins there)
    reasons: list[tuple[int, int, int]]  # (failure type, reason, rows), most first
    domains: list[Domain]  # most processed first; the rest under OTHERS
    links: list[tuple[int, int, int, int]]  # (link, clicks, recipients, people among these)
    worst: list[Domain]  # most bounces first


EMPTY = Breakdown(step=1, throughput=[], reasons=[], domains=[], links=[], worst=[])


def breakdown(delivery_id: int) -> Breakdown:
    """Sum the delivery's rows."""
    step, throughput = _throughput(delivery_id)
    rows = _grouped(delivery_id)
    by_name = _by_domain(rows)
    for name, mirrored in _mirrored(delivery_id):
        by_name.setdefault(name, _blank(name))["mirrored"] = mirrored
    return Breakdown(
        step=step,
        throughput=throughput,
        reasons=_reasons(rows),
        domains=_domains(by_name),
        worst=_worst(by_name),
        links=_links(delivery_id),
    )


def summed(delivery: Delivery) -> tuple[Breakdown, datetime | None]:
    """The delivery's sums and when they were made: now if it is small and has its logs, else at the last refresh."""
    figures = Figures.objects.filter(delivery=delivery).first()
    if delivery.to_deliver <= AT_ONCE and not (figures and figures.purging_at):
        return breakdown(delivery.pk), timezone.now()
    stored: Any = figures.breakdown if figures else {}
    whole: Any = {**EMPTY, **stored}
    return whole, figures.refreshed_at if figures else None


def _throughput(delivery_id: int) -> tuple[int, list[tuple[int, int]]]:
    """(seconds in a step, [(when it began, messages)])."""
    if connection.vendor == "sqlite":
        second = "CAST(strftime('%s', relayed_at) AS INTEGER)"
    else:
        second = "date_trunc('second', relayed_at)"  # the cheapest to group by; EXTRACT makes a decimal of each
    rows = id_ranges.summed(
        delivery_id,
        "second",
        ["n"],
        lambda logs, events: (
            f"""SELECT {second} AS second, COUNT(*) AS n FROM deliveries_sendinglog l
                                 WHERE {logs} AND relayed_at IS NOT NULL GROUP BY 1"""
        ),
    )
    found = [(int(at if isinstance(at, int) else at.timestamp()), number) for at, number in rows]
    if not found:
        return 1, []
    step = step_for(max(found)[0] - min(found)[0])
    slots: Counter[int] = Counter()
    for at, number in found:
        slots[at // step * step] += number
    return step, sorted(slots.items())


def step_for(seconds: int) -> int:
    """The shortest step with which so long a time fits into the columns; days if none does."""
    return next((step for step in STEPS if seconds / step < COLUMNS), STEPS[-1])


def gapless(step: int, throughput: Iterable[tuple[int, int]]) -> list[tuple[datetime, int]]:
    """The throughput with zeros where nothing was sent, as (time, messages); at most 200 columns, the first ones."""
    known = dict(throughput)
    if not known:
        return []
    times = range(min(known), max(known) + 1, step)[:200]
    return [(datetime.fromtimestamp(at, UTC), known.get(at, 0)) for at in times]


def _links(delivery_id: int) -> list[tuple[Any, ...]]:
    """(link, clicks, recipients, people among these): by recipient first, since counting distinct ones sorts all."""
    rows = id_ranges.summed(
        delivery_id,
        "link",
        ("clicks", "recipients", "people"),
        lambda logs, events: (
            f"""SELECT link, SUM(n) AS clicks, COUNT(*) AS recipients, SUM(person) AS people FROM (
                SELECT link, sending_log_id, COUNT(*) AS n, MAX(CASE WHEN machine THEN 0 ELSE 1 END) AS person
                FROM reporting_trackinglog t WHERE {events} AND type = {TrackingType.CLICK:d} AND link IS NOT NULL
                GROUP BY link, sending_log_id
            ) clicked GROUP BY link"""
        ),
    )
    return sorted(rows)


def _domain_of(column: str) -> str:
    """SQL for the domain of an address."""
    sqlite = connection.vendor == "sqlite"
    return f"substr({column}, instr({column}, '@') + 1)" if sqlite else f"split_part({column}, '@', 2)"


def _mirrored(delivery_id: int) -> list[tuple[Any, ...]]:
    """(domain, Sent rows whose mirror page was looked at)."""
    return id_ranges.summed(
        delivery_id,
        "domain",
        ["n"],
        lambda logs, events: (
            f"""SELECT {_domain_of("l.address")} AS domain, COUNT(*) AS n FROM (
                SELECT DISTINCT sending_log_id FROM reporting_trackinglog t
                WHERE {events} AND type = {TrackingType.MIRROR:d}
            ) seen JOIN deliveries_sendinglog l ON l.id = seen.sending_log_id
            WHERE {logs} AND l.status = {LogStatus.SENT:d} GROUP BY 1"""
        ),
    )


def _grouped(delivery_id: int) -> list[tuple[Any, ...]]:
    """(domain, status, failure type, reason, rows, opened, clicked, opted out, complained)."""
    return id_ranges.summed(
        delivery_id,
        "domain, status, failure_type, reason",
        ("n", "opened", "clicked", "opted_out", "complained"),
        lambda logs, events: (
            f"""SELECT {_domain_of("address")} AS domain, status, failure_type, reason, COUNT(*) AS n,
                COUNT(opened_at) AS opened, COUNT(clicked_at) AS clicked, COUNT(opted_out_at) AS opted_out,
                COUNT(complained_at) AS complained
            FROM deliveries_sendinglog l WHERE {logs} AND status IN ({LogStatus.SENT:d}, {LogStatus.FAILED:d})
            GROUP BY 1, 2, 3, 4"""
        ),
    )


def _reasons(rows: Iterable[tuple[Any, ...]]) -> list[tuple[int, int, int]]:
    found: Counter[tuple[int, int]] = Counter()
    for _, status, kind, reason, number, *_rest in rows:
        if status == LogStatus.FAILED:
            found[kind, reason] += number
    return [(kind, reason, number) for (kind, reason), number in found.most_common()]


def _by_domain(rows: Iterable[tuple[Any, ...]]) -> dict[str, Domain]:
    by_name: dict[str, Domain] = {}
    for name, status, kind, reason, number, opened, clicked, out, complained in rows:
        into = by_name.setdefault(name, _blank(name))
        into["sent"] += number
        into["complained"] += complained
        if status == LogStatus.SENT:
            into["delivered"] += number
            into["opened"] += opened
            into["clicked"] += clicked
            into["opted_out"] += out
        else:
            into["bounces"] += number
            into["hard"] += number * (kind == FailureType.HARD)
            into["soft"] += number * (kind == FailureType.SOFT)
            into["denylisted"] += number * (reason == Reason.DENYLISTED)
    return by_name


def _domains(by_name: dict[str, Domain]) -> list[Domain]:
    ranked = sorted(by_name.values(), key=lambda one: (-one["sent"], one["domain"]))
    rest = ranked[DOMAINS:]
    return [*ranked[:DOMAINS], *([_sum(rest)] if rest else [])]


def _worst(by_name: dict[str, Domain]) -> list[Domain]:
    bouncing = [one for one in by_name.values() if one["bounces"]]
    return sorted(bouncing, key=lambda one: (-one["bounces"], one["domain"]))[:WORST]


def _blank(name: str) -> Domain:
    return Domain(
        domain=name,
        sent=0,
        delivered=0,
        bounces=0,
        hard=0,
        soft=0,
        opened=0,
        clicked=0,
        opted_out=0,
        complained=0,
        mirrored=0,
        denylisted=0,
    )


def _sum(parts: Iterable[Domain]) -> Domain:
    whole = _blank(OTHERS)
    for part in parts:
        for name in NUMBERS:
            whole[name] += part[name]  # type: ignore[literal-required]
    return whole


def reason_label(kind: int, reason: int) -> str:
    """Like “User unknown (Hard)”."""
    words = Reason(reason).label if reason in Reason.values else str(reason)
    return f"{words} ({FailureType(kind).label})" if kind in FailureType.values and kind else str(words)
