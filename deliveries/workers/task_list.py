"""The functions that the cluster may run: the public ones of the task rooms (settings.TASK_ROOMS), and no others.

django-q2 would run whatever function a row of its tables names, with a hook, a chain, or any other option there. Here a
task is a name of the list with plain values (ids, mostly). It is checked when it is put into the queue and again where
it is to be run (cluster.py), before its name is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from inspect import getmembers, isfunction
from typing import Any

from django.conf import settings
from django.dispatch import receiver
from django_q.signals import pre_enqueue

# What a task of ours consists of: no hook, chain, iter_count, cached, save or sync.
_KNOWN = frozenset(
    {"id", "name", "func", "args", "kwargs", "started", "group", "timeout", "ack_failure", "cluster", "ack_id"}
)
_PLAIN = (int, float, str)


# Where task rooms were before 1.0: queues and schedules of an installation that was upgraded still name them so.
_MOVED = {
    "campaigns.tasks": "campaigns.targeting.tasks",
    "deliveries.tasks": "deliveries.workers.tasks",
    "deliveries.upkeep": "deliveries.workers.tasks",
    "reporting.tasks": "reporting.jobs.tasks",
}
_RENAMED = {"deliveries.workers.tasks.ring_batches": "deliveries.workers.tasks.enqueue_batches"}


class Unlisted(ValueError):
    """Not a task of this product; the text says why."""


@cache
def names() -> frozenset[str]:
    """The functions by which tasks are named: deliveries.workers.tasks.send_batch …"""
    rooms = [import_module(name) for name in settings.TASK_ROOMS]
    return frozenset(
        f"{room.__name__}.{name}"
        for room in rooms
        for name, function in getmembers(room, isfunction)
        if function.__module__ == room.__name__ and not name.startswith("_")
    )


def present_name(function: Any) -> Any:
    """The name that a task has now, of the one that it had when it was queued; anything else is given back as it is."""
    room, dot, name = function.rpartition(".") if isinstance(function, str) else (None, "", "")
    present = f"{_MOVED[room]}{dot}{name}" if room in _MOVED else function
    return _RENAMED.get(present, present) if isinstance(present, str) else present


def check(task: Mapping[str, Any]) -> None:
    """Raise Unlisted for a task, as django-q2 packs it, that is none of ours."""
    function = task.get("func")
    if not isinstance(function, str) or function not in names():
        raise Unlisted(f"{function!r} is not among the functions of {', '.join(settings.TASK_ROOMS)}")
    if others := sorted(name for name in task if name not in _KNOWN):
        raise Unlisted(f"{function} comes with {', '.join(others)}")
    if task.get("kwargs") or not all(isinstance(value, _PLAIN) for value in task.get("args", ())):
        raise Unlisted(f"{function} comes with values that are not plain")


@receiver(pre_enqueue, dispatch_uid="task-list")
def _before_it_is_queued(task: Mapping[str, Any], **_: Any) -> None:
    check(task)
