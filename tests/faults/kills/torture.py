"""Kills workers in the middle of a delivery and judges by the counting sink what became of every recipient.

    python -m tests.faults.kills.torture --recipients 20000 --kills 10 --database sqlite --json

Kills come at random (seeded), or with --points at chosen places of the code (tests/faults/kills/worker.py), one after
another. `lost`: neither sent nor in doubt nor told as failed, or told as sent and never accepted. `duplicates`:
accepted twice. `unlisted`: accepted, and told as neither sent nor in doubt. `unbalanced`: samples in which counters and
rows differed. `seconds_to_recover`: from the kill of the last living worker to the next message.

With --hosts each host has its own journals, and others take its batches over once the lease is over; with --stops
workers are also stopped (SIGSTOP) for longer than their lease, and wake up. With --outages PostgreSQL cuts the workers'
connections instead of a kill. --behaviour is the sink's (tests/sink).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import find_program
from tests.postgres import running_postgres
from tests.sink import LOG, sink, tally
from tests.sink.behaviour import Behaviour

from .worker import POINTS, TORN, work

CONNECTIONS = 8
LEASE_SECONDS = 5
SAMPLE_SECONDS = 0.2
PATIENCE = 120.0  # seconds without a new message: something hangs


@dataclass
class Report:
    """What a torture found."""

    database: str
    recipients: int
    kills: int = 0
    workers: int = 1
    accepted: int = 0
    lost: int = 0
    duplicates: int = 0
    mixed_up: int = 0
    unlisted: int = 0
    in_doubt: int = 0
    in_doubt_accepted: int = 0
    poisoned: int = 0
    unbalanced: int = 0
    samples: int = 0
    journals_left: int = 0
    seconds_to_recover: float = 0.0
    seconds: float = 0.0
    stops: int = 0
    refused: int = 0
    broken_lines: int = 0
    points: list[str] = field(default_factory=list)
    state: str = ""

    @property
    def clean(self) -> bool:
        """Nothing lost, doubled, mixed up or miscounted, and doubt within its bound."""
        wrong = (self.lost, self.duplicates, self.mixed_up, self.unlisted, self.unbalanced, self.journals_left)
        bound = CONNECTIONS * (self.kills + self.stops) + self.broken_lines
        return not any(wrong) and self.in_doubt <= bound and self.state == "Finished"


@contextmanager
def place(database: str) -> Iterator[Path]:
    """A fresh directory and database, named in the environment that workers inherit."""
    server = running_postgres(find_program("postgres") or "") if database == "postgres" else nullcontext("")
    with tempfile.TemporaryDirectory(prefix="torture-") as directory, server as url:
        os.environ |= {
            "SECRET_KEY": "torture-" * 8,
            "DATA_DIR": directory,
            "HTTPS": "0",
            "HOST_ID": "torture",
            "LOG_LEVEL": "ERROR",
            "DATABASE_URL": f"{url}postgres" if url else f"sqlite:///{directory}/db.sqlite3",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "JOURNAL_DIR": f"{directory}/journals",
            "LEASE_SECONDS": str(LEASE_SECONDS),
        }
        yield Path(directory)


class Torture:
    """One delivery, its workers and their executioner."""

    def __init__(self, report: Report, directory: Path, given: argparse.Namespace) -> None:
        self.report, self.directory, self.given = report, directory, given
        self.random = random.Random(given.seed)
        self.workers: list[Any] = []
        self.hosts = [f"host{number}" for number in range(given.hosts)]
        self.forks = multiprocessing.get_context("forkserver")
        self.forks.set_forkserver_preload(["tests.faults.kills.loaded"])
        self.log = directory / "sink" / LOG
        self.killed_at = self.sampled_at = 0.0

    def run(self) -> Report:
        """Torture until the delivery has ended and everything is settled."""
        started = time.monotonic()
        with sink(self.directory / "sink", "--behaviour", self.given.behaviour) as port:
            self.delivery = _delivery(self.report.recipients, self.given.batch, port)
            try:
                self._kill_some(self.given.kills)
                self._let_finish()
            finally:
                for worker in self.workers:
                    worker.kill()
                    worker.join()
        self.report.seconds = round(time.monotonic() - started, 1)
        self._judge()
        return self.report

    def accepted(self) -> int:
        """Octets of the sink's notes: they grow with every message."""
        return self.log.stat().st_size if self.log.exists() else 0

    def _kill_some(self, kills: int) -> None:
        places = [*POINTS, TORN]
        while self.report.kills < kills and not self._ended():
            point = places[self.report.kills % len(places)] if self.given.points else ""
            self._staff(point)
            if point:
                died = self._wait_for_death()
            else:
                died = self._wait_for_messages(self.random.uniform(0, 1.6 * self.report.recipients / (kills + 1)))
            if not died:
                return
            if self.given.stops and self.random.random() < 0.5:
                self._stop_one()
            if self.given.outages:
                self._cut_database()
            else:
                self._kill_one()
            self.report.points += [point] if point else []

    def _staff(self, point: str = "") -> None:
        """Hire until every host has its workers."""
        there = [worker.name for worker in self.workers]
        for host in self.hosts:
            for _ in range(self.report.workers - there.count(host)):
                count = self.random.choice([1, 1, 2, 3])
                worker = self.forks.Process(target=work, args=(host, point, count), name=host)
                worker.start()
                self.workers.append(worker)

    def _stop_one(self) -> None:
        """Let one sleep past its lease, in the middle of whatever it does."""
        sleeper = self.random.choice(self.workers)
        if sleeper.is_alive():
            os.kill(sleeper.pid, signal.SIGSTOP)
            until = time.monotonic() + LEASE_SECONDS + 2
            self._wait(lambda: time.monotonic() > until)
            os.kill(sleeper.pid, signal.SIGCONT)
            self.report.stops += 1

    def _cut_database(self) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        self.report.kills += 1

    def _wait_for_messages(self, number: float) -> bool:
        """Until so many more messages came; False if the delivery ended first."""
        each = max(1, self.accepted() // max(1, tally(self.directory / "sink").accepted)) if self.accepted() else 90
        goal = self.accepted() + number * each
        return self._wait(lambda: self.accepted() >= goal)

    def _wait_for_death(self) -> bool:
        return self._wait(lambda: any(worker.exitcode == -signal.SIGKILL for worker in self.workers))

    def _wait(self, condition) -> bool:
        before, since = self.accepted(), time.monotonic()
        while not condition():
            codes = [worker.exitcode for worker in self.workers]
            if all(code == 0 for code in codes):
                return False
            if any(code not in (None, 0, -signal.SIGKILL) for code in codes):
                raise RuntimeError(f"a worker ended by itself: {codes}")
            now, here = time.monotonic(), self.accepted()
            if here != before:
                self._note_recovery(now)
                before, since = here, now
            if now - since > PATIENCE:
                raise TimeoutError(f"no message for {PATIENCE:.0f} s; {self.report}")
            self._sample(now)
            time.sleep(0.002)
        return True

    def _note_recovery(self, now: float) -> None:
        if self.killed_at:
            took = round(now - self.killed_at, 2)
            self.report.seconds_to_recover = max(self.report.seconds_to_recover, took)
            self.killed_at = 0.0

    def _kill_one(self) -> None:
        dead = [worker for worker in self.workers if worker.exitcode == -signal.SIGKILL]
        victim = dead[0] if dead else self.random.choice(self.workers)
        victim.kill()
        victim.join()
        self.workers.remove(victim)
        self.report.kills += 1
        if not self.workers:
            self.killed_at = time.monotonic()

    def _let_finish(self) -> None:
        self._staff()
        self._wait(self._ended)
        for worker in self.workers:
            worker.join(30)
        self.workers = []
        self._settle()

    def _ended(self) -> bool:
        from deliveries.models.states import ENDED

        self.delivery.refresh_from_db(fields=["state"])
        return self.delivery.state in ENDED and not self.delivery.batches.filter(lease_until__isnull=False).exists()

    def _settle(self) -> None:
        """Every host comes back and collects its journals: what others had to doubt it may know."""
        from django.conf import settings

        from campaigns.core import queue
        from deliveries.sending import recovery

        queue.enqueue = lambda task, *values: None  # there is no cluster that would answer; workers sweep
        for _ in range(3):
            for host in self.hosts:
                settings.HOST_ID = host
                recovery.collect_leftovers(Path(os.environ["JOURNAL_DIR"]) / host)
            self._staff()
            self._wait(self._ended)
            for worker in self.workers:
                worker.join(30)
            self.workers = []

    def _sample(self, now: float) -> None:
        if now - self.sampled_at >= SAMPLE_SECONDS:
            self.sampled_at = now
            self.report.samples += 1
            self.report.unbalanced += bool(unbalanced())
            hurry()

    def _judge(self) -> None:
        from deliveries.models import SendingLog
        from deliveries.models.states import LogStatus, Reason

        report, found = self.report, tally(self.directory / "sink")
        rows = dict(SendingLog.objects.values_list("address", "status"))
        by_status = {status: {a for a, s in rows.items() if s == status} for status in LogStatus}
        accepted = set(found.recipients)
        told = by_status[LogStatus.SENT] | by_status[LogStatus.IN_DOUBT]
        poisoned = set(SendingLog.objects.filter(reason=Reason.NOT_BUILT).values_list("address", flat=True))
        report.accepted, report.mixed_up = found.accepted, len(found.mismatches)
        report.duplicates = sum(n - 1 for n in found.recipients.values())
        refused = by_status[LogStatus.FAILED] - poisoned
        report.refused = len(refused)
        report.lost = len(by_status[LogStatus.SENT] - accepted) + len(set(rows) - told - poisoned - refused)
        report.unlisted = len(accepted - told)
        report.in_doubt = len(by_status[LogStatus.IN_DOUBT])
        report.in_doubt_accepted = len(by_status[LogStatus.IN_DOUBT] & accepted)
        report.poisoned = len(poisoned)
        report.unbalanced += bool(unbalanced())
        left = Path(os.environ["JOURNAL_DIR"])
        report.journals_left = len([*left.glob("*/*.journal"), *left.glob("*/*.lock")])
        lines = Behaviour.parse(self.given.behaviour)
        every = [lines.lose, lines.drop_before, lines.hang, lines.nonsense]
        report.broken_lines = sum(found.accepted // number + 1 for number in every if number)
        report.state = str(self.delivery.get_state_display())


def unbalanced(delivery_id: int | None = None) -> list[int]:
    """Batches, of one delivery or of all, whose counters differ from their rows, in one statement and so at one
    moment."""
    from django.db import connection

    here = "" if delivery_id is None else f"WHERE delivery_id = {delivery_id:d} AND batch_id IS NOT NULL"
    sql = f"""
        SELECT b.id FROM deliveries_batch b JOIN (
            SELECT batch_id, COUNT(*) AS total,
                SUM(CASE WHEN status = 0 THEN 1 ELSE 0 END) AS pending,
                SUM(CASE WHEN status = 1 THEN 1 ELSE 0 END) AS sent,
                SUM(CASE WHEN status = 2 THEN 1 ELSE 0 END) AS failed,
                SUM(CASE WHEN status = 5 THEN 1 ELSE 0 END) AS in_doubt,
                SUM(CASE WHEN relayed_at IS NULL THEN 0 ELSE 1 END) AS relayed
            FROM deliveries_sendinglog {here} GROUP BY batch_id) r ON r.batch_id = b.id
        WHERE (b.total, b.pending, b.sent, b.failed, b.in_doubt, b.relayed)
           <> (r.total, r.pending, r.sent, r.failed, r.in_doubt, r.relayed)"""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [row[0] for row in cursor.fetchall()]


def _delivery(recipients: int, batch: int, port: int):
    from django.core.management import call_command

    from campaigns.models import Brand, Campaign, Message
    from deliveries.models import Routing
    from tests.deliveries.sending.sending_rows import sending_delivery

    call_command("migrate", verbosity=0)
    brand = Brand.objects.create(
        label="Acme", sender_name="Acme", sender_address="news@example.com", sender_domains="*"
    )
    message = Message.objects.create(label="Torture", campaign=Campaign.objects.create(label="Torture"), brand=brand)
    routing = Routing.objects.create(label="sink", port=port, security="none", connections=CONNECTIONS)
    return sending_delivery(message, routing, recipients, batch)


def hurry() -> None:
    """Let what was put off for later be due now."""
    from django.db.models import Q
    from django.utils import timezone

    from deliveries.models import Batch, SendingLog

    now = timezone.now()
    SendingLog.objects.filter(Q(due_at__gt=now), claim_fence=None).update(due_at=now)
    Batch.objects.filter(next_due_at__gt=now, lease_until=None).update(next_due_at=now)


def torture(given: argparse.Namespace) -> Report:
    """Torture one delivery in this process's Django. In a process of its own: it changes the environment."""
    with place(given.database) as directory:
        import django
        from django.db import connection

        django.setup()
        report = Report(database=given.database, recipients=given.recipients, workers=given.workers)
        try:
            return Torture(report, directory, given).run()
        finally:
            connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.faults.kills.torture", description=__doc__)
    parser.add_argument("--recipients", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--workers", type=int, default=1, help="of each host")
    parser.add_argument("--hosts", type=int, default=1)
    parser.add_argument("--stops", action="store_true")
    parser.add_argument("--outages", action="store_true")
    parser.add_argument("--behaviour", default="accept")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--points", action="store_true", help="kill at chosen places of the code")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    report = torture(given)
    shown = asdict(report) | {"clean": report.clean}
    print(json.dumps(shown) if given.json else "\n".join(f"{name:20}{value}" for name, value in shown.items()))
    sys.exit(0 if report.clean else 1)


if __name__ == "__main__":
    main()
