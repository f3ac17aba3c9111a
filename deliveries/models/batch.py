"""Batches: what one worker leases at a time."""

from __future__ import annotations

from functools import reduce
from operator import add

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from .counters import COUNTERS, OUTCOMES
from .delivery import Delivery


class Batch(models.Model):
    """A slice of a delivery's sending logs that one worker leases at a time; a column for each of their COUNTERS."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="batches")
    number = models.PositiveIntegerField()
    # Lease (leases.py): who holds it, until when; the fence rises with every lease and stamps claims and journals.
    fence = models.PositiveIntegerField(default=0)
    holder = models.CharField(max_length=255, blank=True)
    lease_until = models.DateTimeField(null=True)
    next_due_at = models.DateTimeField(null=True, default=timezone.now)  # NULL: nothing left to send here
    gated = models.BooleanField(default=False)  # of a later wave: not to be taken before it is let go (wave_gates.py)

    total: int  # one of COUNTERS, whose columns are added below

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="batch_number"),
            models.CheckConstraint(
                condition=Q(total=reduce(add, map(F, OUTCOMES))),
                name="batch_balances",
            ),
        ]
        indexes = [
            # the sweeper: batches with due rows
            models.Index(fields=["next_due_at"], name="batch_due", condition=Q(next_due_at__isnull=False)),
            # the sweeper: batches whose retries end with the validity
            models.Index(fields=["delivery"], name="batch_retrying", condition=Q(retrying__gt=0)),
        ]

    def __str__(self) -> str:
        return f"DM{self.delivery_id}/{self.number}"


for _name in COUNTERS:  # changed in the same transaction as the rows that they count
    Batch.add_to_class(_name, models.PositiveIntegerField(default=0))

DUE = Q(next_due_at__lte=Now()) | Q(next_due_at__lte=F("delivery__started_at"))  # the same, of batches
