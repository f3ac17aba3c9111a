"""How fast reports are applied: `python -m tests.bench.feedback_speed [EVENTS] [--sqlite]`.

100,000 events about 100,000 messages, in any order and each sent twice, against the same in order and once; a private
PostgreSQL with fsync on. Prints events a second, and compares rows, counters, quarantine and a recount.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

from tests.conftest import find_program
from tests.postgres import running_postgres

WHATS = ["delivered"] * 90 + ["hard"] * 4 + ["soft"] * 3 + ["delayed"] * 2 + ["complaint"]


def measure(number: int) -> None:
    """In a process of its own, with its database."""
    import django

    django.setup()
    from django.core.management import call_command

    from campaigns.models import Audience, Brand, Campaign, Message
    from deliveries.feedback import apply_events
    from deliveries.models import Batch, QuarantinedAddress, SendingLog
    from deliveries.models.routing import Routing
    from tests.deliveries.reported import event
    from tests.deliveries.sending.sending_rows import figures, sending_delivery

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
    chance = random.Random(1)
    story = [(n, chance.choice(WHATS), chance.randrange(100)) for n in range(number)]
    results = []
    for run in ("in order, once", "any order, twice"):
        delivery = sending_delivery(message, routing, number, batch_size=5000, feedback_service=True, retry_by="server")
        SendingLog.objects.filter(delivery=delivery).update(relayed_at=delivery.started_at, due_at=None, attempts=1)
        Batch.objects.filter(delivery=delivery).update(relayed=5000, next_due_at=None)
        ids = list(delivery.sending_logs.order_by("pk").values_list("pk", flat=True))
        events = [event(ids[n], what, minute) for n, what, minute in story]
        if run != "in order, once":
            events += events
            chance.shuffle(events)
        start, ours, theirs = perf_counter(), process_time(), _server_seconds()
        applied = apply_events.apply(events)
        seconds, ours, theirs = perf_counter() - start, process_time() - ours, _server_seconds() - theirs
        each = 1e6 / len(events)
        cost = f"{each * ours:.0f} + {each * theirs:.0f} µs of processor an event (ours + server's)"
        print(f"{run}: {len(events)} events in {seconds:.1f} s = {len(events) / seconds:,.0f}/s, {cost}")
        assert applied.new == number
        names = ("address", "status", "failure_type", "reason", "retry_state", "last_event_rank")
        results.append(
            (
                sorted(delivery.sending_logs.values_list(*names)),
                figures(delivery),
                sorted(QuarantinedAddress.objects.values_list("address", "status", "errors", "reason")),
            )
        )
        SendingLog.objects.filter(delivery=delivery).delete()
        for table in ("campaigns_profile", "deliveries_quarantinedaddress", "deliveries_feedbackevent"):
            from django.db import connection

            connection.cursor().execute(f"DELETE FROM {table}")
    print("identical:", results[0] == results[1])
    print("figures:", results[0][1])
    sys.exit(results[0] != results[1])


def _server_seconds() -> float:
    """Processor time of the database's process that serves us; 0 for SQLite, which is ours."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0.0
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Start a database and measure there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("events", nargs="?", type=int, default=100_000)
    parser.add_argument("--sqlite", action="store_true")
    options = parser.parse_args()
    command = [sys.executable, "-c", f"from tests.bench.feedback_speed import measure; measure({options.events})"]
    with tempfile.TemporaryDirectory() as place:
        own = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATA_DIR": place,
            "HTTPS": "0",
            "SECRET_KEY": "only-for-measuring-" + "0123456789" * 4,
            "LOG_LEVEL": "WARNING",
        }
        if options.sqlite:
            sys.exit(subprocess.run(command, env=own, check=False).returncode)
        server = find_program("postgres") or sys.exit("postgres is not installed")
        with running_postgres(server, durable=True) as url:
            sys.exit(subprocess.run(command, env={**own, "DATABASE_URL": f"{url}postgres"}, check=False).returncode)


if __name__ == "__main__":
    main()
