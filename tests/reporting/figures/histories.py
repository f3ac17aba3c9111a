"""Random histories of deliveries, many at once: each row of each delivery has its status and what was done with it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django.utils import timezone

from deliveries.models import Batch, Delivery, SendingLog
from deliveries.models.states import LogStatus
from reporting.models import CLICKING, OPENING, TrackingLog, TrackingType

S = LogStatus
ROWS = 12
_COUNTERS = {S.PENDING: "pending", S.SENT: "sent", S.FAILED: "failed", S.CANCELLED: "cancelled", S.IN_DOUBT: "in_doubt"}
_NUMBER = {name: code for code, name in _COUNTERS.items()}


class Row(NamedTuple):
    """What became of a recipient: their status, and (type, by a machine) of each event."""

    status: LogStatus
    events: Sequence[tuple[int, bool]]

    def did(self, types: Sequence[int], *, people: bool = False) -> bool:
        """Sent, and did one of these; `people`: no machine did it."""
        return self.status == S.SENT and any(t in types and not (people and machine) for t, machine in self.events)


def invent(seed: int) -> list[Row]:
    """A history of up to ROWS recipients."""
    chance = random.Random(seed)

    def events() -> list[tuple[int, bool]]:
        return [(chance.choice((1, 2, 3, 6)), chance.random() < 0.3) for _ in range(chance.choice((0, 0, 1, 1, 2, 4)))]

    statuses = (S.PENDING, S.SENT, S.SENT, S.SENT, S.FAILED, S.CANCELLED, S.IN_DOUBT, S.IGNORED)
    return [Row(chance.choice(statuses), events()) for _ in range(chance.randrange(ROWS))]


def store(histories: Sequence[list[Row]], make: Callable[[], Delivery]) -> list[Delivery]:
    """A delivery of each history, all rows in a few statements; `make` gives an empty delivery."""
    now, template = timezone.now(), make()
    values = {f.attname: getattr(template, f.attname) for f in Delivery._meta.fields if not f.primary_key}
    deliveries = Delivery.objects.bulk_create(
        Delivery(**values | {"to_deliver": sum(row.status != S.IGNORED for row in rows)}) for rows in histories
    )
    batches = Batch.objects.bulk_create(
        Batch(delivery=d, number=0, next_due_at=None, **_sums(rows))
        for d, rows in zip(deliveries, histories, strict=True)
    )
    logs = SendingLog.objects.bulk_create(
        SendingLog(
            delivery=batch.delivery,
            batch=batch if row.status != S.IGNORED else None,
            status=row.status,
            date=now,
            address=f"user{n}@example.com",
            relayed_at=now if row.status == S.SENT else None,
            failure_type=2 if row.status == S.FAILED else 0,
        )
        for batch, rows in zip(batches, histories, strict=True)
        for n, row in enumerate(rows)
    )
    TrackingLog.objects.bulk_create(
        TrackingLog(delivery_id=log.delivery_id, sending_log=log, type=kind, at=now, machine=machine, version=1)
        for log, row in zip(logs, (row for rows in histories for row in rows), strict=True)
        for kind, machine in row.events
    )
    return deliveries


def _sums(rows: list[Row]) -> dict[str, int]:
    sums = {name: sum(row.status == code for row in rows) for name, code in _NUMBER.items()}
    return sums | {"total": sum(sums.values()), "relayed": sums["sent"], "hard": sums["failed"]}


def truth(rows: list[Row]) -> dict[str, int]:
    """Every figure, counted from the history itself."""
    sums = _sums(rows)
    return {
        "to_deliver": sums["total"],
        "sent": sums["sent"] + sums["failed"],
        "delivered": sums["sent"],
        "bounces": sums["failed"],
        "pending": sums["pending"],
        "cancelled": sums["cancelled"],
        "in_doubt": sums["in_doubt"],
        "opens": sum(row.did(OPENING) for row in rows),
        "clicks": sum(row.did(CLICKING) for row in rows),
        "people_opens": sum(row.did(OPENING, people=True) for row in rows),
        "people_clicks": sum(row.did(CLICKING, people=True) for row in rows),
        "mirrors": sum(row.did((TrackingType.MIRROR,)) for row in rows),
        "opt_outs": sum(row.did((TrackingType.OPT_OUT,)) for row in rows),
    }


def shown(delivery: Delivery, kpis: Any, sums: Any) -> dict[str, int]:
    """Every figure as the pages show it: in the Deployment block and beside the tracking logs."""
    also = delivery.figures_of
    return {
        "to_deliver": kpis.to_deliver,
        "sent": kpis.sent.count,
        "delivered": kpis.delivered.count,
        "bounces": kpis.bounces.count,
        "opens": kpis.opens.count,
        "clicks": kpis.clicks.count,
        "people_opens": also.people_opens,
        "people_clicks": also.people_clicks,
        "mirrors": also.mirrors,
        "opt_outs": also.opt_outs,
        "pending": sums.pending,
        "cancelled": sums.cancelled,
        "in_doubt": sums.in_doubt,
    }
