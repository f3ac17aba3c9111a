"""Is it well? The database, the broker, the workers' heartbeat and the sweeper, for /healthz and for the metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Max
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_q.brokers import get_broker

from deliveries.models.host.heartbeat import Heartbeat

logger = logging.getLogger("deliveries.workers.health")

_LATE = 2  # times GUARD_STALE_SECONDS: by then the watchdog has restarted the cluster, and that did not help


@dataclass(frozen=True, slots=True)
class Part:
    """One part's state; `seconds` is the age of its last sign of life where it has one."""

    ok: bool
    seconds: float | None = None


def _database() -> Part:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Part(True)


def _broker() -> Part:
    get_broker().queue_size()
    return Part(True)


def _heartbeat() -> Part:
    return _young(Heartbeat.objects.aggregate(at=Max("beat_at"))["at"])


def _sweeper() -> Part:
    return _young(Heartbeat.objects.aggregate(at=Max("swept_at"))["at"])


def _young(at: datetime | None) -> Part:
    """The youngest of all hosts counts: one that works is enough to send."""
    age = None if at is None else max(0.0, (timezone.now() - at).total_seconds())
    return Part(age is not None and age <= _LATE * settings.GUARD_STALE_SECONDS, age)


PARTS: dict[str, Callable[[], Part]] = {
    "database": _database,
    "broker": _broker,
    "heartbeat": _heartbeat,
    "sweeper": _sweeper,
}


def look(*names: str) -> dict[str, Part]:
    """{part: its state}, of all parts or of those named. Never raises; without the database nothing else is asked."""
    found: dict[str, Part] = {}
    for name in names or PARTS:
        found[name] = _look_at(name)
        if name == "database" and not found[name].ok:
            break
    return found


def _look_at(name: str) -> Part:
    try:
        return PARTS[name]()
    except Exception as error:  # whatever a broker's library raises; the answer must not quote it
        logger.warning("%s is not well: %s", name, type(error).__name__)
        if isinstance(error, DatabaseError):
            connection.close()
        return Part(False)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200, or 503 with the names of the parts that fail. ?parts=database,broker asks for these alone (a web host)."""
    asked = [name for name in request.GET.get("parts", "").split(",") if name in PARTS]
    found = look(*asked)
    failing = [name for name, part in found.items() if not part.ok]
    ages = {name: round(part.seconds, 1) for name, part in found.items() if part.seconds is not None}
    told = {"status": "failing" if failing else "ok", "failing": failing, "seconds_since": ages}
    return JsonResponse(told, status=503 if failing else 200)
