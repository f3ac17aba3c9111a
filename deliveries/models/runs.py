"""Runs of a recurrence with aggregation that land in an execution which is there already."""

from __future__ import annotations

from django.db import models

from .delivery import Delivery


class Run(models.Model):
    """One slot whose people are added to `execution`; the execution's own slot is not among them."""

    series = models.ForeignKey(Delivery, models.CASCADE, related_name="+")
    slot = models.DateTimeField()
    execution = models.ForeignKey(Delivery, models.CASCADE, related_name="runs")
    begun_at = models.DateTimeField(null=True)  # a worker adds its people
    ended_at = models.DateTimeField(null=True)
    added = models.PositiveIntegerField(default=0)  # how many get the message because of it

    class Meta:
        constraints = [models.UniqueConstraint(fields=["series", "slot"], name="one_run_per_slot")]
        indexes = [models.Index(fields=["execution"], name="run_open", condition=models.Q(ended_at=None))]

    def __str__(self) -> str:
        return f"{self.slot:%Y-%m-%d %H:%M} into DM{self.execution_id}"
