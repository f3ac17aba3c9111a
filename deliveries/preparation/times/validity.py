"""When a delivery starts and until when messages may leave (deliverability.md, Validity)."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from campaigns.models import Message, Schedule
from deliveries.models import Delivery

EFFECTIVE_LIMIT = timedelta(days=3.5)  # a longer duration is accepted and not used


def contact_date(message: Message, confirmed_at: datetime) -> datetime:
    """From when messages leave: the schedule's date, or the confirmation when immediate or when that date is past."""
    schedule: Schedule | None = getattr(message, "schedule", None)
    if schedule and schedule.is_dated and schedule.contact_date:
        return max(schedule.contact_date, confirmed_at)
    return confirmed_at


def sending_limit(message: Message, start: datetime) -> datetime:
    """Until when messages may leave: the configured end, at most 3.5 days after `start`."""
    schedule: Schedule | None = getattr(message, "schedule", None)
    latest = start + EFFECTIVE_LIMIT
    if schedule is None:
        return latest
    return min(latest, schedule.validity_end or start + schedule.delivery_duration)


def is_spread(message: Message) -> bool:
    """True if each recipient has their own due time, by the clock where they live or by a formula."""
    schedule: Schedule | None = getattr(message, "schedule", None)
    return schedule is not None and schedule.is_spread


def due_times(delivery: Delivery, confirmed_at: datetime) -> tuple[datetime, datetime]:
    """(from when the first message leaves, from when the last may) if `delivery` is confirmed then."""
    if is_spread(delivery.message) and delivery.first_due_at and delivery.last_due_at:
        return max(delivery.first_due_at, confirmed_at), max(delivery.last_due_at, confirmed_at)
    start = contact_date(delivery.message, confirmed_at)
    return start, start


def is_late(slot: datetime, now: datetime) -> bool:
    """True if what was to happen at `slot` happens so much later that somebody has to confirm it again."""
    return now > slot + timedelta(minutes=settings.START_GRACE_MINUTES)


def start_by(start: datetime, now: datetime) -> datetime:
    """From when on starting would be so late that a person must confirm again."""
    return max(start, now) + timedelta(minutes=settings.START_GRACE_MINUTES)
