"""A worker process to be killed: sends what is due until its delivery has ended.

It may be told to kill itself at a point of the code. Nothing of the product knows of this: functions are wrapped here.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Where to die: {name: (what to wrap, before or after it ran)}.
POINTS = {
    "rows claimed": ("sending.leases.claim", "after"),
    "within the recovery": ("sending.recovery._settle", "before"),
    "lease taken": ("sending.leases.take", "after"),
    "rows claimed, not committed": ("sending.leases._mark", "after"),
    "intent noted, body not begun": ("sending.sender.Sender._intent", "after"),
    "accepted, not noted": ("sending.sender.Sender._accept", "before"),
    "accepted and noted": ("sending.sender.Sender._accept", "after"),
    "before recording": ("sending.results.record", "before"),
    "rows written, not their counters": ("ledger.statuses._count", "before"),
    "recorded": ("sending.results.record", "after"),
    "before the release": ("sending.leases.release", "before"),
    "released, journals there": ("sending.journal.BatchLock.unlink_journals", "before"),
    "journals gone": ("sending.journal.BatchLock.unlink_journals", "after"),
    "recovered": ("sending.recovery.recover", "after"),
    "lease renewed": ("sending.leases.renew", "after"),
}
TORN = "in the middle of a journal record"


def die() -> None:
    """As kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, count: int) -> None:
    """Make this process die at the given passage of a point."""
    import importlib

    if point == TORN:
        _tear(count)
        return
    path, when = POINTS[point]
    folder, module, *names = path.split(".")
    holder: Any = importlib.import_module(f"deliveries.{folder}.{module}")
    for name in names[:-1]:
        holder = getattr(holder, name)
    setattr(holder, names[-1], _mined(getattr(holder, names[-1]), when, count))


def _mined(function: Callable[..., Any], when: str, count: int) -> Callable[..., Any]:
    passages = iter(range(1, sys.maxsize))

    def mined(*args: Any, **kwargs: Any) -> Any:
        last = next(passages) >= count
        if last and when == "before":
            die()
        result = function(*args, **kwargs)
        if last:
            die()
        return result

    return mined


def _tear(count: int) -> None:
    write, passages = os.write, iter(range(1, sys.maxsize))

    def torn(fd: int, data: bytes) -> int:
        if len(data) == 16 and data[:2] == b"DJ" and next(passages) >= count:
            write(fd, data[:7])
            die()
        return write(fd, data)

    os.write = torn  # type: ignore[assignment]


def work(host: str, point: str, count: int) -> None:
    """Serve until every delivery has ended and nothing is left to settle; die at the given passage of a point, if one
    is given. Each host has its own journals."""
    from django.conf import settings
    from django.db import DatabaseError, connection

    from campaigns.core import queue
    from deliveries.models import Batch, Delivery
    from deliveries.models.states import ENDED
    from deliveries.sending import work_on_batch
    from deliveries.workers import sweeper

    settings.HOST_ID, settings.JOURNAL_DIR = host, Path(settings.JOURNAL_DIR) / host
    if point:
        arm(point, count)
    queued: list[int] = []
    queue.enqueue = lambda task, *ids: queued.extend(ids if task == queue.Task.SEND_BATCH else ())
    while (
        Delivery.objects.exclude(state__in=ENDED).exists() or Batch.objects.filter(lease_until__isnull=False).exists()
    ):
        try:
            sweeper.sweep()
            while queued:
                work_on_batch.send(queued.pop(0))
        except DatabaseError:  # the task fails; the next one begins with a new connection
            connection.close()
        time.sleep(0.02)
    connection.close()
