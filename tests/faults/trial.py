"""One fault, tried on one delivery: it begins, the fault is done, and the sink tells what became of every recipient."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.sink import LOG

from .cluster import Cluster, Host, wait
from .faults import Fault

AT_REST = 120.0  # seconds that it may take to come to rest
RECOVERED = 60.0
SAMPLE_SECONDS = 0.2


@dataclass
class Verdict:
    """What became of one trial. `lost`: told as sent and never accepted, or not told at all; `unlisted`: accepted, and
    told as neither sent nor in doubt; `seconds_to_recover`: from the end of the fault until all was settled."""

    fault: str
    database: str
    broker: str
    recipients: int = 0
    accepted: int = 0
    lost: int = 0
    duplicates: int = 0
    mixed_up: int = 0
    unlisted: int = 0
    in_doubt: int = 0
    doubt_allowed: int = 0
    unbalanced: int = 0
    samples: int = 0
    poisoned: int = 0
    seconds_to_recover: float = 0.0
    seconds: float = 0.0
    state: str = ""
    wrong: str = ""
    skipped: str = ""

    @property
    def clean(self) -> bool:
        """Whether it is as it must be; a trial that could not be made is not unclean."""
        counts = (self.lost, self.duplicates, self.mixed_up, self.unlisted, self.unbalanced)
        return bool(self.skipped) or not (
            any(counts) or self.wrong or self.in_doubt > self.doubt_allowed or self.seconds_to_recover > RECOVERED
        )


class Trial:
    """A delivery on a Cluster, and a fault."""

    def __init__(self, cluster: Cluster, fault: Fault, verdict: Verdict) -> None:
        self.cluster, self.fault, self.verdict = cluster, fault, verdict
        self.host = cluster.host
        self.offset = cluster.noted()
        self.sampled_at = 0.0
        self.started = False
        self.sink_was = cluster.sink_address
        self.delivery: Any = None

    def run(self) -> None:
        """Everything; the Cluster is as before when it returns."""
        began = time.monotonic()
        try:
            self._run()
        finally:
            self._tidy()
            self.verdict.seconds = round(time.monotonic() - began, 1)

    def _run(self) -> None:
        self.cluster.mood(self.fault.behaviour)
        wait(self._ready, 90)
        self.delivery = _delivery(self.cluster, self.fault.recipients)
        if not self.fault.early:
            self.start()
            self.wait_messages(self.fault.recipients // 10)
        self.fault.act(self)
        self.start()
        done = time.monotonic()
        try:
            wait(self._at_rest, AT_REST, 0.1)
        except TimeoutError:
            self.verdict.wrong = f"not {self.fault.ends} after {AT_REST:.0f} s"
        self.verdict.seconds_to_recover = round(time.monotonic() - done, 1)
        self._judge()

    # What faults do

    def start(self) -> None:
        """Let the delivery begin, if it has not: as if it were confirmed now."""
        from campaigns.core import queue
        from deliveries.models.states import State

        if not self.started:
            self.started = True
            type(self.delivery).objects.filter(pk=self.delivery.pk).update(state=State.START_PENDING)
            queue.enqueue(queue.Task.START_DELIVERY, self.delivery.pk)

    def pass_time(self, seconds: float) -> None:
        """Look on."""
        until = time.monotonic() + seconds
        wait(lambda: self._look() or time.monotonic() > until, seconds + 30)

    def wait_messages(self, number: int) -> None:
        """Until so many more messages were accepted."""
        goal = self.cluster.noted() + number * 80
        wait(lambda: self._look() or self.cluster.noted() >= goal, 60)

    def wait_holder(self, name: str) -> None:
        """Until that host works on a batch, and has sent some of it."""
        held = self.delivery.batches.filter(holder=name, lease_until__isnull=False, sent__gt=20)
        wait(lambda: self._look() or held.exists(), 60)

    def second(self, prefix: list[str] | None = None, database: str = "") -> None:
        """Another host, at work."""
        from django.db import connection

        if database:
            self.cluster.environment["DATABASE_URL"] = database
        host = self.cluster.second(prefix)
        connection.close()
        wait(lambda: self._look() or host.processes(), 60)

    def replace_host(self, program: list[str]) -> None:
        """The same host with another program."""
        self.host.stop()
        self.host.program = program
        self.host.start()

    def move_sink(self, address: str) -> None:
        """The mail server answers elsewhere."""
        from deliveries.models import Routing

        self.cluster.kill_sink()
        self.cluster.sink_address = address
        self.cluster.start_sink(self.fault.behaviour)
        self.close_database()
        Routing.objects.update(host=address)

    def close_database(self) -> None:
        """Let go of the database."""
        from django.db import connection

        connection.close()

    # Looking on

    def _ready(self) -> bool:
        self.cluster.keep()
        return bool(self.host.processes())

    def _look(self) -> None:
        """The service manager's round, and a sample of the ledgers; the database may be away."""
        from django.db import DatabaseError, connection

        now = time.monotonic()
        if now - self.sampled_at < SAMPLE_SECONDS or self.delivery is None:
            return
        self.sampled_at = now
        self.cluster.keep()
        try:
            self.verdict.unbalanced += bool(unbalanced(self.delivery.pk))
            self.verdict.samples += 1
        except DatabaseError:
            connection.close()

    def _at_rest(self) -> bool:
        from django.db import DatabaseError, connection

        from deliveries.models import Delivery

        self._look()
        try:
            self.delivery = Delivery.objects.get(pk=self.delivery.pk)
            held = self.delivery.batches.filter(lease_until__isnull=False).exists()
            doubt = sum(self.delivery.batches.values_list("in_doubt", flat=True))
        except (DatabaseError, Delivery.DoesNotExist):
            connection.close()
            return False
        hosts_back = all(host.guard is not None and host.processes() for host in self.cluster.hosts)
        settled = len(self.cluster.hosts) == 1 or doubt <= self.fault.doubt  # a host's own journals may yet tell
        return str(self.delivery.get_state_display()) == self.fault.ends and not held and hosts_back and settled

    def _judge(self) -> None:
        from deliveries.models import SendingLog
        from deliveries.models.states import LogStatus, Reason

        verdict, lines = self.verdict, self._accepted_lines()
        accepted = Counter(line[1].lower() for line in lines)
        rows = SendingLog.objects.filter(delivery=self.delivery)
        of = {s: set(rows.filter(status=s).values_list("address", flat=True)) for s in LogStatus}
        told = of[LogStatus.SENT] | of[LogStatus.IN_DOUBT]
        poisoned = set(rows.filter(reason=Reason.NOT_BUILT).values_list("address", flat=True))
        everybody = set(rows.values_list("address", flat=True))
        verdict.recipients, verdict.accepted = len(everybody), len(accepted)
        verdict.duplicates = sum(accepted.values()) - len(accepted)
        verdict.mixed_up = sum(line[1].lower() != line[2].lower() for line in lines)
        verdict.in_doubt, verdict.doubt_allowed = len(of[LogStatus.IN_DOUBT]), self.fault.doubt
        verdict.lost = len(of[LogStatus.SENT] - set(accepted))
        verdict.poisoned, verdict.state = len(poisoned), str(self.delivery.get_state_display())
        verdict.unbalanced += bool(unbalanced(self.delivery.pk))
        if self.fault.ends == "Finished":
            verdict.lost += len(everybody - told - poisoned)
            verdict.unlisted = len(set(accepted) - told)
        if verdict.poisoned != self.fault.poisoned:
            verdict.wrong = verdict.wrong or f"{verdict.poisoned} rows count as poison"

    def _accepted_lines(self) -> list[list[str]]:
        with (self.cluster.directory / "sink" / LOG).open("rb") as log:
            log.seek(self.offset)
            return [line.split("\t") for line in log.read().decode(errors="replace").splitlines()]

    def _tidy(self) -> None:
        """Nothing of this trial may reach into the next."""
        from django.db import connection

        from deliveries.lifecycle import commands
        from deliveries.models import Delivery, Routing
        from deliveries.models.states import ENDED

        cluster = self.cluster
        if cluster.preload:
            cluster.set_clock(0)
        cluster.dismiss_second()
        if self.host.program != (usual := Host("", cluster.environment).program):
            self.replace_host(usual)
        connection.close()
        if cluster.link is not None:
            cluster.link.kill()
            cluster.link = None
            cluster.environment["DATABASE_URL"] = self.host.environment["DATABASE_URL"]
        if cluster.sink_address != self.sink_was:
            self.move_sink(self.sink_was)
        cluster.mood("accept")
        for delivery in Delivery.objects.filter(pk=getattr(self.delivery, "pk", None)):
            if delivery.state not in ENDED:
                commands.stop(delivery, _user())
        Routing.objects.update(enabled=True)


def unbalanced(delivery_id: int) -> bool:
    """Whether a batch's counters differ from its rows, in one statement and so at one moment."""
    from tests.faults.kills.torture import unbalanced as everywhere

    return bool(everywhere(delivery_id))


def _user() -> Any:
    from django.contrib.auth.models import User

    return User.objects.get_or_create(username="torture", defaults={"is_superuser": True, "is_staff": True})[0]


def _delivery(cluster: Cluster, recipients: int) -> Any:
    """A delivery whose date has come, not yet to be found by the sweeper. Retries come after a second, as the routing
    says: how long they wait is not what is tried here."""
    from datetime import timedelta

    from django.db import transaction

    from campaigns.models import Brand, Campaign, Message
    from deliveries.models import Routing
    from deliveries.models.states import State
    from tests.deliveries.sending.sending_rows import sending_delivery

    brand, _ = Brand.objects.get_or_create(label="Acme", sender_name="Acme", sender_address="news@example.com")
    message = Message.objects.create(label="M", campaign=Campaign.objects.create(label="C"), brand=brand)
    second = timedelta(seconds=1)
    routing, _ = Routing.objects.get_or_create(
        label="sink",
        defaults={
            "security": "none",
            "port": cluster.sink_port,
            "connections": 8,
            "retry_first_day": 0,
            "retry_gap": second,
            "retry_every": second,
            "breaker_hard": 0,
        },
    )
    with transaction.atomic():
        return sending_delivery(
            message, routing, recipients, max(100, recipients // 4), state=State.READY, started_at=None
        )
