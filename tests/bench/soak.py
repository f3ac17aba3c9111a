"""Millions of messages through everything at once, and what is left over: nothing lost, nothing growing.

    python -m tests.bench.soak [--messages 5000000] [--deliveries 5] [--hosts 2]

On PostgreSQL with fsync, the logs split into a partition a delivery: each delivery is prepared, confirmed and sent by
one worker a host (each with journals of its own) into Postfix's smtp-sink, then a quarter of the recipients open the
message. At the end the ledgers are compared with the rows, all logs are purged, and the figures must have stayed.
Prints a line a delivery and a JSON line.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from typing import Any

from .rig import Rig, rig


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.bench.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=5_000_000)
    parser.add_argument("--deliveries", type=int, default=5)
    parser.add_argument("--hosts", type=int, default=2)
    given = parser.parse_args()
    with rig(minutes=600) as made:
        report = soak(made, given)
    print(json.dumps(report))
    if report["lost"] or report["unbalanced"] or not report["figures_stay"]:
        sys.exit("tests.bench.soak: something is not as it must be")


def soak(made: Rig, given: argparse.Namespace) -> dict[str, Any]:
    """Everything, on a database of its own."""
    os.environ |= made.environment | {"DATABASE_URL": made.fresh("soak", "product")}
    import django

    django.setup()
    from django.db import connection

    from deliveries.models.storage import partitions

    from . import product

    each = given.messages // given.deliveries
    product.seed(each)
    message, user = product.written(made.port)
    partitions.split(1)
    sent = [_send(message, user, number, each, given.hosts) for number in range(1, given.deliveries + 1)]
    report: dict[str, Any] = {
        "messages": each * given.deliveries,
        **{name: [told[name] for told in sent] for name in ("per_second", "sender_mb", "prepare_seconds")},
    }
    report |= _compared(each * given.deliveries) | _purged()
    connection.close()
    return report


def _send(message: Any, user: Any, number: int, each: int, hosts: int) -> dict[str, Any]:
    """One delivery from its preparation to its last answer; then some open it."""
    from django.db import connection

    from deliveries.lifecycle import commands, progress

    from .product import prepared, work

    delivery, prepare_seconds = prepared(message, user)
    commands.confirm(delivery, user)
    progress.start(delivery.pk)
    forks = multiprocessing.get_context("spawn")
    start, answers = forks.Barrier(hosts + 1), forks.Queue()
    workers, place = [], os.environ["DATA_DIR"]
    for host in range(hosts):
        os.environ |= {"HOST_ID": f"host-{host}", "JOURNAL_DIR": f"{place}/host-{host}"}
        workers.append(forks.Process(target=work, args=(delivery.pk, start, answers)))
        workers[-1].start()
    connection.close()
    start.wait(120)
    began = time.perf_counter()
    used = [answers.get() for _ in workers]
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.join()
    _open(delivery.pk)
    told = {
        "delivery": number,
        "prepare_seconds": round(prepare_seconds, 1),
        "per_second": round(each / seconds),
        "sender_mb": round(max(mb for _cpu, mb in used)),
    }
    print(", ".join(f"{name} {value}" for name, value in told.items()), file=sys.stderr, flush=True)
    return told


def _open(delivery_id: int) -> None:
    """A quarter of the recipients open it: their tracking logs, as folding them leaves them."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO reporting_trackinglog (delivery_id, sending_log_id, type, at, agent, network, head, machine, "
            "rule, version) SELECT delivery_id, id, 2, CURRENT_TIMESTAMP, 'Mozilla/5.0', '', false, false, '', 1 "
            "FROM deliveries_sendinglog WHERE delivery_id = %s AND id %% 4 = 0",
            [delivery_id],
        )


def _compared(messages: int) -> dict[str, Any]:
    """Counters against rows, of all deliveries."""
    from django.db.models import Count, Q, Sum

    from deliveries.models import Batch, Delivery, SendingLog
    from deliveries.models.states import LogStatus

    rows = SendingLog.objects.aggregate(all=Count("pk"), sent=Count("pk", filter=Q(status=LogStatus.SENT)))
    batches = Batch.objects.aggregate(all=Sum("total"), sent=Sum("sent"))
    ledger = Delivery.objects.aggregate(targeted=Sum("targeted"), out=Sum("excluded"), to_deliver=Sum("to_deliver"))
    balanced = rows == batches and ledger["targeted"] == ledger["out"] + ledger["to_deliver"] == messages
    return {"lost": messages - rows["sent"], "unbalanced": int(not balanced)}


def _purged() -> dict[str, Any]:
    """All logs go, as months later; how long that takes, and whether the figures stay."""
    from django.conf import settings
    from django.db.models import Sum

    from deliveries.models import Batch, Delivery, SendingLog
    from reporting.jobs import retention

    Delivery.objects.update(finished_at="2001-01-01T00:00:00Z")
    settings.KEEP_DELIVERIES_DAYS = 100_000
    before, began = Batch.objects.aggregate(Sum("sent")), time.perf_counter()
    retention.purge(600)
    seconds = time.perf_counter() - began
    stay = Batch.objects.aggregate(Sum("sent")) == before
    return {"purge_seconds": round(seconds, 2), "left": SendingLog.objects.count(), "figures_stay": stay}


if __name__ == "__main__":
    main()
