"""Signs of life of this host's cluster, and the watchdog's request to stop: read by watchdog.py, given by tasks.

Each host keeps the last one beside its journals, too, so that a restored copy of the database is noticed
(restored_database.py).
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import monotonic

from django.conf import settings
from django.db import connection, models
from django.db.models.functions import Now

LOST_SECONDS = 15.0  # a tick that was not consumed by then is asked for again
BEAT_SECONDS = 2.0
STOP_FILE = "CLUSTER_STOP_FILE"  # environment: while this file is there the cluster is being stopped

_beaten_at = -BEAT_SECONDS


class Heartbeat(models.Model):
    """The last time that a task of a host's cluster ran: the watchdog restarts a cluster whose pulse stops."""

    host = models.CharField(max_length=255, primary_key=True)
    beat_at = models.DateTimeField()
    place = models.CharField(max_length=64, blank=True)  # which database that was (restored_database.py)
    swept_at = models.DateTimeField(null=True)  # the end of its last round of the sweeper (workers/health.py)

    def __str__(self) -> str:
        return f"{self.host} at {self.beat_at}"


def beat() -> None:
    """Say that a task of this host's cluster runs; at most every two seconds a process."""
    global _beaten_at
    if monotonic() - _beaten_at < BEAT_SECONDS:
        return
    _beaten_at = monotonic()
    Heartbeat.objects.bulk_create(
        [Heartbeat(host=settings.HOST_ID, beat_at=Now(), place=place())],
        update_conflicts=True,
        unique_fields=["host"],
        update_fields=["beat_at", "place"],
    )
    remember(Heartbeat.objects.values_list("beat_at", flat=True).get(host=settings.HOST_ID))


def swept() -> None:
    """Say that this host's cluster has finished a round of the sweeper."""
    Heartbeat.objects.filter(host=settings.HOST_ID).update(swept_at=Now())


def stopping() -> bool:
    """True once the watchdog has asked the cluster to stop: a long task hands over at once."""
    path = os.environ.get(STOP_FILE)
    return path is not None and Path(path).exists()


def place() -> str:
    """Which database this is: copying or restoring it gives it another name. Empty where that cannot be told."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT oid FROM pg_database WHERE datname = current_database()")
            return f"postgresql:{cursor.fetchone()[0]}"
    with suppress(OSError, ValueError):
        return f"file:{Path(connection.settings_dict['NAME']).stat().st_ino}"
    return ""  # in memory


def remember(beat_at: datetime) -> None:
    """Keep on this host when it last gave a sign of life, by the database's clock."""
    path = _path()
    with suppress(
        OSError
    ):  # a directory that cannot be written keeps everything from sending; work_on_batch.py says so
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".new").write_text(beat_at.isoformat())
        path.with_suffix(".new").replace(path)


def remembered() -> datetime | None:
    """What this host kept; None if it kept nothing."""
    with suppress(OSError, ValueError):
        return datetime.fromisoformat(_path().read_text())
    return None


def _path() -> Path:
    return Path(settings.JOURNAL_DIR) / "last-beat"
