"""The sweeper: looks at the database every few seconds and sets going whatever waits, whoever lost the task for it.

Everything here may run at any time, again, and on several hosts at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django_q.brokers import get_broker

from campaigns.audit import chain
from campaigns.core import queue
from campaigns.targeting import import_profiles
from deliveries.ledger import webhooks
from deliveries.lifecycle import auto_start, progress, wave_gates
from deliveries.lifecycle.recurrence import executions, runs
from deliveries.models import Batch, Delivery
from deliveries.models.host.heartbeat import Heartbeat
from deliveries.models.states import ENDED, RUNNING, SENDING, State
from deliveries.preparation import prepare
from deliveries.sending import leases, recovery
from deliveries.sending.journal import BatchLock

logger = logging.getLogger("deliveries.workers.sweeper")

_ALIVE = timedelta(seconds=60)  # a host that gave a sign of life so recently has workers

# What takes longer than a task should: the rows of each whose worker gives no more signs of life, or never heard of it
# (campaigns/core/job_heartbeat.py). The short ones below look at what is due instead.
LONG_JOBS: dict[queue.Task, Callable[[], QuerySet[Any]]] = {
    queue.Task.IMPORT_PROFILES: import_profiles.silent,
    queue.Task.PREPARE_DELIVERY: prepare.silent,
    queue.Task.CLEAR_PREPARATION: prepare.left_over,
    queue.Task.ADD_RUNS: runs.silent,
}


def sweep() -> None:
    """One round. A step that fails is logged and does not keep the others from running."""
    for step in STEPS:
        _try(step)


def _try(step: Callable[[], object]) -> None:
    try:
        step()
    except (DatabaseError, OSError):
        logger.exception("the sweeper's step %s failed; it comes again", step.__name__.strip("_"))


def _each(deliveries: QuerySet[Delivery], act: Callable[[int], object]) -> None:
    for delivery_id in list(deliveries.values_list("pk", flat=True)):
        act(delivery_id)


def _start() -> None:
    _each(Delivery.everything.filter(state=State.START_PENDING, contact_date__lte=Now()), progress.start)


def _expire() -> None:
    over = Delivery.everything.filter(state__in=[*RUNNING, State.PAUSED], validity_end__lte=Now())
    _each(over, progress.expire)


def _clear() -> None:
    """Ended deliveries with rows that somebody gave back after the end, or that a kill left unsettled."""
    unsent = Batch.objects.filter(delivery=OuterRef("pk"), lease_until=None, next_due_at__isnull=False)
    _each(Delivery.everything.filter(Exists(unsent), state__in=ENDED), progress.clear_rest)


def _wake() -> None:
    _each(Delivery.everything.filter(state=State.RETRY_PENDING), progress.wake)


def _conclude() -> None:
    _each(Delivery.everything.filter(state__in=SENDING), progress.conclude)


def _recover() -> None:
    """Enqueue the batches of dead workers, whatever their delivery's state: their rows must be settled."""
    held = Batch.objects.filter(lease_until__isnull=False).filter(
        Q(lease_until__lte=Now()) | Q(holder=settings.HOST_ID)
    )
    for batch in held.only("pk").order_by("pk"):
        lock = BatchLock.acquire(Path(settings.JOURNAL_DIR), batch.pk)
        if lock is not None:  # on this host nobody works on it
            lock.release()
            queue.enqueue(queue.Task.SEND_BATCH, batch.pk)


def _enqueue_due() -> None:
    """Enqueue due batches, as many as can be taken now: whoever takes one goes on with the others. While tasks wait
    nothing is added: what is started or prepared meanwhile would stand in line behind it."""
    if get_broker().queue_size() > 0:
        return
    for delivery_id in list(Delivery.everything.filter(state__in=SENDING).values_list("pk", flat=True)):
        for batch_id in few_due(delivery_id):
            queue.enqueue(queue.Task.SEND_BATCH, batch_id)


def few_due(delivery_id: int) -> Iterator[int]:
    """As many of the delivery's due batches as there are workers that do not work on it."""
    hosts = Heartbeat.objects.filter(beat_at__gt=Now() - _ALIVE).count() or 1
    busy = Batch.objects.filter(delivery_id=delivery_id, lease_until__gt=Now()).count()
    return islice(leases.due(delivery_id), max(0, hosts * settings.WORKERS - busy))


def _take_over() -> None:
    """Enqueue the long jobs that nobody carries on, also while tasks wait: a queue that never empties must not keep a
    lost one waiting. Where its task was among them it is there twice; whoever comes second leaves the job alone."""
    for task, silent in LONG_JOBS.items():
        for pk in list(silent().values_list("pk", flat=True)):
            queue.enqueue(task, pk)


def _post() -> None:
    """Webhooks that are due: the first try whose task was lost, and all later ones."""
    if webhooks.waiting() and get_broker().queue_size() == 0:
        queue.enqueue(queue.Task.POST_WEBHOOKS)


def _collect() -> None:
    recovery.collect_leftovers(Path(settings.JOURNAL_DIR))


STEPS: tuple[Callable[[], object], ...] = (
    auto_start.ask_again,
    executions.expire_requests,
    executions.tick,
    executions.prepare_forgotten,
    auto_start.start_unasked,
    auto_start.enqueue_requests,
    _start,
    _expire,
    progress.end_retries,
    _clear,
    _recover,
    _wake,
    _conclude,
    wave_gates.open_gates,
    _take_over,  # before what would make others wait
    _enqueue_due,
    _post,
    _collect,
    chain.seal,
)
