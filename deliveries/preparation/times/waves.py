"""Waves of a delivery: its batches of later waves may not be taken before their time; nothing else is different.

Their gates are opened by wave_gates.py, unless too much of the earlier ones bounced. While a delivery is paused later
waves are held back with the rest.
"""

from __future__ import annotations

from datetime import datetime
from itertools import accumulate

from django.conf import settings

from campaigns.models import Message, Schedule
from campaigns.scheduling import waves
from deliveries.models import Batch, Delivery

MANY_BATCHES = 1000  # of a delivery; from here on its batches grow


def batch_size(message: Message, to_deliver: int) -> int:
    """How many rows a batch has: twice as many as usual where there would be thousands of batches, since each look at
    the figures sums them all; with waves so few that a hundredth of the target can be told apart."""
    schedule: Schedule | None = getattr(message, "schedule", None)
    if schedule is None or not schedule.waves:
        return max(settings.BATCH_SIZE, min(2 * settings.BATCH_SIZE, to_deliver // MANY_BATCHES))
    return max(1, min(settings.BATCH_SIZE, to_deliver // 100))


def plan(delivery: Delivery, start: datetime) -> list[tuple[int, datetime]]:
    """[(how many messages, from when on)] for each wave of a prepared delivery whose first leaves at `start`."""
    schedule: Schedule | None = getattr(delivery.message, "schedule", None)
    if schedule is None:
        return [(delivery.to_deliver, start)]
    sizes = waves.sizes(schedule.waves, delivery.to_deliver)
    return [(size, start + number * schedule.wave_interval) for number, size in enumerate(sizes)]


def last(delivery: Delivery, start: datetime) -> datetime:
    """From when on the last wave leaves."""
    planned = plan(delivery, start)
    return planned[-1][1] if planned else start


def set_going(delivery: Delivery, start: datetime) -> None:
    """Let each batch wait for its wave, in the transaction that confirms. Borders lie between batches."""
    planned = plan(delivery, start)
    Batch.objects.filter(delivery=delivery, gated=True).update(gated=False)
    first = Batch.objects.filter(delivery=delivery).order_by("number").first()
    if len(planned) < 2 or first is None:
        return
    gated = delivery.message.schedule.wave_limit > 0
    ends = [round(end / first.total) for end in accumulate(size for size, _at in planned)]
    for begin, end, (_size, at) in zip([0, *ends], [*ends[:-1], None], planned, strict=False):
        batches = Batch.objects.filter(delivery=delivery, number__gt=begin, pending__gt=0)
        wave = batches if end is None else batches.filter(number__lte=end)
        wave.update(next_due_at=at, gated=gated and begin > 0)
