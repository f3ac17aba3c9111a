"""Doors for django-q2: ids in, one call each. A task may come late, twice or never; the rooms behind stand that."""

from __future__ import annotations

import time

from django.conf import settings

from campaigns.core import queue
from campaigns.core.web.log_context import about
from deliveries.ledger import webhooks
from deliveries.lifecycle import auto_start, progress
from deliveries.lifecycle.recurrence import halting, runs
from deliveries.models.host import heartbeat
from deliveries.models.host.heartbeat import LOST_SECONDS
from deliveries.models.storage import partitions
from deliveries.models.storage.dedicated_connection import own_session
from deliveries.preparation import prepare
from deliveries.sending import work_on_batch

from . import periodic_jobs, restored_copy, sweeper


def _begin() -> None:
    restored_copy.look()
    heartbeat.beat()


def prepare_delivery(delivery_id: int) -> None:
    """Carry out a preparation."""
    _begin()
    with about(delivery=delivery_id), own_session():
        partitions.make_room(delivery_id)
        prepare.run(delivery_id)
    auto_start.start_unasked()
    auto_start.enqueue_requests()


def add_runs(execution_id: int) -> None:
    """Add the people of a series' runs to their execution."""
    _begin()
    with about(delivery=execution_id), own_session():
        partitions.make_room(execution_id)
        runs.run(execution_id)


def clear_preparation(delivery_id: int) -> None:
    """Delete what a stopped preparation left."""
    _begin()
    with about(delivery=delivery_id):
        prepare.clear(delivery_id)


def start_delivery(delivery_id: int) -> None:
    """Start a confirmed delivery if its date has come."""
    _begin()
    with about(delivery=delivery_id):
        progress.start(delivery_id)


def request_confirmation(delivery_id: int) -> None:
    """Mail those who may confirm a delivery."""
    auto_start.request_confirmation(delivery_id)


def tell_expired(delivery_id: int) -> None:
    """Mail those whose confirmation would come too late now."""
    auto_start.tell_expired(delivery_id)


def tell_series_off(series_id: int) -> None:
    """Mail those whom it concerns that a series makes no more executions."""
    halting.tell(series_id)


def enqueue_batches(delivery_id: int) -> None:
    """Enqueue a delivery's due batches."""
    for batch_id in sweeper.few_due(delivery_id):
        queue.enqueue(queue.Task.SEND_BATCH, batch_id)
    progress.conclude(delivery_id)


def post_webhooks() -> None:
    """Post what programs are to be told."""
    _begin()
    webhooks.post_due()


def send_batch(batch_id: int) -> None:
    """Send a batch's due rows."""
    _begin()
    work_on_batch.send(batch_id)


def tick(host: str, asked_at: float) -> None:
    """The watchdog's pulse: proves that tasks run on its host, and sweeps. Hosts may share a queue: a tick that came
    to another host is passed on, unless it is so old (seconds since 1970) that its host has asked again."""
    _begin()
    if host != settings.HOST_ID and time.time() - asked_at < LOST_SECONDS:
        queue.enqueue(queue.Task.TICK, host, asked_at)
    sweeper.sweep()
    heartbeat.swept()


def clean_up() -> None:
    """Once a day: what is long past."""
    periodic_jobs.clean_up()


def fetch() -> None:
    """Every few minutes: the mailbox for bounces, and mails that wait."""
    periodic_jobs.fetch()
