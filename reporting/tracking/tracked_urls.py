"""The table of a delivery's links, made from its content when the first event comes or somebody looks."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Count

from campaigns.core.actors import Person
from campaigns.core.kept_text import keep as _
from deliveries.ledger.events import log_event
from deliveries.models import Delivery
from reporting.models import TrackedUrl

from .destinations import compile_frozen


def ensure(delivery_ids: Iterable[int]) -> None:
    """Make the tables of those deliveries that have none and whose content is final."""
    wanted = set(delivery_ids)
    known = TrackedUrl.objects.filter(delivery__in=wanted, place=0).values_list("delivery", flat=True)
    missing = wanted - set(known)
    contents = Delivery.everything.filter(pk__in=missing, confirmed_at__isnull=False).values_list("pk", "content")
    for pk, content in contents:
        compiled = compile_frozen(content)
        rows = [
            TrackedUrl(
                delivery_id=pk,
                place=place,
                link=link.index if link.index >= 0 else None,
                label=link.label[:255],
                kind=link.kind,
                part=link.where,
                url=link.url,
                category=link.category,
            )
            for place, link in enumerate(compiled.links if compiled else ())
        ]
        TrackedUrl.objects.bulk_create(rows, ignore_conflicts=True)  # another process may be making it too


def numbers_of(delivery_ids: Iterable[int]) -> dict[int, int]:
    """{delivery: how many tracked links it has}; makes the tables that are missing."""
    wanted = set(delivery_ids)
    ensure(wanted)
    found = TrackedUrl.objects.filter(delivery__in=wanted, link__isnull=False).values_list("delivery")
    return dict(found.order_by().annotate(Count("pk")))


def note_name(url: TrackedUrl, by: Person) -> None:
    """Write down in the delivery's log that somebody gave a link its label and category."""
    words = _(
        "%(by)s called the link %(url)s “%(label)s” in the category “%(category)s”.",
        by=by,
        url=url.url[:1500],
        label=url.label,
        category=url.category,
    )
    log_event(url.delivery_id, "url_named", words, user=by, place=url.place)
