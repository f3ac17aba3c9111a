"""Sends to the domains of tests/postfix.py from a database of its own. Run as `python -m tests.journeys.postfix_stage`:

send PORT NUMBER DOMAIN…   makes a delivery to NUMBER recipients, spread over the domains, and sends it
tell                       prints what the logs say, as JSON
"""

from __future__ import annotations

import json
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup()

# ruff: noqa: E402 - models can be imported only now
from django.core.management import call_command

from campaigns.models import Audience, Brand, Campaign, Message, Profile
from deliveries.ledger.counters import counters
from deliveries.ledger.kpis import kpis
from deliveries.ledger.message_tokens import tokens
from deliveries.models import Delivery, SendingLog
from deliveries.models.feedback import FeedbackEvent, RawReport
from deliveries.models.routing import Routing
from deliveries.sending import work_on_batch
from tests.deliveries.sending.sending_rows import figures, sending_delivery, true_figures
from tests.postfix import RETURN_DOMAIN


def send(port: int, number: int, domains: list[str]) -> None:
    """A delivery with a feedback service, whose retries are the mail server's."""
    call_command("migrate", verbosity=0)
    brand = Brand.objects.create(label="Acme", sender_name="Acme News", sender_address="news@example.com")
    message = Message.objects.create(
        label="Spring",
        campaign=Campaign.objects.create(label="Spring"),
        brand=brand,
        audience=Audience.objects.create(label="Everybody", kind="all"),
        subject="Hello",
        html="<p>x</p>",
        text="x",
    )
    routing = Routing.objects.create(
        label="Postfix",
        port=port,
        security="none",
        return_domain=RETURN_DOMAIN,
        feedback_service=True,
        retry_by=Routing.Retries.SERVER,
        breaker_hard=0,
        is_default=True,
    )
    delivery = sending_delivery(
        message, routing, number, batch_size=500, feedback_service=True, retry_by=Routing.Retries.SERVER
    )
    for log in SendingLog.objects.iterator():
        address = f"user{log.pk}@{domains[log.pk % len(domains)]}"
        SendingLog.objects.filter(pk=log.pk).update(address=address)
        Profile.objects.filter(pk=log.profile_id).update(email=address)
    for batch in delivery.batches.order_by("number"):
        work_on_batch.send(batch.pk)


def tell() -> None:
    """What the logs, the counters and the events say."""
    delivery = Delivery.objects.get()
    found = kpis(counters(delivery), feedback_service=True)
    rows = delivery.sending_logs.values_list("pk", "address", "status", "failure_type", "retry_state")
    json.dump(
        {
            "rows": {address: [status, how, retry] for _pk, address, status, how, retry in rows},
            "tokens": {
                tokens.sign(pk).message_id: [tokens.sign(pk).return_path, address] for pk, address, *_rest in rows
            },
            "figures": figures(delivery),
            "counted": true_figures(delivery),
            "delivered": found.delivered.count,
            "bounced": found.bounces.count,
            "waiting": RawReport.objects.filter(applied_at=None).count(),
            "unmatched": FeedbackEvent.objects.filter(log_id=None).count(),
            "events": FeedbackEvent.objects.count(),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    else:
        tell()
