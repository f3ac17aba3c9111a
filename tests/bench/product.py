"""The product at work for `python -m tests.bench`: one act in a process of its own, on the environment's database.

    python -m tests.bench.product send NUMBER --port PORT --workers 2
    python -m tests.bench.product prepare NUMBER | feedback NUMBER | figures NUMBER

The last line out is JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

BODY_KB = 10
RATIO_ROUNDS = 3
PAGES = (
    "admin:deliveries_delivery_changelist",
    "admin:deliveries_delivery_change",
    "admin:deliveries_delivery_sending_logs",
    "delivery-report",
)


def seed(number: int) -> None:
    """So many correct profiles."""
    from django.db import connection

    from .prepare_speed import _SERIES

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO campaigns_profile (email, first_name, last_name, gender, mobile, city, country, language, "
            "time_zone, email_format, opt_out, opt_out_email, attributes, created_at, modified_at) "
            "SELECT 'user' || n || '@example.net', 'User ' || n, 'Last', 0, '', 'Oslo', 'NO', 'nb', '', 0, FALSE, "
            f"FALSE, '{{}}', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP FROM {_SERIES[connection.vendor]}",
            [number],
        )
        cursor.execute("ANALYZE")


def written(port: int) -> tuple[Any, Any]:
    """A message of about 10 KB to everybody, and a user who may send it."""
    from django.contrib.auth.models import User

    from campaigns.models import Audience, Brand, Campaign, Message
    from deliveries.models import Routing

    Routing.objects.create(label="smtp-sink", port=port, is_default=True, security="none", connections=8)
    brand = Brand.objects.create(
        label="Acme", sender_name="Acme News", sender_address="news@example.com", sender_domains="example.com"
    )
    filler = "<p>Lorem ipsum dolor sit amet, consectetur adipiscing elit.</p>\n" * (BODY_KB * 1024 // 80)
    message = Message.objects.create(
        label="Bench",
        campaign=Campaign.objects.create(label="Bench"),
        brand=brand,
        subject="Hello {{ first_name }}",
        audience=Audience.objects.create(label="Everybody", kind="all"),
        html=f"<p>Dear {{{{ first_name }}}}, <a href='https://example.com/news'>our news</a>.</p>{filler}"
        "<a href='{{ unsubscribe_url }}'>Unsubscribe</a>",
        text="Dear {{ first_name }}, https://example.com/news {{ unsubscribe_url }}",
    )
    return message, User.objects.create_superuser("bench")


def prepared(message: Any, user: Any) -> tuple[Any, float]:
    """A delivery, prepared as in production. Out: with the seconds that it took."""
    from deliveries.lifecycle import commands
    from deliveries.models.states import State
    from deliveries.preparation import prepare as preparing

    delivery = commands.create_delivery(message, user)
    began = time.perf_counter()
    commands.prepare(delivery, user)
    preparing.run(delivery.pk)
    took = time.perf_counter() - began
    delivery.refresh_from_db()
    if delivery.state != State.READY:
        raise SystemExit("\n".join(map(str, delivery.events.all())))
    return delivery, took


def work(delivery_id: int, start: Any, answer: Any) -> None:
    """A worker: sends until the delivery is finished, then tells what it used."""
    from django.db import connection

    import tests.faults.kills.loaded  # noqa: F401 - as a cluster's workers are forked from a process that has all rooms
    from campaigns.core import queue
    from deliveries.models import Delivery
    from deliveries.models.states import ENDED
    from deliveries.sending import leases, work_on_batch

    queue.enqueue = lambda task, *values: None  # nobody listens here
    connection.ensure_connection()
    start.wait(120)
    before = time.process_time()
    while Delivery.objects.only("state").get(pk=delivery_id).state not in ENDED:
        for batch in leases.due(delivery_id):
            work_on_batch.send(batch)
            break
        else:
            time.sleep(0.02)  # others have the rest
    answer.put((time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
    connection.close()


def send(given: argparse.Namespace) -> dict[str, Any]:
    """Prepare, confirm, send with so many workers."""
    from django.db import connection

    from deliveries.lifecycle import commands, progress
    from deliveries.models import Batch

    seed(given.number)
    delivery, prepare_seconds = prepared(*(who := written(given.port)))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    commands.confirm(delivery, who[1])
    progress.start(delivery.pk)
    forks = multiprocessing.get_context("spawn")
    start, answers = forks.Barrier(given.workers + 1), forks.Queue()
    workers = [forks.Process(target=work, args=(delivery.pk, start, answers)) for _ in range(given.workers)]
    for worker in workers:
        worker.start()
    start.wait(120)
    began, server = time.perf_counter(), server_seconds()
    used = [answers.get() for _ in workers]
    seconds, server = time.perf_counter() - began, server_seconds() - server
    for worker in workers:
        worker.join()
    sent = sum(Batch.objects.values_list("sent", flat=True))
    if sent != given.number:
        raise SystemExit(f"{sent} of {given.number} were sent: {delivery.hindrance}")
    return {
        "prepare_seconds": prepare_seconds,
        "send_seconds": seconds,
        "cpu": sum(cpu for cpu, _ in used),
        "server_cpu": server,
        "sender_mb": max(mb for _, mb in used),
        "prepare_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **(figures(delivery, who[1], given.rows) if given.rows else {}),
    }


def server_seconds() -> float:
    """Processor time of the whole database server so far; 0 for SQLite."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0.0
    connection.ensure_connection()
    stat = Path("/proc/{}/stat").as_posix().format
    backend = Path(stat(connection.connection.info.backend_pid)).read_text().rpartition(")")[2].split()
    postmaster = backend[1]
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    ticks = 0
    for pid in (postmaster, *children):
        fields = Path(stat(pid)).read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15] if pid == postmaster else fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def prepare(given: argparse.Namespace) -> dict[str, Any]:
    """Preparation against bulk_create of such rows (at most 100,000) by the same process, in turns."""
    from django.db import connection

    from campaigns.models import Profile
    from deliveries.models import Delivery, SendingLog

    seed(given.number)
    message, user = written(1)
    ours, theirs = [], []
    for _ in range(RATIO_ROUNDS):
        delivery, seconds = prepared(message, user)
        ours.append(given.number / seconds)
        other = Delivery.objects.create(message=message, campaign=message.campaign, label="bulk_create")
        now = delivery.created_at
        began = time.perf_counter()
        people = Profile.objects.values_list("pk", "email")[:100_000].iterator(5000)
        rows = (SendingLog(delivery=other, profile_id=pk, address=to, date=now, due_at=now) for pk, to in people)
        SendingLog.objects.bulk_create(rows, batch_size=5000)
        theirs.append(min(given.number, 100_000) / (time.perf_counter() - began))
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE deliveries_sendinglog, deliveries_batch CASCADE")
    return {"ours": ours, "bulk_create": theirs, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def feedback(given: argparse.Namespace) -> dict[str, Any]:
    """Reports about so many relayed messages, each once and in order."""
    import random

    from deliveries.feedback import apply_events as room
    from deliveries.models import Batch, Routing, SendingLog
    from tests.deliveries.reported import event
    from tests.deliveries.sending.sending_rows import sending_delivery

    message, _user = written(1)
    Routing.objects.update(breaker_hard=0, breaker_complaints=0)
    delivery = sending_delivery(
        message, Routing.objects.get(), given.number, 5000, feedback_service=True, retry_by="server"
    )
    SendingLog.objects.update(relayed_at=delivery.started_at, due_at=None, attempts=1)
    Batch.objects.update(relayed=5000, next_due_at=None)
    whats = ["delivered"] * 90 + ["hard"] * 4 + ["soft"] * 3 + ["delayed"] * 2 + ["complaint"]
    chance, rates = random.Random(1), []
    ids = list(SendingLog.objects.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), part := max(1, len(ids) // RATIO_ROUNDS)):
        events = [event(pk, chance.choice(whats), chance.randrange(100)) for pk in ids[start : start + part]]
        began = time.perf_counter()
        room.apply(events)
        if len(events) == part:
            rates.append(part / (time.perf_counter() - began))
    return {"events_s": rates}


def figures(delivery: Any, user: Any, rows: int) -> dict[str, Any]:
    """What figures and pages take once the delivery has so many rows, in ms; each the median of several."""
    from django.test import Client
    from django.urls import reverse

    from deliveries.ledger.counters import counters

    multiply(delivery, rows)
    delivery.refresh_from_db()
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    pages = {}
    for name in PAGES:
        url = reverse(name, args=[] if name.endswith("list") else [delivery.pk])
        pages[name.removeprefix("admin:deliveries_delivery_")] = timed(lambda url=url: answer(client, url))
    kpi = timed(lambda: counters(delivery), times=50)
    return {"kpi_ms": kpi, "pages_ms": pages, "rows": delivery.sending_logs.count()}


def answer(client: Any, url: str) -> None:
    found = client.get(url)
    if found.status_code != 200:
        raise SystemExit(f"{url} answered {found.status_code}")


def timed(act: Callable[[], Any], times: int = 7) -> float:
    """The median of some calls after one to warm up, in ms."""
    act()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        took.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(took), 2)


def multiply(delivery: Any, rows: int) -> None:
    """Copies of its batches and their sending logs, until there are so many rows."""
    from django.db import connection

    from deliveries.models import Batch, SendingLog

    def columns(model: Any, **changed: str) -> tuple[str, str]:
        picked = {f.column: f"t.{f.column}" for f in model._meta.concrete_fields if not f.primary_key} | changed
        return ", ".join(picked), ", ".join(picked.values())

    has = delivery.sending_logs.count()
    more = max(0, rows // has - 1)
    if not more:
        return
    copies = (
        f"generate_series(1, {more}) AS n"
        if connection.vendor == "postgresql"
        else (f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {more}) SELECT n FROM s)")
    )
    number = delivery.batches.count()
    into, what = columns(Batch, number=f"t.number + n * {number}")
    log_into, log_what = columns(SendingLog, batch_id="b.id", address="'copy' || b.number || '.' || t.address")
    with connection.cursor() as cursor:
        mine = f"delivery_id = {delivery.pk}"
        cursor.execute(
            f"INSERT INTO deliveries_batch ({into}) SELECT {what} FROM deliveries_batch t, {copies} WHERE t.{mine}"
        )
        cursor.execute(
            f"INSERT INTO deliveries_sendinglog ({log_into}) SELECT {log_what} FROM deliveries_sendinglog t "
            f"JOIN deliveries_batch o ON o.id = t.batch_id JOIN deliveries_batch b ON b.{mine} "
            f"AND b.number % {number} = o.number % {number} AND b.id > o.id WHERE t.{mine}"
        )
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE")
    type(delivery).objects.filter(pk=delivery.pk).update(to_deliver=has * (rows // has), targeted=has * (rows // has))


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.product", description=__doc__)
    parser.add_argument("act", choices=["send", "prepare", "feedback"])
    parser.add_argument("number", type=int)
    parser.add_argument("--port", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--window", help="CLAIM_WINDOW; without, the usual one")
    parser.add_argument("--rows", type=int, default=0, help="then multiply the rows to so many, and read figures")
    given = parser.parse_args()
    if given.window:
        os.environ["CLAIM_WINDOW"] = given.window
    django.setup()
    from django.db import connection

    report = {"send": send, "prepare": prepare, "feedback": feedback}[given.act](given)
    connection.close()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
