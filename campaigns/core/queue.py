"""Puts tasks into django-q2's queue. A task carries ids and nothing else: the database is the truth, and the sweeper
queues again whatever the broker lost."""

from __future__ import annotations

from enum import StrEnum

from django.db import transaction
from django_q.tasks import async_task


class Task(StrEnum):
    """What may be asked of a worker, each by the name of its function; a test compares them with the task rooms."""

    IMPORT_PROFILES = "campaigns.targeting.tasks.import_profiles"
    PREPARE_DELIVERY = "deliveries.workers.tasks.prepare_delivery"
    CLEAR_PREPARATION = "deliveries.workers.tasks.clear_preparation"  # a stopped one left rows to delete
    ADD_RUNS = "deliveries.workers.tasks.add_runs"  # of a series, to the execution that has this id
    START_DELIVERY = "deliveries.workers.tasks.start_delivery"
    REQUEST_CONFIRMATION = "deliveries.workers.tasks.request_confirmation"
    TELL_EXPIRED = "deliveries.workers.tasks.tell_expired"
    TELL_SERIES_OFF = "deliveries.workers.tasks.tell_series_off"
    ENQUEUE_BATCHES = "deliveries.workers.tasks.enqueue_batches"  # of a delivery, as far as rows are due
    SEND_BATCH = "deliveries.workers.tasks.send_batch"
    POST_WEBHOOKS = "deliveries.workers.tasks.post_webhooks"
    TICK = "deliveries.workers.tasks.tick"
    REFRESH_FIGURES = "reporting.jobs.tasks.refresh_figures"
    COMPUTE_STATS = "reporting.jobs.tasks.compute_stats"
    PURGE = "reporting.jobs.tasks.purge"


LONG = 3600  # seconds: ten million profiles take a few minutes; these show that they live, and are taken over
LONG_ONES = (Task.IMPORT_PROFILES, Task.PREPARE_DELIVERY, Task.CLEAR_PREPARATION, Task.ADD_RUNS)


def enqueue(task: Task, *values: int | float | str) -> None:
    """Set a worker going once the transaction is committed: one who answers at once must find what is asked for.

    In: mostly ids. It may be done late, twice or never.
    """
    options: dict[str, object] = {"group": task.name.lower()}
    if task in LONG_ONES:
        options["timeout"] = LONG
    transaction.on_commit(lambda: async_task(task.value, *values, q_options=options))


def enqueue_scheduled(function: str, schedule: str) -> str:
    """Set a worker going now, within the transaction that moves the schedule on to its next date. Out: the task's id.

    Unlike `enqueue` it does not wait for the commit: with the database as broker both happen or neither, with Redis a
    crash in between repeats the task. In: the function's name, which need not be a Task: people and the other tasks
    never ask for what the clock asks for. deliveries/workers/cluster.py has looked it up in the list of tasks.
    """
    return str(async_task(function, q_options={"group": schedule}))
