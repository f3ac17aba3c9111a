"""Files that were asked for, and how far they are. What was taken away stands in the delivery's log and the audit."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from deliveries.models import Delivery


class Export(models.Model):
    """One file, from the request for it on. A row goes after some days: it only shows how far a file is."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=32, db_index=True)  # of the page that asked: made up there, to ask how far it is
    total = models.PositiveBigIntegerField(null=True)  # NULL until they are counted
    rows = models.PositiveBigIntegerField(default=0)
    asked_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)  # last sign of life
    ended_at = models.DateTimeField(null=True)
    whole = models.BooleanField(default=False)  # ended with its last row
    cancelled_at = models.DateTimeField(null=True)  # somebody asked for its end

    def __str__(self) -> str:
        return f"{self.rows} of {self.total} rows of DM{self.delivery_id}"
