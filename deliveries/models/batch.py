"""Batches: what one worker leases at a time."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from .delivery import Delivery


class Batch(models.Model):
    """A slice of a delivery's sending logs that one worker leases at a time; carries their counters."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="batches")
    number = models.PositiveIntegerField()
    # Lease (leases.py): who holds it, until when; the fence rises with every lease and stamps claims and journals.
    fence = models.PositiveIntegerField(default=0)
    holder = models.CharField(max_length=255, blank=True)
    lease_until = models.DateTimeField(null=True)
    next_due_at = models.DateTimeField(null=True, default=timezone.now)  # NULL: nothing left to send here
    gated = models.BooleanField(default=False)  # of a later wave: not to be taken before it is let go (wave_gates.py)
    # Counters, changed with the rows they count (statuses.py).
    total = models.PositiveIntegerField(default=0)
    pending = models.PositiveIntegerField(default=0)
    in_doubt = models.PositiveIntegerField(default=0)
    sent = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    relayed = models.PositiveIntegerField(default=0)  # handed to the mail server, whatever came of it
    retrying = models.PositiveIntegerField(default=0)  # will be tried again: deferred Pending and soft Failed rows
    hard = models.PositiveIntegerField(default=0)  # of failed
    soft = models.PositiveIntegerField(default=0)  # of failed
    complaints = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="batch_number"),
            models.CheckConstraint(
                condition=Q(total=F("pending") + F("in_doubt") + F("sent") + F("failed") + F("cancelled")),
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


DUE = Q(next_due_at__lte=Now()) | Q(next_due_at__lte=F("delivery__started_at"))  # the same, of batches
