"""Signs of life of this host's cluster, and the watchdog's request to stop: read by watchdog.py, given by tasks."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic

from django.conf import settings
from django.db.models.functions import Now

from . import outages
from .heartbeat import Heartbeat

LOST_SECONDS = 15.0  # a tick that was not consumed by then is asked for again
BEAT_SECONDS = 2.0
STOP_FILE = "CLUSTER_STOP_FILE"  # environment: while this file is there the cluster is being stopped

_beaten_at = -BEAT_SECONDS


def beat() -> None:
    """Say that a task of this host's cluster runs; at most every two seconds a process."""
    global _beaten_at
    if monotonic() - _beaten_at < BEAT_SECONDS:
        return
    _beaten_at = monotonic()
    Heartbeat.objects.bulk_create(
        [Heartbeat(host=settings.HOST_ID, beat_at=Now(), place=outages.place())],
        update_conflicts=True,
        unique_fields=["host"],
        update_fields=["beat_at", "place"],
    )
    outages.remember(Heartbeat.objects.values_list("beat_at", flat=True).get(host=settings.HOST_ID))


def swept() -> None:
    """Say that this host's cluster has finished a round of the sweeper."""
    Heartbeat.objects.filter(host=settings.HOST_ID).update(swept_at=Now())


def stopping() -> bool:
    """True once the watchdog has asked the cluster to stop: a long task hands over at once."""
    path = os.environ.get(STOP_FILE)
    return path is not None and Path(path).exists()
