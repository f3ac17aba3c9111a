"""How fast the full worker sends into Postfix's smtp-sink: claim, build, SMTP, journal and record, in one process.

Processor time is told of each who has a part in it: ours, in our own code and in the kernel, the database server's
and the sink's. Their sum over the number of cores is the least that a message can take on this machine.

python -m tests.bench.send_speed --recipients 100000 --database postgres
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.conftest import find_program
from tests.postgres import free_port, running_postgres

BODY_KB = 10


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench.send_speed", description=__doc__)
    parser.add_argument("--recipients", type=int, default=100_000)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--batch", type=int, default=5000, help="recipients in a batch")
    parser.add_argument("--profile", action="store_true", help="show where the processor's time went")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


@contextmanager
def _sink() -> Iterator[tuple[int, int]]:
    """smtp-sink; as root it wants to be told whom to become. Out: its free port and its process."""
    port, program = free_port(), find_program("smtp-sink")
    assert program, "smtp-sink of the postfix package is needed"
    as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen([program, *as_user, f"127.0.0.1:{port}", "1024"], cwd="/tmp") as sink:
        time.sleep(0.3)
        try:
            yield port, sink.pid
        finally:
            sink.terminate()


def main() -> None:
    options = _parse()
    server = running_postgres(find_program("postgres") or "", durable=True)
    with tempfile.TemporaryDirectory() as place, server if options.database == "postgres" else nullcontext("") as url:
        os.environ |= {
            "SECRET_KEY": "bench" * 20,
            "DATA_DIR": place,
            "HTTPS": "0",
            "LOG_LEVEL": "WARNING",
            "TASK_BUDGET_SECONDS": "100",
        }
        if url:
            os.environ["DATABASE_URL"] = f"{url}postgres"
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        with _sink() as (port, sink):
            report = _measure(options, port, sink)
    print(json.dumps(report) if options.json else "\n".join(f"{name:28}{value}" for name, value in report.items()))


def _measure(options: argparse.Namespace, port: int, sink: int) -> dict[str, object]:
    from django.core.management import call_command
    from django.db import connection

    import tests.faults.kills.loaded  # noqa: F401 - as a cluster's workers are forked from a process that has all rooms

    call_command("migrate", verbosity=0)
    delivery = _delivery(options, port)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    rss = _rss()
    profiler = cProfile.Profile() if options.profile else None
    started, used = time.perf_counter(), _processor(sink)
    if profiler:
        profiler.enable()
    marks = _send(delivery)
    if profiler:
        profiler.disable()
        profiler.print_stats("tottime")
    took = time.perf_counter() - started
    each = {
        name: round((after - before) / options.recipients * 1e6, 1)
        for (name, after), before in zip(_processor(sink).items(), used.values(), strict=True)
    }
    connection.close()
    return {
        "database": options.database,
        "recipients": options.recipients,
        "seconds": round(took, 2),
        "messages_per_second": round(options.recipients / took),
        "cpu_us_per_message": round(each["ours"] + each["kernel"], 1),
        "cpu_us_by_whom": each,
        "rss_mb_start": rss,
        "rss_mb_per_tenth": marks,
        "rss_mb_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _delivery(options: argparse.Namespace, port: int):
    from campaigns.models import Brand, Campaign, Message
    from deliveries.models import Routing
    from tests.deliveries.sending.sending_rows import CONTENT, sending_delivery

    brand = Brand.objects.create(
        label="Acme", sender_name="Acme", sender_address="news@example.com", sender_domains="*"
    )
    message = Message.objects.create(label="Bench", campaign=Campaign.objects.create(label="Bench"), brand=brand)
    routing = Routing.objects.create(label="smtp-sink", port=port, security="none")
    filler = "<p>Lorem ipsum dolor sit amet, consectetur adipiscing elit.</p>\n" * (BODY_KB * 1024 // 80)
    content = CONTENT | {"html": CONTENT["html"] + filler}
    return sending_delivery(message, routing, options.recipients, options.batch, content=content)


def _send(delivery) -> list[int]:
    from deliveries.models.states import State
    from deliveries.sending import work_on_batch

    seen = [_rss()]
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(seen, over))
    watch.start()
    try:
        for batch in delivery.batches.order_by("pk").values_list("pk", flat=True):
            work_on_batch.send(batch)  # and what else is due, until the task's budget is used up
            delivery.refresh_from_db()
            if delivery.state == State.FINISHED:
                return [seen[len(seen) * tenth // 10] for tenth in range(10)]
    finally:
        over.set()
        watch.join()
    raise SystemExit(f"not finished: {delivery.get_state_display()} {delivery.hindrance}")


def _watch(seen: list[int], over: threading.Event) -> None:
    """Look at the memory from time to time."""
    while not over.wait(0.05):
        seen.append(_rss())


def _processor(sink: int) -> dict[str, float]:
    """Seconds of processor so far: of this process in its own code and in the kernel, of the database server, and of
    the sink."""
    from .product import server_seconds

    own = resource.getrusage(resource.RUSAGE_SELF)
    ticks = sum(map(int, Path(f"/proc/{sink}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return {
        "ours": own.ru_utime,
        "kernel": own.ru_stime,
        "database": server_seconds(),
        "sink": ticks / os.sysconf("SC_CLK_TCK"),
    }


def _rss() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 2**20


if __name__ == "__main__":
    sys.exit(main())
