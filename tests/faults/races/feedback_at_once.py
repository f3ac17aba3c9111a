"""A process of tests/faults/races/test_feedback_at_once.py: `prepare NUMBER`, `apply SEED`, `send` or `tell`."""

from __future__ import annotations

import json
import os
import random
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup()

# ruff: noqa: E402 - models can be imported only now
from django.core.management import call_command

from campaigns.models import Audience, Brand, Campaign, Message
from deliveries.feedback import apply_events
from deliveries.ledger.change import Change
from deliveries.models import Delivery, QuarantinedAddress
from deliveries.models.feedback import FeedbackEvent
from deliveries.models.routing import Routing
from deliveries.models.states import LogMove
from deliveries.sending import leases, results
from tests.deliveries.reported import KINDS, event
from tests.deliveries.sending.sending_rows import figures, sending_delivery, true_figures


def prepare(number: int) -> None:
    """A delivery in batches of 100, with a feedback service."""
    call_command("migrate", verbosity=0)
    brand = Brand.objects.create(label="Acme", sender_name="Acme", sender_address="news@example.com")
    message = Message.objects.create(
        label="Spring",
        campaign=Campaign.objects.create(label="Spring"),
        brand=brand,
        subject="x",
        html="x",
        text="x",
        audience=Audience.objects.create(label="Everybody", kind="all"),
    )
    routing = Routing.objects.create(label="Fast", breaker_hard=0, breaker_complaints=0)
    sending_delivery(message, routing, number, 100, feedback_service=True, retry_by="server")


def apply(seed: int) -> None:
    """The same events in an order of one's own, the rows not even recorded as relayed yet."""
    delivery = Delivery.objects.get()
    story = random.Random(1)
    whats = sorted(KINDS)
    events = [
        event(pk, what, minute, key=f"{pk}.{minute}")
        for pk in delivery.sending_logs.order_by("pk").values_list("pk", flat=True)
        for minute, what in enumerate(story.choices(whats, k=2))
    ]
    random.Random(seed).shuffle(events)
    for start in range(0, len(events), 170):
        apply_events.apply(events[start : start + 170])


def send() -> None:
    """Record acceptances of whatever can still be claimed, as a worker does."""
    for batch in Delivery.objects.get().batches.order_by("pk"):
        lease = leases.take(batch.pk)
        while lease and (rows := leases.claim(lease, 20)):
            results.record(lease, [Change(row.log_id, LogMove.RELAY, row.attempts) for row in rows])
        if lease:
            leases.release(lease)


def tell() -> None:
    """What came of it."""
    delivery = Delivery.objects.get()
    json.dump(
        {
            "figures": figures(delivery),
            "counted": true_figures(delivery),
            "events": FeedbackEvent.objects.count(),
            "rows": sorted(delivery.sending_logs.values_list("address", "status", "failure_type")),
            "standings": sorted(QuarantinedAddress.objects.values_list("address", "status", "errors")),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    {
        "prepare": lambda: prepare(int(sys.argv[2])),
        "apply": lambda: apply(int(sys.argv[2])),
        "send": send,
        "tell": tell,
    }[sys.argv[1]]()
