"""Fills an empty database for the browser: people, a campaign, a delivery in every state. Prints {name: id} as JSON.

Run as `python -m tests.journeys.stage` with the environment of the site that it is for.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup()

# ruff: noqa: E402 - models can be imported only now
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.utils import timezone

from campaigns.accounts.permissions import sync_roles
from campaigns.models import Audience, Brand, Campaign, Message, Profile, Schedule
from campaigns.models.units import ROOT, PersonUnit
from deliveries.ledger.events import log_event
from deliveries.models import Batch, Delivery, ExclusionCause, ExclusionLog, Routing, SendingLog
from deliveries.models.states import LogStatus, Reason, State
from deliveries.preparation.sealing import current_seal

PASSWORD = "pass-word-9"
HTML = """<!DOCTYPE html><html><head><title>Spring</title><style>
body { margin: 0; background: #f2f5f0 } table { border-spacing: 0 } td { padding: 0 }
.mail { width: 100%; max-width: 560px; background: #ffffff; border-radius: 8px; font-family: Georgia, serif }
.head { background: #2f6b4f; color: #ffffff; padding: 28px 32px; font-size: 28px; border-radius: 8px 8px 0 0 }
.body { padding: 24px 32px; font-size: 16px; line-height: 1.6; color: #333333 }
.go { display: inline-block; background: #2f6b4f; color: #ffffff; padding: 12px 22px }
.go { border-radius: 4px; text-decoration: none }
.foot { padding: 0 32px 24px; font-size: 12px; color: #666666 }
</style></head><body><table width="100%"><tr><td align="center" style="padding:24px"><table class="mail">
<tr><td class="head">The spring table is laid</td></tr>
<tr><td class="body"><p>Dear {{ first_name | default: "friend" }},</p>
<p>asparagus, radishes and the first strawberries are in. This week's box is ready to order,
and until Sunday the delivery is on us.</p>
<p><a class="go" href="https://www.example.com/spring">See this week's box</a></p></td></tr>
<tr><td class="foot"><a href="{{ unsubscribe_url }}">Unsubscribe</a></td></tr>
</table></td></tr></table></body></html>"""
NAMES = [("Ada", "Lovelace"), ("Grace", "Hopper"), ("Alan", "Turing"), ("Edsger", "Dijkstra"), ("Barbara", "Liskov")]


def people() -> None:
    """starter, preparer and reader with their roles, an administrator, and one with a grant on nothing."""
    sync_roles()
    for name, group in (
        ("starter", "Start deliveries"),
        ("preparer", "Prepare deliveries"),
        ("administrator", "Administrators"),
        ("stranger", None),
    ):
        user = User.objects.create_user(name, f"{name}@example.com", PASSWORD, is_staff=True)
        user.groups.set(Group.objects.filter(name=group) if group else [])
        if not group:
            PersonUnit.objects.create(user=user, unit_id=ROOT)


def world() -> Message:
    """Brand, routing, profiles, audience, campaign and a message."""
    brand = Brand.objects.create(
        label="Field & Fork",
        sender_name="Field & Fork",
        sender_address="news@example.com",
        sender_domains="example.com",
        is_default=True,
    )
    Routing.objects.create(
        label="Simulator", port=int(os.environ.get("STAGE_SMTP_PORT", "1")), security="none", is_default=True
    )
    Profile.objects.bulk_create(
        Profile(
            email=f"{first.lower()}.{last.lower()}{n or ''}@example.com",
            first_name=first,
            last_name=last,
            country=["FR", "DE", "IT"][n % 3],
            attributes={"points": str(n)},
        )
        for n in range(int(os.environ.get("STAGE_EACH", "8")))
        for first, last in NAMES
    )
    audience = Audience.objects.create(
        label="Box customers", kind="filter", conditions=[{"field": "email", "op": "not_empty"}]
    )
    campaign = Campaign.objects.create(label="Spring in the box", created_by=User.objects.get(username="starter"))
    return Message.objects.create(
        label="Spring box",
        campaign=campaign,
        brand=brand,
        audience=audience,
        subject='{{ first_name | default: "Hello" }}, the spring box is here',
        html=HTML,
    )


def delivery(message: Message, label: str, state: State, **fields: Any) -> Delivery:
    """A delivery of a copy of `message` in `state`; `fields` may name counters of its batch."""
    counters = {
        name: fields.pop(name)
        for name in ("pending", "in_doubt", "sent", "failed", "cancelled", "relayed", "retrying", "hard", "soft")
        if name in fields
    }
    schedule = fields.pop("schedule", None)
    message.pk, message.label = None, label
    message.save()
    if schedule:
        Schedule.objects.create(message=message, **schedule)
    starter, now = User.objects.get(username="starter"), timezone.now()
    confirmed = state >= State.START_PENDING
    fields = (
        {
            "preparation": 2,
            "prepared_at": now - timedelta(hours=2),
            "prepared_by": starter,
            "created_by": starter,
            "fingerprint": current_seal(message),
            "targeted": 12_402,
            "excluded": 57,
            "to_deliver": 12_345,
        }
        | (
            {
                "confirmed_at": now - timedelta(minutes=12),
                "confirmed_by": starter,
                "validity_end": now + timedelta(days=3),
                "contact_date": now - timedelta(minutes=12),
                "started_at": now - timedelta(minutes=12),
            }
            if confirmed
            else {}
        )
        | fields
    )
    made = Delivery.objects.create(
        message=message, campaign=message.campaign, label=label, state=state, routing=Routing.objects.first(), **fields
    )
    if confirmed:
        Message.objects.filter(pk=message.pk).update(locked_at=now)
    counters = counters or {"pending": made.to_deliver}
    total = sum(counters.get(name, 0) for name in ("pending", "in_doubt", "sent", "failed", "cancelled"))
    Batch.objects.create(delivery=made, number=1, total=total, **counters)
    history(made)
    return made


def history(made: Delivery) -> None:
    """Exclusions, a few logs, and lines in the message log."""
    now = timezone.now()
    for cause, volume in (
        (Reason.ADDRESS_EMPTY, 3),
        (Reason.DENYLISTED, 21),
        (Reason.QUARANTINED, 30),
        (Reason.DUPLICATE, 3),
        (Reason.BAD_QUALITY, 0),
    ):
        ExclusionCause.objects.create(delivery=made, cause=cause, volume=volume)
        ExclusionLog.objects.bulk_create(
            ExclusionLog(
                delivery=made,
                profile=Profile.objects.first(),
                cause=cause,
                date=now,
                address=f"out{number}@example.org",
            )
            for number in range(volume)
        )
    batch = made.batches.get()
    statuses = [
        (LogStatus.SENT, batch.sent),
        (LogStatus.FAILED, batch.failed),
        (LogStatus.PENDING, batch.pending),
        (LogStatus.IN_DOUBT, batch.in_doubt),
        (LogStatus.CANCELLED, batch.cancelled),
    ]
    SendingLog.objects.bulk_create(
        SendingLog(
            delivery=made,
            batch=batch,
            profile=Profile.objects.first(),
            status=status,
            date=now,
            address=f"{status.name.lower()}.{number:03}@example.com",
            failure_type=2 if status == LogStatus.FAILED else 0,
            reason=1 if status == LogStatus.FAILED else 0,
        )
        for status, amount in statuses
        for number in range(min(amount, 40))
    )
    starter = User.objects.get(username="starter")
    log_event(made, "created", "Created by starter.", user=starter)
    log_event(made, "preparation_started", "Preparation started by starter.", user=starter)
    log_event(made, "rule", "Subject line is longer than 60 characters.", severity=1)
    log_event(made, "prepared", "Analysis completed in 0.4 s: 12,345 to deliver, 1 warning.", severity=0)


def every_state(message: Message) -> dict[str, int]:
    """A delivery in each state; {name: id}."""
    now, empty = timezone.now(), {"targeted": 0, "excluded": 0, "to_deliver": 0}
    done = {"sent": 6_820, "failed": 118, "relayed": 6_825, "pending": 5_407, "hard": 118}
    tomorrow = {"mode": "at_date", "contact_date": now + timedelta(days=1), "time_zone": "Europe/Paris"}
    whole = {"sent": 12_102, "failed": 243, "relayed": 12_180, "hard": 200, "soft": 43}
    made = {
        "new": delivery(message, "Summer teaser", State.EDITING, preparation=0, **empty),
        "preparing": delivery(message, "Loyalty letter", State.COUNTING, progress=37, **empty),
        "failed": delivery(message, "Recipe of the week", State.PREPARATION_FAILED, **empty),
        "finished": delivery(
            message,
            "Winter box",
            State.FINISHED,
            **whole,
            finished_at=now - timedelta(minutes=3),
            opens=4_890,
            clicks=611,
            stats_at=now,
            started_at=now - timedelta(minutes=12),
        ),
        "ready": delivery(message, "Spring box", State.READY),
        "scheduled": delivery(message, "Easter box", State.READY, schedule=tomorrow),
        "stale": delivery(message, "Garden tour", State.READY, fingerprint={}),
        "waiting": delivery(
            message, "May evening", State.START_PENDING, contact_date=now + timedelta(days=1), started_at=None
        ),
        "sending": delivery(message, "Asparagus week", State.IN_PROGRESS, **done),
        "doubtful": delivery(
            message,
            "Strawberry alert",
            State.IN_PROGRESS,
            feedback_service=True,
            sent=4_000,
            failed=62,
            relayed=6_300,
            pending=8_275,
            in_doubt=8,
            hindrance="127.0.0.1:25 refused the connection",
            hindered_since=now,
        ),
        "paused": delivery(message, "Cherry news", State.PAUSED, paused_from=State.IN_PROGRESS, **done),
        "stopped": delivery(
            message, "Plum card", State.STOPPED, sent=6_820, failed=118, relayed=6_825, cancelled=5_407, finished_at=now
        ),
    }
    return {name: one.pk for name, one in made.items()}


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    people()
    written = world()
    ids = {"message": written.pk, "campaign": written.campaign_id}
    if os.environ.get("STAGE_STATES", "1") == "1":
        ids |= every_state(written)
    print(json.dumps(ids))
