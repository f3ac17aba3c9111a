"""The django-q2 cluster as this product runs it: with its own schedules and the tasks of its list (task_list.py).

Whoever can write rows, but does not have SECRET_KEY, could otherwise have any function of Python run: schedules name a
function, its arguments, a hook and options; results name a hook and hold pickles. So three parts of the cluster are
ours: schedules are read without arguments and options, a worker looks at a task before it looks up its name, and what
came of it is told to the broker and the log but kept in no table.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import django_q.cluster
import django_q.worker
from django.db import close_old_connections, connection, connections, transaction
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Schedule

from campaigns.core import queue

from . import task_list

logger = logging.getLogger("deliveries.workers.cluster")

_REGULAR = (Schedule.MINUTES, Schedule.HOURLY, Schedule.DAILY)
_EMPTY = ("args", "kwargs", "hook", "cluster", "intended_date_kwarg")
_STEPS = 10_000  # from a date long past to the next one


def run() -> None:
    """Start the cluster in this process; SIGTERM ends it in order."""
    parts: Any = django_q.cluster
    parts.worker, parts.monitor, parts.scheduler = worker, monitor, scheduler
    parts.Cluster().start()


# --- schedules -------------------------------------------------------------------------------------------------------


def scheduler(broker: Any = None) -> None:
    """Enqueue what is due. A row that is none of the product's own is switched off and told of."""
    if not connection.in_atomic_block:  # which is a test's
        close_old_connections()
    try:
        with transaction.atomic():
            due = Schedule.objects.select_for_update().exclude(repeats=0).filter(next_run__lt=timezone.now())
            for row in due:
                _take(row)
    except Exception:  # whatever keeps the database or the broker away: what is due stays due
        logger.exception("the schedules cannot be read now")


def _take(row: Schedule) -> None:
    row.func = task_list.present_name(row.func)
    if why := _refusal(row):
        logger.error("the schedule #%s “%s” was refused and is switched off: %s", row.pk, row.name, why)
        Schedule.objects.filter(pk=row.pk).update(repeats=0)
        return
    task = queue.enqueue_scheduled(row.func, row.name)
    Schedule.objects.filter(pk=row.pk).update(func=row.func, next_run=_next(row), task=task)


def _refusal(row: Schedule) -> str:
    """Why the row is not the product's own; '' if it is."""
    if row.func not in task_list.names():
        return f"its function {row.func!r} is not on the list"
    if used := [name for name in _EMPTY if getattr(row, name)]:
        return f"it comes with {', '.join(used)}"
    return "" if row.schedule_type in _REGULAR else f"schedules of the kind {row.schedule_type!r} are not made here"


def _next(row: Schedule) -> datetime:
    """The first of its dates that lies ahead; what was missed is not made up for (catch_up is off)."""
    now = timezone.now()
    at: datetime = row.next_run
    with suppress(OverflowError, ValueError):  # a date or an interval that no calendar has
        for _step in range(_STEPS):
            at = row.calculate_next_run(at)
            if at > now:
                return at
    return now + timedelta(hours=1)


# --- tasks -----------------------------------------------------------------------------------------------------------


class _OnlyListed:
    """A worker's queue of tasks, without those that are not on the list."""

    def __init__(self, tasks: Any, results: Any) -> None:
        self._tasks, self._results = tasks, results

    def get(self) -> Any:
        """The next task, or "STOP"."""
        while (task := self._tasks.get()) != "STOP":
            task["func"] = task_list.present_name(task.get("func"))
            try:
                task_list.check(task)
            except task_list.Unlisted as error:
                logger.error("a task was refused: %s", error)
                self._results.put({"ack_id": task.get("ack_id"), "success": True})
            else:
                return task
        return task


def worker(tasks: Any, results: Any, timer: Any, timeout: Any = Conf.TIMEOUT) -> None:
    """django-q2's worker, for tasks of the list."""
    django_q.worker.worker(_OnlyListed(tasks, results), results, timer, timeout)


def monitor(results: Any, broker: Any = None) -> None:
    """Tell the broker which tasks are done, and the log which failed. Failed ones are done, too: retries are rows."""
    broker = broker or get_broker()
    for task in iter(results.get, "STOP"):
        if not task["success"]:
            logger.error("the task %s failed: %s", task.get("func"), task.get("result"))
        try:
            if task.get("ack_id"):
                broker.acknowledge(task["ack_id"])
        except Exception:  # it comes again after `retry`
            logger.exception("the broker cannot be told of a task")
            connections.close_all()
