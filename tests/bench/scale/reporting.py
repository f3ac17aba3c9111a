"""Pages and figures over millions of rows on PostgreSQL: builds the database, then measures.

    .venv/bin/python -m tests.bench.scale.reporting [--logs 10000000]

Makes a delivery with that many sending logs and twice as many tracking logs, all by INSERT … SELECT. Then
prints, each with its goal: reading the KPIs, the Deployment page, every tab as a browser asks for it, Compute
stats, and how long a sender had to wait meanwhile. Times are by the clock, and of the processor: of this process and of
all of the server's, so that a busy machine can be told from a slow product. Needs PostgreSQL's server programs (Debian:
postgresql).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import find_program
from tests.postgres import running_postgres

TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds in the unit that Linux counts processor time in


@contextmanager
def without_indexes(*tables: str) -> Iterator[None]:
    """Fill the tables without their indexes, but for those that constraints need; made again at the end, which is
    faster than growing them row by row."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s) AND NOT EXISTS "
            "(SELECT FROM pg_constraint WHERE conindid = indexname::regclass)",
            [list(tables)],
        )
        found = cursor.fetchall()
        for name, _made in found:
            cursor.execute(f"DROP INDEX {name}")
        yield
        start = time.perf_counter()
        cursor.execute("SET maintenance_work_mem = '512MB'")
        for _name, made in found:
            cursor.execute(made)
    print(f"{len(found):2} indexes                 {time.perf_counter() - start:7.1f} s", flush=True)


def multiply(template: Any, source: str, **changed: str) -> None:
    """Copy a row for each row of `source`, with other SQL for the columns named. The template itself goes."""
    from django.db import connection

    start, table = time.perf_counter(), template._meta.db_table
    columns = {f.column: f't."{f.column}"' for f in template._meta.concrete_fields if not f.primary_key} | changed
    names = ", ".join(f'"{name}"' for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT {', '.join(columns.values())} "
            f"FROM (SELECT * FROM {table} WHERE id = {template.pk}) t, {source}"
        )
        cursor.execute(f"DELETE FROM {table} WHERE id = {template.pk}")
    print(f"{table:26} {time.perf_counter() - start:7.1f} s", flush=True)


def fill(delivery: Any, logs: int) -> None:
    """Profiles, batches, sending logs and twice as many tracking logs."""
    from campaigns.models import Profile

    people = min(logs, 1_000_000)
    multiply(Profile.objects.create(), f"generate_series(1, {people}) n", email=ADDRESS)
    with without_indexes("deliveries_sendinglog", "reporting_trackinglog"):
        sending_logs(delivery, logs, people)
        tracking_logs(delivery)


ADDRESS = "'user' || n || '@d' || n % 500 || '.example.net'"


def sending_logs(delivery: Any, logs: int, people: int) -> None:
    """In batches of the size that a preparation would choose; each fiftieth bounced."""
    from deliveries.models import Batch, SendingLog
    from deliveries.preparation.times.waves import batch_size

    now, size = delivery.confirmed_at, batch_size(delivery.message, logs)
    bad = size // 50
    batch = Batch.objects.create(
        delivery=delivery, number=0, next_due_at=None, total=size, sent=size - bad, failed=bad, relayed=size, hard=bad
    )
    multiply(batch, f"generate_series(1, {logs // size}) n", number="n")
    log = SendingLog.objects.create(
        delivery=delivery, batch_id=batch.pk, address="x", status=1, date=now, attempts=1, relayed_at=now
    )
    failed = "CASE WHEN n % 50 = 0 THEN {} ELSE {} END".format
    multiply(
        log,
        f"generate_series(1, {logs}) n JOIN deliveries_batch b "
        f"ON b.delivery_id = {delivery.pk} AND b.number = (n - 1) / {size} + 1",
        batch_id="b.id",
        profile_id=f"(SELECT MIN(id) FROM campaigns_profile) + n % {people}",
        address=ADDRESS,
        status=failed(2, 1),
        failure_type=failed(2, 0),
        reason=failed(1, 0),
        relayed_at="t.relayed_at + n * interval '1 millisecond'",
        opened_at="CASE WHEN n % 3 = 0 THEN t.date END",
        clicked_at="CASE WHEN n % 9 = 0 THEN t.date END",
    )


def tracking_logs(delivery: Any) -> None:
    """Six for each third recipient, one of them a click, some a look at the mirror page; in no order, as they come."""
    from reporting.models import TrackingLog

    multiply(
        TrackingLog.objects.create(
            delivery=delivery, sending_log_id=0, type=2, at=delivery.confirmed_at, agent="Mozilla/5.0", version=1
        ),
        "(SELECT l.id AS log, e FROM deliveries_sendinglog l CROSS JOIN generate_series(1, 6) e "
        f"WHERE l.delivery_id = {delivery.pk} AND l.id % 3 = 0 ORDER BY hashint8(l.id * 6 + e)) l",
        sending_log_id="l.log",
        type="CASE WHEN e = 6 THEN 1 WHEN e = 5 AND l.log % 30 = 0 THEN 6 ELSE 2 END",
        link="CASE WHEN e = 6 THEN l.log % 10 END",
        machine="l.log % 7 = 0",
        rule="CASE WHEN l.log % 7 = 0 THEN 'prefetch' ELSE '' END",
    )


def build(logs: int) -> tuple[Any, Any]:
    """The database. Out: the delivery, and a superuser."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    from campaigns.models import Audience, Brand, Campaign, Message
    from deliveries.models import Delivery, Routing

    call_command("migrate", verbosity=0)
    brand = Brand.objects.create(
        label="A", sender_name="A", sender_address="a@example.com", sender_domains="example.com"
    )
    everybody = Audience.objects.create(label="Everybody", kind="all")
    message = Message.objects.create(
        label="S", campaign=Campaign.objects.create(label="C"), brand=brand, audience=everybody
    )
    links = "".join(f"<a href='https://example.com/{n}'>link {n}</a>" for n in range(10))
    content = {"subject": "s", "html": links, "text": "t", "fields": ["first_name"], "brand": "A", "website": ""}
    now = timezone.now()
    delivery = Delivery.objects.create(
        message=message,
        campaign=message.campaign,
        label="Big",
        state=95,
        content=content,
        targeted=logs,
        to_deliver=logs,
        confirmed_at=now,
        contact_date=now,
        started_at=now,
        finished_at=now,
        routing=Routing.objects.create(label="R"),
    )
    fill(delivery, logs)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return delivery, User.objects.create_superuser("root", "root@example.com", "x")


def processor() -> float:
    """Seconds of processor time that this process and all of the server's have taken."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        server = int(_stat(cursor.fetchone()[0])[1])
    ours = time.process_time()
    stats = [_stat(int(process.name)) for process in Path("/proc").iterdir() if process.name.isdecimal()]
    living = sum(int(part) for stat in stats if stat and int(stat[1]) == server for part in stat[11:13])
    return ours + TICK * (living + sum(map(int, _stat(server)[13:15])))  # the last: its processes that have ended


def _stat(pid: int) -> list[str]:
    """What /proc tells of a process, from its state on; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def timed(name: str, act: Callable[[], object], goal: float, times: int = 9) -> None:
    """The median of some calls after one to warm up, and the processor time of each on average."""
    act()
    took, before = [], processor()
    for _ in range(times):
        start = time.perf_counter()
        act()
        took.append((time.perf_counter() - start) * 1000)
    busy = (processor() - before) / times * 1000
    print(f"{name:34} {statistics.median(took):9.2f} ms, {busy:7.2f} ms of processor   (goal: {goal} ms)", flush=True)


class Sender(threading.Thread):
    """Records results as senders do, again and again: locks a batch and changes it with 200 of its rows."""

    def __init__(self, delivery_id: int) -> None:
        super().__init__()
        self.delivery_id, self.over, self.longest, self.rounds = delivery_id, False, 0.0, 0

    def run(self) -> None:
        from django.db import connection, transaction
        from django.utils import timezone

        from deliveries.models import Batch, SendingLog

        first = SendingLog.objects.filter(delivery=self.delivery_id, status=1).order_by("pk").values("pk")[0]["pk"]
        batches = list(Batch.objects.filter(delivery=self.delivery_id).values_list("pk", flat=True)[:100])
        while not self.over:
            start, row = time.perf_counter(), first + self.rounds % 100 * 200
            with transaction.atomic():
                batch = Batch.objects.select_for_update().get(pk=batches[self.rounds % len(batches)])
                SendingLog.objects.filter(pk__range=(row, row + 199)).update(date=timezone.now())
                Batch.objects.filter(pk=batch.pk).update(fence=batch.fence + 1)
            self.longest = max(self.longest, time.perf_counter() - start)
            self.rounds += 1
            time.sleep(0.02)
        connection.close()


@contextmanager
def sending(delivery: Any) -> Iterator[Sender]:
    """A sender at work meanwhile."""
    sender = Sender(delivery.pk)
    sender.start()
    try:
        yield sender
    finally:
        sender.over = True
        sender.join()


def measure(delivery: Any, user: Any) -> None:
    """Print what everything takes."""
    from django.db import connection

    from deliveries.ledger.counters import counters

    print(f"{delivery.to_deliver:,} sending logs, {2 * delivery.to_deliver:,} tracking logs", flush=True)
    timed("KPI read", lambda: counters(delivery), 1, times=500)
    pages(delivery, user)
    compute(delivery, user)
    connection.close()


def pages(delivery: Any, user: Any) -> None:
    """The dashboard, the tabs, the rows behind figures."""
    from django.test import Client
    from django.urls import reverse

    client = Client(headers={"host": "localhost"})
    client.force_login(user)

    def page(name: str, *more: Any, query: str = "") -> Callable[[], object]:
        url = reverse(name, args=[delivery.pk, *more]) + query

        def ask() -> None:
            answer = client.get(url)
            assert answer.status_code == 200, (url, answer.status_code)

        return ask

    timed("Deployment page", page("admin:deliveries_delivery_change"), 100)
    admin = "admin:deliveries_delivery_"
    tabs = {
        "Log": f"{admin}log",
        "Sending logs": f"{admin}sending_logs",
        "Exclusion logs": f"{admin}exclusion_logs",
        "Exclusion causes": f"{admin}exclusion_causes",
        "Tracking logs": "delivery-tracking-logs",
        "Tracked URLs": "delivery-tracked-urls",
        "Report": "delivery-report",
    }
    for name, view in tabs.items():
        timed(f"Tab {name}", page(view), 200)
    timed("Tracking logs, clicks by people", page("delivery-tracking-logs", query="?type=1&who=people"), 200)
    for figure in ("delivered", "bounces", "opens", "people_clicks"):
        timed(f"Rows of {figure}", page("delivery-rows", figure), 200)


def compute(delivery: Any, user: Any) -> None:
    """Compute stats with counters to correct, while a sender works; and how long that one waits anyhow."""
    from deliveries.models import Batch
    from reporting.figures import kept_figures as stats

    with sending(delivery) as alone:
        time.sleep(5)
    Batch.objects.filter(delivery=delivery, number__lte=3).update(relayed=0)
    with sending(delivery) as sender:
        start, before = time.perf_counter(), processor()
        drift = stats.compute_stats(delivery, user)
        took, busy = time.perf_counter() - start, processor() - before
    words = f"{len(drift)} counters corrected   (goal: 30 s)"
    print(f"{'Compute stats':34} {took:9.2f} s,  {busy:7.2f} s of processor, {words}")
    words = f"{alone.longest * 1000:.0f} ms without Compute stats   (goal: not blocked)"
    print(f"{'Longest wait of a sender':34} {sender.longest * 1000:9.2f} ms in {sender.rounds} transactions; {words}")


def main() -> None:
    """Start PostgreSQL, build, measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--logs", type=int, default=10_000_000)
    logs = parser.parse_args().logs // 10_000 * 10_000
    server = find_program("postgres")
    if server is None:
        sys.exit("PostgreSQL's server programs are not installed.")
    if "DATABASE_URL" not in os.environ:
        with running_postgres(server) as base:
            more = {"DATABASE_URL": f"{base}postgres", "HTTPS": "0", "SECRET_KEY": "x" * 50, "LOG_LEVEL": "WARNING"}
            more["DJANGO_SETTINGS_MODULE"] = "config.settings"
            again = [sys.executable, "-m", "tests.bench.scale.reporting", "--logs", str(logs)]
            sys.exit(subprocess.call(again, env=os.environ | more))
    import django

    django.setup()
    measure(*build(logs))


if __name__ == "__main__":
    main()
