"""Reads a delivery's counters: one sum over its batches, whatever the number of its recipients."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection
from django.db.models import QuerySet, Sum

from deliveries.models import Batch, Delivery
from deliveries.models.counters import SUMMED
from deliveries.models.states import CONFIRMED
from deliveries.models.storage import dialect

from .kpis import Counters

_SUMS = ", ".join(f"SUM({name})" for name in SUMMED)


def counters(delivery: Delivery) -> Counters:
    """The delivery's counters now; opens and clicks are those of the last refresh."""
    return counters_of([delivery])[delivery.pk]


def counters_of(deliveries: Iterable[Delivery]) -> dict[int, Counters]:
    """{delivery id: its counters}, in one query for all of them."""
    known = {delivery.pk: delivery for delivery in deliveries}
    those, parameter = dialect.one_of(known)
    # By hand: Django takes as long to write this statement as the database to answer it (measured).
    sql = f"SELECT delivery_id, {_SUMS} FROM deliveries_batch WHERE delivery_id {those} GROUP BY delivery_id"
    with connection.cursor() as cursor:
        cursor.execute(sql, [parameter])
        by_id = {pk: dict(zip(SUMMED, numbers, strict=True)) for pk, *numbers in cursor.fetchall()}
    return {
        pk: Counters(to_deliver=d.to_deliver, opens=d.opens, clicks=d.clicks, **by_id.get(pk, {}))
        for pk, d in known.items()
    }


def series_counters(series: Delivery) -> Counters:
    """The sums over all executions that were confirmed, those among them that were deleted since; two queries."""
    figures = series_figures(Delivery.objects.filter(parent=series))
    return Counters(**{name: number + series.kept_figures.get(name, 0) for name, number in figures.items()})


def series_figures(executions: QuerySet[Delivery]) -> dict[str, int]:
    """{counter: sum over those of the executions that were confirmed}."""
    confirmed = executions.filter(state__in=CONFIRMED)
    own = confirmed.aggregate(**{name: Sum(name, default=0) for name in ("to_deliver", "opens", "clicks")})
    rows = Batch.objects.filter(delivery__in=confirmed)
    return own | rows.aggregate(**{name: Sum(name, default=0) for name in SUMMED})
