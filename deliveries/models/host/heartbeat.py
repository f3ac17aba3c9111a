"""The sign of life of each host's cluster. Part of delivery.py."""

from __future__ import annotations

from django.db import models


class Heartbeat(models.Model):
    """The last time that a task of a host's cluster ran: the watchdog restarts a cluster whose pulse stops."""

    host = models.CharField(max_length=255, primary_key=True)
    beat_at = models.DateTimeField()
    place = models.CharField(max_length=64, blank=True)  # which database that was (outages.py)
    swept_at = models.DateTimeField(null=True)  # the end of its last round of the sweeper (workers/health.py)

    def __str__(self) -> str:
        return f"{self.host} at {self.beat_at}"
