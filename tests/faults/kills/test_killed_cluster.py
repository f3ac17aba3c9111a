"""The real cluster under its watchdog, on a database of its own: what is killed comes back, and sends nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import find_program
from tests.postgres import running_postgres
from tests.sink import sink, tally

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
STALE_SECONDS = 10


class Product:
    """The product's guard in a process of its own, and acts on its database through processes like it."""

    def __init__(self, directory: Path, database_url: str, port: int) -> None:
        self.directory, self.port = directory, port
        self.environment = os.environ | {
            "SECRET_KEY": "cluster-" * 8,
            "DATA_DIR": str(directory),
            "HTTPS": "0",
            "LOG_LEVEL": "WARNING",
            "DATABASE_URL": database_url,
            "JOURNAL_DIR": str(directory / "journals"),
            "WORKERS": "2",
            "GUARD_STALE_SECONDS": str(STALE_SECONDS),
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        self.ask("call_command('migrate', verbosity=0)")
        self.guard = subprocess.Popen([sys.executable, "manage.py", "guard"], cwd=ROOT, env=self.environment)

    def ask(self, code: str) -> object:
        """Run code in the product; `answer` is what comes back."""
        program = (
            "import json, django; django.setup()\n"
            "from django.core.management import call_command\n"
            f"answer = None\n{code}\nprint(json.dumps(answer))"
        )
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def confirmed(self, recipients: int) -> object:
        """A new delivery whose date has come: the sweeper must find it. Out: its id."""
        return self.ask(f"""
from campaigns.models import Brand, Campaign, Message
from deliveries.models import Routing
from deliveries.models.states import State
from django.db import transaction
from tests.deliveries.sending.sending_rows import sending_delivery
brand, _ = Brand.objects.get_or_create(label="Acme", sender_name="Acme", sender_address="news@example.com")
message = Message.objects.create(label="M", campaign=Campaign.objects.create(label="C"), brand=brand)
routing, _ = Routing.objects.get_or_create(label="sink", port={self.port}, security="none")
with transaction.atomic():
    answer = sending_delivery(message, routing, {recipients}, 500, state=State.START_PENDING, started_at=None).pk
""")

    def state(self, delivery: object) -> object:
        """(state, in doubt) of a delivery."""
        return self.ask(f"""
from deliveries.models import Batch, Delivery
answer = [Delivery.objects.get(pk={delivery}).state, sum(Batch.objects.values_list("in_doubt", flat=True))]
""")

    def wait_finished(self, delivery: object, seconds: float = 90) -> None:
        """Until the delivery is finished."""
        wait(lambda: self.state(delivery)[0] == 95, seconds, 0.5)  # type: ignore[index]

    def cluster(self) -> list[int]:
        """The cluster's processes: main, sentinel, the two workers, monitor, pusher; [] while it is not complete."""
        main = children(self.guard.pid)
        sentinel = children(main[0]) if main else []
        rest = children(sentinel[0]) if sentinel else []
        return [*main, *sentinel, *rest] if len(rest) == 4 else []


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return sorted(map(int, found))


def wait(condition: Callable[[], object], seconds: float, pause: float = 0.05) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(pause)


@pytest.fixture(params=["sqlite", "postgres"])
def product(request, tmp_path, service) -> Iterator[Product]:
    service("pgrep")
    with sink(tmp_path / "sink") as port:
        if request.param == "sqlite":
            yield from serve(tmp_path, f"sqlite:///{tmp_path}/db.sqlite3", port)
        else:
            service("postgres")
            with running_postgres(find_program("postgres") or "") as url:
                yield from serve(tmp_path, f"{url}postgres", port)


def serve(directory: Path, url: str, port: int) -> Iterator[Product]:
    product = Product(directory, url, port)
    try:
        wait(product.cluster, 60)
        yield product
    finally:
        product.guard.terminate()
        product.guard.wait(15)


def test_what_is_killed_comes_back_and_sends_nothing_twice(product: Product, tmp_path):
    log = tmp_path / "sink" / "accepted.log"
    first = product.confirmed(4000)
    wait(lambda: log.exists() and log.stat().st_size > 20_000, 60)
    os.killpg(product.cluster()[0], signal.SIGKILL)  # everything at once, in the middle of the sending
    product.wait_finished(first)

    os.kill(product.cluster()[2], signal.SIGKILL)  # a worker that has nothing to do: it may hold the queue's lock
    product.wait_finished(product.confirmed(500))

    wait(product.cluster, 60)
    os.kill(product.cluster()[4], signal.SIGKILL)  # the monitor
    last = product.confirmed(500)
    product.wait_finished(last)

    found = tally(tmp_path / "sink")
    doubtful = product.state(last)[1]  # type: ignore[index]
    assert not found.duplicates
    assert found.mismatches == []
    assert 5000 - doubtful <= found.accepted <= 5000
    assert doubtful <= 2 * 8


def test_sigterm_ends_watchdog_and_cluster_within_seconds_and_leaves_no_doubt(product: Product, tmp_path):
    log = tmp_path / "sink" / "accepted.log"
    delivery = product.confirmed(20_000)
    wait(lambda: log.exists() and log.stat().st_size > 20_000, 60)
    processes = product.cluster()
    started = time.monotonic()
    product.guard.terminate()
    product.guard.wait(15)
    assert time.monotonic() - started < 5
    wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes), 5)
    assert product.state(delivery) == [55, 0]
    assert (
        product.ask("from deliveries.models import *; answer = SendingLog.objects.exclude(claim_fence=None).count()")
        == 0
    )


FORGED = """
import os
from datetime import timedelta
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import Schedule
from django_q.signing import SignedPackage
due = timezone.now() - timedelta(minutes=1)
for number, values in enumerate((
    {"func": "os.system", "args": "'touch %s/0'"},
    {"func": "deliveries.workers.tasks.fetch", "hook": "os.system"},
    {"func": "os.system", "kwargs": "{'command': 'touch %s/1', 'q_options': {'sync': True}}"},
)):
    Schedule.objects.create(name=f"Forged {number}", next_run=due, schedule_type="H", repeats=-1, **values)
task = {"id": "1" * 32, "name": "forged", "func": "os.system", "args": ("touch %s/2",), "kwargs": {},
        "started": timezone.now(), "ack_failure": True}
get_broker().enqueue(SignedPackage.dumps(task))
"""

SWITCHED_OFF = "from django_q.models import Schedule\nanswer = Schedule.objects.filter(repeats=0).count()"


def test_a_forged_schedule_and_a_forged_task_run_nothing_on_a_real_cluster(tmp_path, service):
    service("pgrep")
    with sink(tmp_path / "sink") as port:
        for product in serve(tmp_path, f"sqlite:///{tmp_path}/db.sqlite3", port):
            (tmp_path / "ran").mkdir()
            product.ask(FORGED.replace("%s", str(tmp_path / "ran")))
            wait(lambda product=product: product.ask(SWITCHED_OFF) == 3, 90, 1)  # the cluster looks twice a minute
            product.wait_finished(product.confirmed(50))  # and works on
    assert not list((tmp_path / "ran").iterdir())
