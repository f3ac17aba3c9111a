"""A delivery's whole life in one go, from its draft to the purge, and what it counted.

`python -m tests.deliveries.whole_life FOLDER` lives it in the database of the environment and prints the figures.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

PEOPLE = 30
FIGURES = {
    "targeted": 30,
    "excluded": 2,
    "to_deliver": 28,
    "batches": 3,
    "accepted": 28,
    "total": 28,
    "sent": 27,
    "failed": 1,
    "relayed": 28,
    "hard": 1,
    "complaints": 1,
    "opens": 2,
    "clicks": 1,
    "drift": 0,
    "logs": 28,
    "tracking": 3,
}


def start() -> tuple[Any, Any]:
    """A message, its default routing, people (one opted out, one quarantined) and who sends it. Out: message, user."""
    from django.contrib.auth.models import User

    from campaigns.models import Audience, Brand, Campaign, Message, Profile
    from deliveries.models import QuarantinedAddress, Routing

    by = User.objects.create_superuser("admin", "admin@example.com", "pass-word-9")
    brand = Brand.objects.create(
        label="Acme",
        sender_name="Acme News",
        sender_address="news@example.com",
        sender_domains="example.com",
        is_default=True,
    )
    Routing.objects.create(label="Sink", host="127.0.0.1", port=1, security="none", is_default=True)
    Profile.objects.bulk_create(Profile(email=f"u{n:02}@example.net", opt_out=n == 28) for n in range(PEOPLE))
    QuarantinedAddress.objects.create(address="u29@example.net")
    message = Message.objects.create(
        label="Spring",
        campaign=Campaign.objects.create(label="Spring"),
        brand=brand,
        subject="Hello",
        audience=Audience.objects.create(label="Everybody", kind="all"),
        html='<p><a href="https://example.com/news">News</a> <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>',
        text="https://example.com/news {{ unsubscribe_url }}",
    )
    return message, by


def live(message: Any, by: Any, folder: Path) -> tuple[Any, dict[str, int]]:
    """Prepare, confirm and send to a sink; reports, opens and clicks; stats. Out: the delivery and what it counted."""
    from django.conf import settings

    from deliveries.lifecycle import commands
    from deliveries.sending import work_on_batch
    from deliveries.workers import tasks
    from tests.sink import tally

    settings.BATCH_SIZE, settings.UNDO_SECONDS, settings.JOURNAL_DIR = 10, 0, folder / "journals"
    delivery = commands.create_delivery(message, by)
    with _sink(folder / "sink"):  # before the confirmation, which is given to this way of sending
        commands.prepare(delivery, by)
        tasks.prepare_delivery(delivery.pk)
        delivery.refresh_from_db()
        commands.confirm(delivery, by)
        tasks.start_delivery(delivery.pk)
        for batch in delivery.batches.order_by("pk"):
            work_on_batch.send(batch.pk)
    accepted = tally(folder / "sink").accepted
    _hear(delivery)
    return delivery, {"accepted": accepted} | count(delivery, by)


@contextmanager
def _sink(folder: Path) -> Iterator[None]:
    """All routings lead to a sink."""
    from deliveries.models import Routing
    from deliveries.sending import connections
    from tests.sink.server import in_a_thread

    with in_a_thread(folder) as sink:
        Routing.objects.update(port=sink.port)
        try:
            yield
        finally:
            connections.hang_up()


def _hear(delivery: Any) -> None:
    from django.db import transaction
    from django.utils import timezone

    from deliveries.feedback import apply_events
    from reporting.tracking import ingest
    from reporting.tracking.buffer import Event

    from .reported import event

    first, second, third, *_others = delivery.sending_logs.order_by("address")
    apply_events.apply([event(first, "hard"), event(second, "complaint")])
    now = int(timezone.now().timestamp() * 1000) + 60_000
    did = [(second, 2, -1), (third, 2, -1), (third, 1, 0)]
    with transaction.atomic():
        ingest.store([Event(now, log.pk, kind, link, False, "", "Firefox") for log, kind, link in did])


def count(delivery: Any, by: Any) -> dict[str, int]:
    """Compute its stats, and all that it counts now."""
    from reporting.figures import kept_figures
    from tests.deliveries.sending.sending_rows import figures, true_figures

    drift = kept_figures.compute_stats(delivery, by)
    counted = figures(delivery)
    assert counted == true_figures(delivery)
    own = {name: getattr(delivery, name) for name in ("targeted", "excluded", "to_deliver", "opens", "clicks")}
    rows = {"logs": delivery.sending_logs.count(), "tracking": delivery.tracking_logs.count()}
    return counted | own | rows | {"drift": len(drift), "batches": delivery.batches.count()}


def age(*deliveries: Any, days: int = 400) -> None:
    """Let them have ended so long ago."""
    from django.utils import timezone

    from deliveries.models import Delivery

    past = timezone.now() - timedelta(days=days)
    of_these = Delivery.everything.filter(pk__in=[delivery.pk for delivery in deliveries])
    of_these.update(finished_at=past, confirmed_at=past, contact_date=past)


def main() -> None:
    """The figures as JSON."""
    import os

    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()
    message, by = start()
    print(json.dumps(live(message, by, Path(sys.argv[1]))[1]))


if __name__ == "__main__":
    main()
