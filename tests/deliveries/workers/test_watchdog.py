"""The watchdog: starts, restarts and ends its cluster, here any program, by the pulse it can read."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deliveries.models.host import heartbeat
from deliveries.models.host.heartbeat import Heartbeat
from deliveries.workers import watchdog as watchdog_module
from deliveries.workers.watchdog import Watchdog, ask_for_tick, forget_ticks, read_heart


class Heart:
    """What the tests let the watchdog see: `beats` changes with each pulse; `fault` is raised instead."""

    def __init__(self):
        self.beats, self.asked, self.fault = 0, 0, None

    def read(self):
        if self.fault:
            raise self.fault
        return self.beats

    def ask(self):
        self.asked += 1


@pytest.fixture
def heart():
    return Heart()


@pytest.fixture
def watchdog(heart, tmp_path, monkeypatch):
    """watchdog("sh text") guards it; it is ended afterwards."""
    monkeypatch.setattr(watchdog_module, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(watchdog_module, "START_SECONDS", 0.1)
    started = []

    def start(text, stale_after=60.0):
        environment = {**os.environ, heartbeat.STOP_FILE: str(tmp_path / "stop")}
        started.append(
            Watchdog(
                ["sh", "-c", text],
                environment,
                stale_after=stale_after,
                heart=heart.read,
                ask=heart.ask,
                forget=lambda: None,
            )
        )
        started[-1].look()
        return started[-1]

    yield start
    for one in started:
        one._end_in_order()


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def alive(pid):
    """Not a zombie either."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def child_of(one):
    return one._child.process.pid


def test_a_cluster_whose_pulse_stops_is_killed_with_all_its_processes(watchdog, tmp_path):
    one = watchdog(f"sleep 600 & echo $! > {tmp_path}/worker; wait", stale_after=0.2)
    until(lambda: (tmp_path / "worker").exists() and (tmp_path / "worker").read_text().strip())
    main, worker = child_of(one), int((tmp_path / "worker").read_text())
    until(lambda: one.look() or one.restarts)
    assert not alive(main)
    until(lambda: not alive(worker))
    one.look()
    assert alive(child_of(one))


def test_a_cluster_that_never_gave_a_pulse_gets_more_patience_each_time(watchdog):
    one = watchdog("sleep 600", stale_after=0.05)
    until(lambda: one.look() or one.restarts)
    assert one._patience == 0.2
    one.look()
    until(lambda: one.look() or one.restarts == 2)
    assert one._patience == 0.4


def test_a_cluster_with_a_pulse_is_left_alone(watchdog, heart):
    one = watchdog("sleep 600", stale_after=0.3)
    for _ in range(20):
        heart.beats += 1
        one.look()
        time.sleep(0.03)
    assert one.restarts == 0


def test_a_cluster_that_ends_by_itself_is_started_again_ever_more_slowly(watchdog, caplog):
    one = watchdog("exit 3")
    until(lambda: one._child is None or one.look())
    assert "exit code 3" in caplog.text
    assert "trying again in 1 s" in caplog.text
    assert one._backoff == 2.0
    one._start_at = 0.0
    one.look()
    until(lambda: one._child is None or one.look())
    assert "trying again in 2 s" in caplog.text


def test_what_keeps_it_from_starting_is_said_in_one_line(watchdog, heart, caplog):
    heart.fault = RuntimeError("no such table:\n deliveries_heartbeat")
    one = watchdog("sleep 600")
    assert one._child is None
    assert [record.getMessage() for record in caplog.records] == [
        "The cluster cannot start: no such table: deliveries_heartbeat; trying again in 1 s."
    ]


def test_while_the_database_is_away_nothing_is_killed(watchdog, heart):
    one = watchdog("sleep 600", stale_after=0.2)
    heart.fault = RuntimeError("connection refused")
    time.sleep(0.3)
    one.look()
    heart.fault = None
    one.look()
    assert one.restarts == 0


def test_ticks_are_asked_for_one_after_the_other(watchdog, heart, monkeypatch):
    monkeypatch.setattr(watchdog_module, "TICK_SECONDS", 0.0)
    one = watchdog("sleep 600")
    one.look()
    one.look()
    assert heart.asked == 1, "the first was not consumed yet"
    heart.beats += 1
    one.look()
    one.look()
    assert heart.asked == 2


def test_stopping_ends_the_main_process_in_order_and_tells_the_workers(watchdog, tmp_path):
    text = f'trap "test -e {tmp_path}/stop && touch {tmp_path}/told; exit 0" TERM; while :; do sleep 0.05; done'
    one = watchdog(text)
    main = child_of(one)
    time.sleep(0.2)
    one._end_in_order()
    assert (tmp_path / "told").exists()
    assert not alive(main)
    assert not (tmp_path / "stop").exists()


def test_a_cluster_that_does_not_stop_is_killed(watchdog):
    one = watchdog('trap "" TERM; while :; do sleep 0.05; done')
    main = child_of(one)
    time.sleep(0.2)
    one._end_in_order()
    assert not alive(main)


def test_the_cluster_does_not_outlive_a_killed_watchdog(tmp_path):
    program = f"""
import os, time, django
django.setup()
from deliveries.models.host import heartbeat
from deliveries.workers.watchdog import Watchdog
environment = dict(os.environ) | {{heartbeat.STOP_FILE: {str(tmp_path / "stop")!r}}}
one = Watchdog(["sleep", "600"], environment, stale_after=60, heart=int, ask=int, forget=int)
one.look()
print(one._child.process.pid, flush=True)
time.sleep(600)
"""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment, cwd=root) as dog:
        cluster = int(dog.stdout.readline())
        dog.send_signal(signal.SIGKILL)
    until(lambda: not alive(cluster))


@pytest.mark.django_db(transaction=True)
def test_ticks_of_a_killed_cluster_are_dropped_and_other_tasks_kept():
    from django_q.models import OrmQ
    from django_q.tasks import async_task

    ask_for_tick()
    async_task("deliveries.workers.tasks.send_batch", 1)
    forget_ticks()
    assert [queued.func() for queued in OrmQ.objects.all()] == ["deliveries.workers.tasks.send_batch"]


@pytest.mark.django_db
def test_the_heart_is_this_hosts_last_beat(settings):
    Heartbeat.objects.all().delete()
    assert read_heart() is None
    heartbeat._beaten_at = 0.0
    heartbeat.beat()
    first = read_heart()
    heartbeat.beat()
    assert first == read_heart(), "not more often than every two seconds"
    assert Heartbeat.objects.get().host == settings.HOST_ID
