"""Schedulers of one database, as programs of their own.

    python -m tests.deliveries.lifecycle.recurrence.swarm make|run|check …

make: series of every half hour over the night of a change of summer time in three zones. run SEED: one scheduler, whose
clock jumps back and forth while time goes on. check: print what is missing or came twice, as JSON.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

NIGHTS = {
    "Europe/Paris": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-10-04", "2026-04-05"),
}
CRON = "*/30 * * * *"
BEFORE, AFTER, STEP = timedelta(hours=10), timedelta(hours=9), timedelta(minutes=20)


def windows() -> list[tuple[str, datetime, datetime]]:
    """(zone, start, end) of each night, in the order of time."""
    days = [(zone, datetime.fromisoformat(day).replace(tzinfo=UTC)) for zone, both in NIGHTS.items() for day in both]
    return sorted(((zone, day - BEFORE, day + AFTER) for zone, day in days), key=lambda window: window[1])


def make() -> None:
    """The series, switched on as of the start of their nights."""
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from campaigns.models import Audience, Brand, Campaign, Message, Recurrence
    from deliveries.lifecycle import commands
    from deliveries.lifecycle.recurrence import executions

    call_command("migrate", verbosity=0)
    boss = User.objects.create_superuser("boss", "boss@example.com", "pass-word-9")
    brand = Brand.objects.create(label="Acme", sender_name="Acme", sender_address="news@example.com")
    nobody = Audience.objects.create(label="Nobody", kind="list")
    campaign = Campaign.objects.create(label="Nights")
    for zone, start, end in windows():
        message = Message.objects.create(label=zone, campaign=campaign, brand=brand, audience=nobody)
        Recurrence.objects.create(message=message, frequency="cron", cron=CRON, time_zone=zone, until=end)
        executions.start_series(commands.create_delivery(message, boss), boss, start)


def run(seed: int) -> None:
    """One scheduler."""
    from deliveries.lifecycle.recurrence import executions

    jumps = random.Random(seed)
    for _zone, start, end in windows():
        now = start
        while now <= end + 2 * STEP:
            executions.tick(now + jumps.choice((0, 0, 0, -6, -1, 1, 3)) * STEP)
            now += STEP


def check() -> dict[str, list[str]]:
    """{what is wrong: slots}; empty lists when every slot has its one execution."""
    from zoneinfo import ZoneInfo

    from campaigns.scheduling.calendar import next_slots
    from deliveries.models import Delivery

    made = Counter(Delivery.objects.exclude(parent=None).values_list("label", "slot"))
    found = Counter((label.partition("] ")[2], slot.astimezone(UTC)) for label, slot in made.elements())
    wanted = {
        (zone, slot)
        for zone, start, end in windows()
        for slot in next_slots(CRON, ZoneInfo(zone), start, 200)
        if slot <= end
    }
    return {
        "missing": [str(key) for key in wanted - set(found)],
        "strange": [str(key) for key in set(found) - wanted],
        "twice": [str(key) for key, number in found.items() if number > 1],
        "made": [str(len(found))],
    }


if __name__ == "__main__":
    import tests.environment  # noqa: F401, I001 - the settings read it

    import django

    django.setup()
    act = sys.argv[1]
    if act == "make":
        make()
    elif act == "run":
        run(int(sys.argv[2]))
    else:
        print(json.dumps(check()))
