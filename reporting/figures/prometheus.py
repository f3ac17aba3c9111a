"""Figures for Prometheus at /metrics, in its text format (version 0.0.4), read from the database at each scrape.

Shown to whoever brings METRICS_TOKEN or comes from METRICS_ALLOW; without both settings there is no such page. Counts
only: no name, no address. Rates come from the counters of the batches: rate(office_messages_relayed_total[1m]).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Count, Min, Sum
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_q.brokers import get_broker

from campaigns.audit.trail import client_address
from campaigns.models.audit.entries import AuditEntry
from deliveries.models import Batch, Delivery
from deliveries.models.counters import OUTCOMES
from deliveries.models.feedback import RawReport
from deliveries.models.host.heartbeat import Heartbeat
from deliveries.models.states import SENDING, State
from deliveries.workers import health
from reporting.models import TrackingBuffer
from reporting.tracking import buffer

TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OUTCOMES = (*OUTCOMES, "retrying")

Sample = tuple[dict[str, str], float]
Metric = tuple[str, str, str, list[Sample]]  # name, gauge or counter, what it is, values


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The page. 404 for whoever may not see it."""
    if not _may_see(request):
        raise Http404
    return HttpResponse(text(), content_type=TYPE)


def _may_see(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if settings.METRICS_TOKEN and scheme == "Bearer":
        return constant_time_compare(token, settings.METRICS_TOKEN)
    address = client_address(request.META)
    known = ipaddress.ip_address(address) if address else None
    return known is not None and any(known in network for network in settings.METRICS_ALLOW)


def text() -> str:
    """All of them. A part that cannot be read is left out, and office_up says so."""
    lines = []
    for name, kind, words, samples in _all():
        lines += [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]
        lines += [
            f"{name}{_labels(labels)} {value:g}" if value % 1 else f"{name}{_labels(labels)} {int(value)}"
            for labels, value in samples
        ]
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _all() -> Iterator[Metric]:
    parts = health.look()
    up = [({"part": name}, float(name in parts and parts[name].ok)) for name in health.PARTS]
    yield "office_up", "gauge", "1 if the part is well", up
    if not parts["database"].ok:
        return
    yield from _sending()
    yield from _hosts()
    yield from _waiting()
    yield from _tracking()


def _sending() -> Iterator[Metric]:
    counted = dict(Delivery.objects.order_by().values_list("state").annotate(Count("pk")))
    states = [({"state": state.name.lower()}, float(counted.get(state, 0))) for state in State]
    yield "office_deliveries", "gauge", "Deliveries by state", states
    sums = Batch.objects.aggregate(relayed=Sum("relayed"), **{name: Sum(name) for name in _OUTCOMES})
    outcomes = [({"outcome": name}, float(sums[name] or 0)) for name in _OUTCOMES]
    yield "office_messages", "gauge", "Messages of the deliveries that are kept, by what became of them", outcomes
    relayed = float(sums["relayed"] or 0)
    yield "office_messages_relayed_total", "counter", "Messages handed to a mail server", [({}, relayed)]
    going = Batch.objects.filter(delivery__state__in=SENDING)
    due = going.filter(next_due_at__lte=Now()).aggregate(n=Count("pk"), rows=Sum("pending"))
    yield "office_batches_due", "gauge", "Batches with rows due now", [({}, float(due["n"]))]
    yield "office_messages_due", "gauge", "Pending messages of these, an upper bound", [({}, float(due["rows"] or 0))]
    leases = Batch.objects.filter(lease_until__isnull=False).aggregate(n=Count("pk"), oldest=Min("lease_until"))
    yield "office_batches_leased", "gauge", "Batches that a worker holds", [({}, float(leases["n"]))]
    words = "How long the longest silent lease has been over"
    yield "office_lease_overdue_seconds", "gauge", words, [({}, _since(leases["oldest"]))]


def _hosts() -> Iterator[Metric]:
    beats = list(Heartbeat.objects.order_by("host"))
    ages = [({"host": beat.host}, _since(beat.beat_at)) for beat in beats]
    yield "office_heartbeat_age_seconds", "gauge", "Since a task of the host's cluster last ran", ages
    swept = [({"host": beat.host}, _since(beat.swept_at)) for beat in beats if beat.swept_at]
    yield "office_sweep_age_seconds", "gauge", "Since the host's cluster last finished a round of the sweeper", swept


def _waiting() -> Iterator[Metric]:
    yield "office_tasks_queued", "gauge", "Tasks that wait in the broker", _queue()
    reports = RawReport.objects.filter(applied_at=None).aggregate(n=Count("pk"), oldest=Min("received_at"))
    yield (
        "office_feedback_waiting",
        "gauge",
        "Bounces and reports received and not applied",
        [({}, float(reports["n"]))],
    )
    yield "office_feedback_oldest_seconds", "gauge", "Age of the oldest of these", [({}, _since(reports["oldest"]))]
    unsealed = AuditEntry.objects.filter(position=None).count()
    yield (
        "office_audit_unsealed",
        "gauge",
        "Audit entries that wait for their place in the chain",
        [({}, float(unsealed))],
    )
    refused = AuditEntry.objects.filter(act="login.failed", at__gt=timezone.now() - timedelta(hours=1)).count()
    yield "office_login_failures_1h", "gauge", "Failed log-ins within the last hour", [({}, float(refused))]


def _queue() -> list[Sample]:
    try:
        return [({}, float(get_broker().queue_size()))]
    except Exception:  # office_up tells
        return []


def _tracking() -> Iterator[Metric]:
    """The buffer of this host: each web host is scraped by itself."""
    folded = dict(TrackingBuffer.objects.values_list("name", "offset"))
    waiting, oldest = 0, 0.0
    for path in buffer.files(Path(settings.TRACKING_DIR)):
        try:
            seen = path.stat()
        except FileNotFoundError:
            continue
        left = max(0, seen.st_size - folded.get(path.name, 0))
        waiting += left
        oldest = max(oldest, timezone.now().timestamp() - seen.st_mtime) if left else oldest
    yield (
        "office_tracking_buffer_bytes",
        "gauge",
        "Opens and clicks of this host not folded yet",
        [({}, float(waiting))],
    )
    yield "office_tracking_buffer_idle_seconds", "gauge", "Since the longest waiting file was written", [({}, oldest)]


def _since(at: Any) -> float:
    return 0.0 if at is None else round(max(0.0, (timezone.now() - at).total_seconds()), 1)
