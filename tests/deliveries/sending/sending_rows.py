"""Deliveries made straight in the database, as a confirmed preparation leaves them: for tests of the sending rooms."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from campaigns.models import Profile
from deliveries.models import Batch, Delivery, SendingLog
from deliveries.models.counters import COUNTERS
from deliveries.models.states import State

CONTENT = {
    "subject": "Hello {{ first_name }}",
    "html": "<p>Dear {{ first_name }}, <a href='https://example.com/news'>our news</a>.</p>",
    "text": "Dear {{ first_name }}, https://example.com/news",
    "sender_name": "Acme News",
    "sender_address": "news@example.com",
    "reply_to": "",
    "brand": "Acme",
    "fields": ["first_name", "last_name", "email"],
}


def sending_delivery(
    message: Any, routing: Any, recipients: int = 3, batch_size: int = 100, **changed: Any
) -> Delivery:
    """A delivery In progress with `recipients` due rows user0@example.net … in batches; `changed`: its other fields."""
    past = timezone.now() - timedelta(seconds=5)
    values = {
        "label": "Spring",
        "state": State.IN_PROGRESS,
        "content": CONTENT,
        "preparation": 1,
        "targeted": recipients,
        "to_deliver": recipients,
        "confirmed_at": past,
        "contact_date": past,
        "started_at": past,
        "validity_end": past + timedelta(days=3),
    }
    delivery = Delivery.objects.create(
        message=message, campaign=message.campaign, routing=routing, **(values | changed)
    )
    add_rows(delivery, recipients, batch_size)
    return delivery


def add_rows(delivery: Delivery, recipients: int, batch_size: int) -> None:
    """Profiles, batches and due sending logs."""
    past = timezone.now() - timedelta(seconds=5)
    people = Profile.objects.bulk_create(
        (Profile(email=f"user{i}@example.net", first_name=f"User {i}") for i in range(recipients)), batch_size=5000
    )
    sizes = [min(batch_size, recipients - start) for start in range(0, recipients, batch_size)]
    batches = Batch.objects.bulk_create(
        Batch(delivery=delivery, number=n, total=size, pending=size, next_due_at=past) for n, size in enumerate(sizes)
    )
    SendingLog.objects.bulk_create(
        (
            SendingLog(
                delivery=delivery,
                batch=batches[i // batch_size],
                profile=person,
                address=person.email,
                date=past,
                due_at=past,
            )
            for i, person in enumerate(people)
        ),
        batch_size=5000,
    )


def figures(delivery: Delivery) -> dict[str, int]:
    """The delivery's counters that are not zero, summed over its batches."""
    sums = Batch.objects.filter(delivery=delivery).aggregate(**{name: Sum(name) for name in COUNTERS})
    return {name: number for name, number in sums.items() if number}


def true_figures(delivery: Delivery) -> dict[str, int]:
    """What the counters must be, counted from the rows themselves."""
    counted = dict.fromkeys(COUNTERS, 0)
    names = {0: "pending", 1: "sent", 2: "failed", 4: "cancelled", 5: "in_doubt"}
    for row in SendingLog.objects.filter(delivery=delivery, batch__isnull=False):
        counted["total"] += 1
        counted[names[row.status]] += 1
        counted["relayed"] += row.relayed_at is not None
        counted["retrying"] += (row.due_at is not None and row.attempts > 0) or row.retry_state == row.Retry.SERVER
        counted["hard"] += row.status == 2 and row.failure_type == 2
        counted["soft"] += row.status == 2 and row.failure_type == 1
        counted["complaints"] += row.complained_at is not None
    return {name: number for name, number in counted.items() if number}
