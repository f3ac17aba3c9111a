"""What the person saw who switched a series on, or who had it go on in another form (series_block.py shows it)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from .delivery import Delivery


class SeriesSeal(models.Model):
    """The form of a series (sealing.form) that stands under the name of its owner; kept when the series is off."""

    series = models.OneToOneField(Delivery, models.CASCADE, primary_key=True, related_name="series_seal")
    form = models.JSONField()  # {part: digest}
    seen_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    seen_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"form of DM{self.series_id}, seen by {self.seen_by}"
