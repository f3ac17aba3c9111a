"""Clicks by URL."""

from __future__ import annotations

from typing import Any

from deliveries.models import Delivery
from reporting.models import TrackedUrl
from reporting.tracking import tracked_urls

from .breakdown import Breakdown


def clicks_by_url(delivery: Delivery, summed: Breakdown) -> list[Any]:
    """The delivery's links in order of place, each with `events`, `recipients` and `people` of `summed`."""
    tracked_urls.ensure([delivery.pk])
    by_link: dict[int | None, Any] = {link: numbers for link, *numbers in summed["links"]}
    rows: list[Any] = list(TrackedUrl.objects.filter(delivery=delivery))
    for row in rows:
        row.events, row.recipients, row.people = by_link.get(row.link, (0, 0, 0))
    return rows
