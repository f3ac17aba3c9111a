"""The faults, as a table: what is done in the middle of a delivery, and how much doubt it may leave.

Each gets a trial (tests/faults/trial.py): a Cluster with a delivery that is on its way, unless it is `early`.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.conftest import find_program

from .cluster import CONNECTIONS, LEASE_SECONDS, NETWORK, WORKERS, CannotBe

if TYPE_CHECKING:
    from .trial import Trial

BOTH = ("sqlite", "postgres")
ALL = CONNECTIONS * WORKERS
WINDOWS = 375 * WORKERS  # rows that all workers have claimed at one moment: CLAIM_WINDOW and half of it

LONG: dict[str, Any] = {"recipients": 4000, "behaviour": "slow=30"}  # so that each worker of two hosts has a batch


@dataclass(frozen=True)
class Fault:
    """`doubt`: rows that may be in doubt at the end, each a message under way; `early`: done before the delivery
    starts; `ends`: the state in which it must come to rest; `quick`: on which database the brief form does it, ""
    if it takes too long."""

    name: str
    act: Callable[[Trial], None]
    doubt: int = 0
    early: bool = False
    databases: tuple[str, ...] = BOTH
    brokers: tuple[str, ...] = ("orm", "redis")
    recipients: int = 1500
    behaviour: str = "slow=15"
    ends: str = "Finished"
    poisoned: int = 0
    quick: str = ""


FAULTS: dict[str, Fault] = {}


def fault(name: str, doubt: int = 0, **more: Any) -> Callable[[Callable[[Trial], None]], Callable[[Trial], None]]:
    """Enter the function into the table."""

    def enter(act: Callable[[Trial], None]) -> Callable[[Trial], None]:
        FAULTS[name] = Fault(name, act, doubt, **more)
        return act

    return enter


# Processes


@fault("SIGKILL of a busy worker", CONNECTIONS, quick="sqlite")
def _busy_worker(trial: Trial) -> None:
    trial.host.kill("worker")


@fault("SIGKILL of an idle worker", early=True, quick="postgres")
def _idle_worker(trial: Trial) -> None:
    trial.host.kill("worker")


@fault("SIGKILL of the monitor", quick="sqlite")
def _monitor(trial: Trial) -> None:
    trial.host.kill("monitor")


@fault("SIGKILL of the guard", ALL, quick="postgres")
def _guard(trial: Trial) -> None:
    trial.host.guard.kill()  # type: ignore[union-attr]


@fault("SIGKILL of main", ALL, quick="sqlite")
def _main(trial: Trial) -> None:
    trial.host.kill("main")


@fault("SIGKILL of the whole group", ALL, quick="postgres")
def _group(trial: Trial) -> None:
    trial.host.kill_group()


@fault("SIGTERM of main", quick="postgres")
def _term_main(trial: Trial) -> None:
    trial.host.kill("main", signal.SIGTERM)


@fault("SIGTERM of the whole group", ALL, quick="sqlite")
def _term_group(trial: Trial) -> None:
    trial.host.kill_group(signal.SIGTERM)


@fault("SIGSTOP past the lease and back", CONNECTIONS, databases=("postgres",), quick="postgres", early=True, **LONG)
def _sleeper(trial: Trial) -> None:
    """Another host takes the batch over while its worker sleeps; that one wakes and must keep still."""
    trial.second()
    trial.start()
    trial.wait_holder("host1")
    pid = trial.host.kill("worker", signal.SIGSTOP)
    trial.pass_time(LEASE_SECONDS + 2)
    os.kill(pid, signal.SIGCONT)


@fault("SIGSTOP past the lease and back, one host", CONNECTIONS, databases=("sqlite",), quick="sqlite")
def _sleeper_alone(trial: Trial) -> None:
    pid = trial.host.kill("worker", signal.SIGSTOP)
    trial.pass_time(LEASE_SECONDS + 2)
    os.kill(pid, signal.SIGCONT)


# Database and broker


@fault("PostgreSQL restarts at once", databases=("postgres",), quick="postgres")
def _postgres_restart(trial: Trial) -> None:
    trial.cluster.stop_postgres()
    trial.cluster.start_postgres()


@fault("PostgreSQL is away for 30 s", databases=("postgres",), quick="postgres")
def _postgres_away(trial: Trial) -> None:
    trial.cluster.stop_postgres()
    time.sleep(5 if trial.cluster.brief else 30)
    trial.cluster.start_postgres()


@fault("Redis FLUSHALL, again and again", brokers=("redis",), quick="postgres")
def _flushall(trial: Trial) -> None:
    import redis

    broker = redis.Redis.from_url(trial.cluster.environment["BROKER_URL"])
    for _ in range(20):
        broker.flushall()
        trial.pass_time(0.1)


@fault("the same task 100 times, on two clusters", quick="sqlite", early=True)
def _tasks(trial: Trial) -> None:
    from django_q.tasks import async_task

    trial.second()
    trial.start()
    batches = list(trial.delivery.batches.values_list("pk", flat=True))
    for number in range(100):
        async_task("deliveries.workers.tasks.send_batch", batches[number % 2], q_options={"group": "send_batch"})


# The mail server


@fault("the mail server restarts", ALL, quick="sqlite")
def _sink_restart(trial: Trial) -> None:
    trial.cluster.kill_sink()
    trial.pass_time(1)
    trial.cluster.start_sink(trial.fault.behaviour)


@fault("the mail server hangs, then is restarted", ALL, quick="postgres")
def _sink_hangs(trial: Trial) -> None:
    trial.cluster.sink.send_signal(signal.SIGSTOP)  # type: ignore[union-attr]
    trial.pass_time(4 if trial.cluster.brief else 20)
    trial.cluster.kill_sink()
    trial.cluster.start_sink(trial.fault.behaviour)


@fault("drops before the final 250", 20, behaviour="slow=5,drop-before=100", quick="sqlite")
def _drop_before(trial: Trial) -> None:
    """Every hundredth message, all along: each is in doubt, and no other."""


@fault("drops after the final 250", ALL, behaviour="slow=5,drop-after=100", quick="postgres")
def _drop_after(trial: Trial) -> None:
    """Every hundredth message, all along; the next envelope that rode behind the dot must be sent again."""


@fault("421 storms", quick="sqlite")
def _storm(trial: Trial) -> None:
    for _ in range(3):
        trial.cluster.mood("storm")
        trial.pass_time(0.5)
        trial.cluster.mood("storm=40,slow=5")
        trial.pass_time(0.5)
    trial.cluster.mood("accept")


@fault("30 % are answered 452, then recovery", behaviour="full=30,slow=5", quick="postgres")
def _full(trial: Trial) -> None:
    trial.wait_messages(500)
    trial.cluster.mood("accept")


# The machine


@fault("the journals' disk is full", quick="sqlite", recipients=5000)
def _journals_full(trial: Trial) -> None:
    empty = trial.cluster.fill("journals")
    trial.pass_time(3)
    empty()


@fault("the database's disk is full", quick="postgres", recipients=5000)
def _database_full(trial: Trial) -> None:
    empty = trial.cluster.fill("data")
    trial.pass_time(3)
    empty()


@fault("the clock jumps an hour ahead", quick="postgres")
def _clock_ahead(trial: Trial) -> None:
    trial.cluster.set_clock(3600)


@fault("the clock jumps an hour back", quick="sqlite")
def _clock_back(trial: Trial) -> None:
    trial.cluster.set_clock(-3600)


@fault("a poison recipient", poisoned=1, early=True, recipients=300, behaviour="accept")
def _poison(trial: Trial) -> None:
    """Whichever worker builds this recipient's message dies."""
    trial.replace_host(["-m", "tests.faults.poisoned", "guard"])


@fault("two hosts, the link cut and healed", ALL, databases=("postgres",), brokers=("orm",), early=True, **LONG)
def _cut(trial: Trial) -> None:
    """The cut host can reach neither the database nor the mail server, and its lines hang without a word."""
    cluster = trial.cluster
    there = cluster.lay_cable()
    cluster.stop_postgres()
    cluster.start_postgres()  # it answers at the new address too
    trial.move_sink(f"{NETWORK}.1")
    trial.second(there, f"postgres://tests@{NETWORK}.1:{cluster.postgres.port}/postgres")  # type: ignore[union-attr]
    trial.start()
    trial.wait_holder("host2")
    cluster.cable("down")
    trial.pass_time(LEASE_SECONDS + 3)
    cluster.cable("up")


@fault("an older copy of the database is restored", WINDOWS, ends="Paused", quick="sqlite", recipients=1600)
def _restored(trial: Trial) -> None:
    """As config/docs/operations.md says: a copy while it runs, restored later. Nothing more may leave before
    somebody has looked; what was claimed when the copy was made has no journal any more and is in doubt."""
    put_back = _copy_sqlite(trial) if trial.cluster.database == "sqlite" else _copy_postgres(trial)
    trial.wait_messages(200)
    trial.host.stop()
    trial.close_database()
    put_back()
    trial.host.start()


def _copy_sqlite(trial: Trial) -> Callable[[], None]:
    place, copy = trial.cluster.directory / "data" / "db.sqlite3", trial.cluster.directory / "copy.sqlite3"
    source, target = sqlite3.connect(place), sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.close()

    def put_back() -> None:
        for old in place.parent.glob("db.sqlite3*"):
            old.unlink()
        place.write_bytes(copy.read_bytes())

    return put_back


def _copy_postgres(trial: Trial) -> Callable[[], None]:
    copy, port = str(trial.cluster.directory / "copy"), str(trial.cluster.postgres.port)  # type: ignore[union-attr]
    programs = {name: find_program(name) for name in ("pg_dump", "dropdb", "createdb", "pg_restore")}
    if None in programs.values():
        raise CannotBe("PostgreSQL's client programs are not installed")

    def run(name: str, *flags: str) -> None:
        here = ("-h", "127.0.0.1", "-p", port, "-U", "tests")
        subprocess.run([str(programs[name]), *here, *flags], check=True)

    def put_back() -> None:
        run("dropdb", "--force", "--maintenance-db=template1", "postgres")
        run("createdb", "--maintenance-db=template1", "postgres")
        run("pg_restore", "-d", "postgres", copy)

    run("pg_dump", "-Fc", "-f", copy, "postgres")
    return put_back


def chosen(names: list[str], database: str, broker: str, *, brief: bool) -> list[Fault]:
    """Those of the table that are asked for and can be on this database and broker; `brief`: each on one alone."""
    found = [FAULTS[name] for name in names] if names else list(FAULTS.values())
    found = [each for each in found if database in each.databases and broker in each.brokers]
    return [each for each in found if names or not brief or each.quick == database]
