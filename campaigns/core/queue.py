"""Rings workers through django-q2. A ring carries an id and nothing else: the database is the truth, and the sweeper
rings again for whatever the broker lost."""

from __future__ import annotations

from django.db import transaction
from django_q.tasks import async_task

LONG = 3600  # seconds: ten million profiles take a few minutes; a preparation shows that it lives, and is taken over


def _ring(task: str, *ids: int, **options: int) -> None:
    # After the commit: a worker that answers at once must find what it was rung for.
    transaction.on_commit(
        lambda: async_task(f"deliveries.workers.tasks.{task}", *ids, q_options={"group": task, **options})
    )


def ring_preparation(delivery_id: int) -> None:
    """A preparation waits."""
    _ring("prepare_delivery", delivery_id, timeout=LONG)


def ring_clearing(delivery_id: int) -> None:
    """A stopped preparation left rows to delete."""
    _ring("clear_preparation", delivery_id, timeout=LONG)


def ring_runs(execution_id: int) -> None:
    """Runs of a series are to be added to their execution."""
    _ring("add_runs", execution_id, timeout=LONG)


def ring_start(delivery_id: int) -> None:
    """A confirmed delivery waits to be started."""
    _ring("start_delivery", delivery_id)


def ring_request(delivery_id: int) -> None:
    """People are to be asked for a confirmation."""
    _ring("request_confirmation", delivery_id)


def ring_expired(delivery_id: int) -> None:
    """People are to be told that nobody confirmed in time."""
    _ring("tell_expired", delivery_id)


def ring_series_off(series_id: int) -> None:
    """People are to be told that a series went off."""
    _ring("tell_series_off", series_id)


def ring_delivery(delivery_id: int) -> None:
    """A delivery's batches may have due rows."""
    _ring("ring_batches", delivery_id)


def ring_webhooks() -> None:
    """Something is to be posted to programs."""
    _ring("post_webhooks")


def ring_batch(batch_id: int) -> None:
    """A batch has due rows."""
    _ring("send_batch", batch_id)
