"""The watchdog: runs the django-q2 cluster as a child and restarts it, whole, when its tasks stop running.

A killed worker can leave the cluster alive and deaf (it dies holding the queue's lock). So the watchdog asks for a tick
every few seconds and watches the heartbeat that tasks write; a pulse that stops means SIGKILL for the whole process
group and a fresh start. Whatever was cut off is taken up again by the sweeper. It needs one watchdog a host.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import close_old_connections
from django_q.models import OrmQ

from campaigns.core import queue
from deliveries.models.host import heartbeat
from deliveries.models.host.heartbeat import LOST_SECONDS, Heartbeat

logger = logging.getLogger("deliveries.workers.watchdog")

TICK_SECONDS = 3.0  # between two ticks
LOOK_SECONDS = 0.5
STOP_SECONDS = 2.5  # for running tasks to hand over; sends do within one
START_SECONDS = 60.0  # for the first task of a fresh cluster; doubled when that was not enough
STABLE_SECONDS = 20.0  # a cluster that lived so long counts as started
LONGEST_BACKOFF = 60.0
_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    since: float


class Watchdog:
    """Keeps one cluster running until `stop` is asked for."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        stale_after: float,
        heart: Callable[[], Any],
        ask: Callable[[], Any],
        forget: Callable[[], Any],
    ) -> None:
        """`command` runs the cluster. `heart` gives a value that changes with each pulse, `ask` enqueues a tick,
        `forget` drops ticks of a cluster that was killed; the three may raise while the database is away."""
        self.command, self.stale_after = command, stale_after
        self.heart, self.ask, self.forget = heart, ask, forget
        self.stop_file = Path(environment[heartbeat.STOP_FILE])
        self.environment = dict(environment)
        self.stopping = False
        self.restarts = 0
        self._child: _Child | None = None
        self._start_at, self._backoff = 0.0, 1.0
        self._beat: Any = None
        self._beat_at = self._asked_at = 0.0
        self._first, self._patience = True, START_SECONDS  # before the first pulse of a cluster
        self._blind = False  # the database cannot be read: nothing can be said about the pulse

    def stop(self, *_: object) -> None:
        """Ask the watchdog to end; fit for a signal handler."""
        self.stopping = True

    def run(self) -> None:
        """Guard until stop() is called; the cluster is gone when this returns."""
        self.stop_file.unlink(missing_ok=True)
        try:
            while not self.stopping:
                self.look()
                time.sleep(LOOK_SECONDS)
        finally:
            self._end_in_order()

    def look(self) -> None:
        """One round: start or restart what has to be, ask for a tick, watch the pulse."""
        now = time.monotonic()
        if self._child is None:
            if now >= self._start_at:
                self._start(now)
        elif (code := self._child.process.poll()) is not None:
            self._ended(code, now)
        else:
            self._watch(now)

    def _start(self, now: float) -> None:
        try:
            self.forget()
            self._beat = self.heart()
        except Exception as error:  # whatever keeps the database or the broker away
            self._put_off(now, f"The cluster cannot start: {_one_line(error)}")
            return
        process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_parent(os.getpid()),
        )
        logger.info("The cluster is started (process %s).", process.pid)
        self._child = _Child(process, now)
        self._beat_at = now
        self._asked_at = 0.0
        self._first, self._blind = True, False

    def _ended(self, code: int, now: float) -> None:
        assert self._child is not None
        lived = now - self._child.since
        self._kill_group()
        self._put_off(now, f"The cluster ended by itself after {lived:.0f} s ({_exit(code)})", lived)

    def _put_off(self, now: float, words: str, lived: float = 0.0) -> None:
        if lived >= STABLE_SECONDS:
            self._backoff = 1.0
        logger.error("%s; trying again in %.0f s.", words, self._backoff)
        self._start_at = now + self._backoff
        self._backoff = min(LONGEST_BACKOFF, self._backoff * 2)

    def _watch(self, now: float) -> None:
        assert self._child is not None
        try:
            beat = self.heart()
            if self._wants_tick(now, beat):
                self.ask()
                self._asked_at = now
        except Exception as error:
            if not self._blind:
                logger.error("The pulse cannot be read: %s", _one_line(error))
            self._blind = True
            return
        if beat != self._beat:
            self._first, self._patience = False, START_SECONDS
        if beat != self._beat or self._blind:
            self._beat, self._beat_at, self._blind = beat, now, False
            if now - self._child.since >= STABLE_SECONDS:
                self._backoff = 1.0
        elif now - self._beat_at > self._limit():
            logger.error("No task has run for %.0f s: the cluster is killed and started again.", now - self._beat_at)
            self._patience *= 1 + self._first
            self._kill_group()
            self._start_at = now
            self.restarts += 1

    def _limit(self) -> float:
        """A cluster that is killed again and again while it starts would never get to work on a slow machine."""
        return max(self.stale_after, self._patience) if self._first else self.stale_after

    def _wants_tick(self, now: float, beat: Any) -> bool:
        consumed = beat != self._beat or self._beat_at > self._asked_at
        return now - self._asked_at >= (TICK_SECONDS if consumed else LOST_SECONDS)

    def _kill_group(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()

    def _end_in_order(self) -> None:
        """SIGTERM to the main process alone: the whole group's would kill running tasks and hang (facts)."""
        if self._child is not None:
            self.stop_file.parent.mkdir(parents=True, exist_ok=True)
            self.stop_file.touch()
            self._child.process.terminate()
            try:
                self._child.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                logger.warning("The cluster did not stop in time; it is killed, and its tasks are taken up again.")
        self._kill_group()
        self.stop_file.unlink(missing_ok=True)


def _end_with_parent(parent: int) -> Callable[[], None]:
    """For the child, before it becomes the cluster: SIGTERM when the watchdog is gone, however it went."""
    libc = ctypes.CDLL(None)

    def before() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return before


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


# --- what the guard of the product watches -----------------------------------------------------------------------


def read_heart() -> Any:
    """The time of this host's last heartbeat, None before the first. Raises DatabaseError."""
    close_old_connections()
    return Heartbeat.objects.filter(host=settings.HOST_ID).values_list("beat_at", flat=True).first()


def ask_for_tick() -> None:
    """Enqueue a tick for this host."""
    queue.enqueue(queue.Task.TICK, settings.HOST_ID, time.time())


def forget_ticks() -> None:
    """Drop ticks that a killed cluster left in the database's queue: nobody waits for them."""
    if "orm" not in settings.Q_CLUSTER:
        return
    for queued in OrmQ.objects.order_by("pk")[:1000]:
        if queued.func() == queue.Task.TICK:
            queued.delete()


def cluster_watchdog(command: Sequence[str]) -> Watchdog:
    """The watchdog of this host's cluster, ready to run."""
    stop_file = settings.DATA_DIR / "cluster-stop"
    return Watchdog(
        command,
        os.environ | {heartbeat.STOP_FILE: str(stop_file)},
        stale_after=settings.GUARD_STALE_SECONDS,
        heart=read_heart,
        ask=ask_for_tick,
        forget=forget_ticks,
    )
