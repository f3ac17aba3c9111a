"""Which rows a figure, a list or a file is made of: named once, so that the page, the file and the number agree.

A row set is querysets without common rows, each of which an index gives in order of id (campaigns/core/web/paging.py).
Each is made for one reader: rows about people whom they may not read are masked, and counted all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.http import Http404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from campaigns.accounts.masking import Sight
from campaigns.core.web.paging import walk
from campaigns.core.web.search import starts_with
from deliveries.ledger import masked_rows
from deliveries.models import Delivery, ExclusionLog, SendingLog
from deliveries.models.states import LogStatus
from deliveries.preparation import exclusion_filters
from reporting.models import CLICKING, OPENING, TrackedUrl, TrackingLog, TrackingType
from reporting.tracking import tracked_urls

CHUNK = 2000

Column = tuple[str, Callable[[Any], Any]]
Mask = Callable[[Collection[Any]], None]


@dataclass(frozen=True, slots=True)
class RowSet:
    """Rows, what to show of each, and the filter that made them, for addresses and for the log. `mask` hides in rows
    that were read what the reader may not see: whoever shows them without `rows` calls it first."""

    name: str
    title: str
    parts: Sequence[QuerySet[Any]]
    columns: Sequence[Column]
    filters: Mapping[str, str] = field(default_factory=dict)
    mask: Mask = lambda rows: None

    def rows(self) -> Iterator[Any]:
        """All rows, some thousands in memory at a time, whatever their number."""
        for part in self.parts:
            for chunk in walk(part, CHUNK):
                self.mask(chunk)
                yield from chunk

    def count(self) -> int:
        """How many rows; counts them."""
        return sum(part.count() for part in self.parts)


S = LogStatus
# name: (label, statuses, types of events that a row must have, people's alone)
FIGURES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], bool]] = {
    "to_deliver": ("To deliver", (S.PENDING, S.SENT, S.FAILED, S.CANCELLED, S.IN_DOUBT), (), False),
    "sent": ("Sent", (S.SENT, S.FAILED), (), False),
    "delivered": ("Delivered", (S.SENT,), (), False),
    "bounces": ("Bounces + errors", (S.FAILED,), (), False),
    "pending": ("Pending", (S.PENDING,), (), False),
    "cancelled": ("Delivery canceled", (S.CANCELLED,), (), False),
    "in_doubt": ("In doubt", (S.IN_DOUBT,), (), False),
    "opens": ("Opens", (S.SENT,), OPENING, False),
    "clicks": ("Clicks", (S.SENT,), CLICKING, False),
    "people_opens": (gettext_noop("Opens by people"), (S.SENT,), OPENING, True),
    "people_clicks": (gettext_noop("Clicks by people"), (S.SENT,), CLICKING, True),
    "mirrors": ("Mirror page", (S.SENT,), (TrackingType.MIRROR,), False),
    "opt_outs": ("Opt-outs", (S.SENT,), (TrackingType.OPT_OUT,), False),
}


def figure(delivery: Delivery, name: str, seen: Sight) -> RowSet:
    """The sending logs that the figure `name` counts. Raises Http404 for a name that is no figure."""
    if name not in FIGURES:
        raise Http404
    label, statuses, types, people = FIGURES[name]
    rows = [delivery.sending_logs.filter(status=status) for status in statuses]
    if types:
        events = TrackingLog.objects.filter(sending_log=OuterRef("pk"), type__in=types)
        did = Exists(events.filter(machine=False) if people else events)
        rows = [part.filter(did) for part in rows]
    mask = partial(masked_rows.mask_logs, seen=seen)
    return RowSet("sending-logs", _(label), rows, _sending_columns(), {"figure": name}, mask)


def sending_logs(delivery: Delivery, filters: Mapping[str, str], seen: Sight) -> RowSet:
    """By figure; or by status and by the beginning of the address, as the tab does."""
    if filters.get("figure"):
        return figure(delivery, filters["figure"], seen)
    status, beginning = filters.get("status", ""), filters.get("q", "").strip().lower()
    codes = [code for code in LogStatus.values if str(code) == status] or LogStatus.values
    rows: QuerySet[SendingLog] = delivery.sending_logs.all()
    if beginning:
        rows = rows.filter(starts_with("address", beginning), seen.found_with_tests())
    parts, kept = [rows.filter(status=code) for code in codes], {"status": status, "q": beginning}
    mask = partial(masked_rows.mask_logs, seen=seen)
    return RowSet("sending-logs", _("Sending logs"), parts, _sending_columns(), kept, mask)


def exclusion_logs(delivery: Delivery, filters: Mapping[str, str], seen: Sight) -> RowSet:
    """By cause and by the beginning of the address."""
    cause, beginning = filters.get("cause", ""), filters.get("q", "").strip().lower()
    rows: QuerySet[ExclusionLog] = delivery.exclusion_logs.all()
    if beginning:
        rows = rows.filter(starts_with("address", beginning), seen.found())
    columns: list[Column] = [
        (_("Number"), lambda row: row.pk),
        (_("Address"), lambda row: row.address),
        (_("Cause"), lambda row: row.words),
        (_("Date"), lambda row: row.date),
    ]
    parts = [rows.filter(one) for one in exclusion_filters.chosen(exclusion_filters.causes(delivery), cause)]
    mask = partial(masked_rows.mask_exclusions, seen=seen)
    return RowSet("exclusion-logs", _("Exclusion logs"), parts, columns, {"cause": cause, "q": beginning}, mask)


def exclusion_causes(delivery: Delivery, filters: Mapping[str, str], seen: Sight) -> RowSet:
    """All causes, zeros included."""
    columns: list[Column] = [
        (_("Cause"), lambda row: row.words),
        (_("Volume"), lambda row: row.volume),
    ]
    return RowSet("exclusion-causes", _("Exclusion causes"), [delivery.exclusion_causes.all()], columns)


def tracking_logs(delivery: Delivery, filters: Mapping[str, str], seen: Sight) -> RowSet:
    """By type, by link, and by who did it: people or machines."""
    kind, who, link = filters.get("type", ""), filters.get("who", ""), filters.get("link", "")
    codes = [code for code in TrackingType.values if str(code) == kind] or TrackingType.values
    rows = TrackingLog.objects.filter(delivery=delivery).select_related("sending_log")
    if who in ("people", "machines"):
        rows = rows.filter(machine=who == "machines")
    if link.isdecimal() and len(link) < 10:
        rows = rows.filter(link=int(link))
    known = dict(TrackedUrl.objects.filter(delivery=delivery, link__isnull=False).values_list("link", "url"))
    columns: list[Column] = [
        (_("Number"), lambda row: row.pk),
        (_("Type"), lambda row: row.get_type_display()),
        (_("Date"), lambda row: row.at),
        (_("Address"), lambda row: row.sending_log.address),
        (_("URL"), lambda row: known.get(row.link, "")),
        (_("By"), lambda row: _("machine") if row.machine else _("person")),
        (_("Rule"), lambda row: row.rule),
        (_("Program"), lambda row: row.agent),
        (_("Network"), lambda row: row.network),
    ]
    parts = [rows.filter(type=code) for code in codes]
    mask, kept = partial(masked_rows.mask_events, seen=seen), {"type": kind, "who": who, "link": link}
    return RowSet("tracking-logs", _("Tracking logs"), parts, columns, kept, mask)


def urls(delivery: Delivery, filters: Mapping[str, str], seen: Sight) -> RowSet:
    """All links of the content."""
    tracked_urls.ensure([delivery.pk])
    columns: list[Column] = [
        (_("Label"), lambda row: row.label),
        (_("Category"), lambda row: row.category),
        (_("Kind"), lambda row: row.kind),
        (_("Part"), lambda row: row.part),
        (_("URL"), lambda row: row.url),
    ]
    return RowSet("tracked-urls", _("Tracked URLs"), [delivery.tracked_urls.all()], columns)


ROW_SETS: dict[str, Callable[[Delivery, Mapping[str, str], Sight], RowSet]] = {
    "sending-logs": sending_logs,
    "exclusion-logs": exclusion_logs,
    "exclusion-causes": exclusion_causes,
    "tracking-logs": tracking_logs,
    "tracked-urls": urls,
}


def _sending_columns() -> list[Column]:
    return [
        (_("Number"), lambda row: row.pk),
        (_("Address"), lambda row: row.address),
        (_("Status"), lambda row: row.get_status_display()),
        (_("Date"), lambda row: row.date),
        (_("Nature of failure"), lambda row: row.get_failure_type_display() if row.failure_type else ""),
        (_("Reason"), lambda row: row.get_reason_display() if row.reason else ""),
        (_("Server's words"), lambda row: row.reply),
        (_("Attempts"), lambda row: row.attempts),
        (_("Relayed"), lambda row: row.relayed_at),
        (_("Opened"), lambda row: row.opened_at),
        (_("Clicked"), lambda row: row.clicked_at),
        (_("Opted out"), lambda row: row.opted_out_at),
        (_("Test profile"), lambda row: _("Yes") if row.test_profile else _("No")),
    ]


def local(moment: Any) -> str:
    """A date as lists and files show it: 2026-05-01 13:45:00 in the reader's zone."""
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"
