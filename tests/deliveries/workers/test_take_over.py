"""Every kind of task is taken over once its worker is gone: a long one by its signs of life, others by what is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_q.brokers import get_broker

from campaigns.core import queue
from campaigns.core.queue import LONG_ONES, Task
from campaigns.models.people.imports import ProfileImport
from campaigns.targeting import import_profiles
from deliveries.models import ExclusionLog
from deliveries.models.runs import Run
from deliveries.models.states import Reason, State
from deliveries.workers import sweeper
from tests.deliveries.sending.sending_rows import sending_delivery

pytestmark = pytest.mark.django_db

# Who sets a lost one going again, where the job has no row whose worker gives signs of life.
SHORT = {
    Task.SEND_BATCH: "sweeper._recover, by the batch's lease",
    Task.ENQUEUE_BATCHES: "sweeper._enqueue_due",
    Task.START_DELIVERY: "sweeper._start",
    Task.REQUEST_CONFIRMATION: "auto_start.enqueue_requests, a step of the sweeper",
    Task.TELL_EXPIRED: "nobody: the delivery's log says so, too",
    Task.TELL_SERIES_OFF: "nobody: the series' log and page say so, too",
    Task.POST_WEBHOOKS: "sweeper._post",
    Task.TICK: "the watchdog, which asks every few seconds",
    Task.REFRESH_FIGURES: "its schedule, hourly",
    Task.COMPUTE_STATS: "REFRESH_FIGURES, or whoever asked asks again",
    Task.PURGE: "its schedule, nightly",
}


def an_import(signed: Any, **_: Any) -> int:
    held = import_profiles.start(b"email\nann@example.com\n", "p.csv", by=None)
    ProfileImport.objects.filter(pk=held.pk).update(state="reading", alive_at=signed)
    return held.pk


def a_preparation(signed: Any, message: Any, routing: Any) -> int:
    return sending_delivery(message, routing, state=State.TARGET_READY, preparation_at=signed).pk


def a_clearing(signed: Any, message: Any, routing: Any) -> int:
    return sending_delivery(message, routing, state=State.EDITING, preparation_at=signed).pk


def a_clearing_without_batches(signed: Any, message: Any, routing: Any) -> int:
    delivery = sending_delivery(message, routing, 0, state=State.PREPARATION_FAILED, preparation_at=signed)
    ExclusionLog.objects.create(delivery=delivery, cause=Reason.DENYLISTED, date=timezone.now())
    return delivery.pk


def an_addition(signed: Any, message: Any, routing: Any) -> int:
    series = sending_delivery(message, routing, 0, state=State.EDITING)
    execution = sending_delivery(message, routing, 0, parent=series, state=State.PAUSED, preparation_at=signed)
    Run.objects.create(series=series, execution=execution, slot=signed, begun_at=signed)
    return execution.pk


LONG = [
    (Task.IMPORT_PROFILES, an_import),
    (Task.PREPARE_DELIVERY, a_preparation),
    (Task.CLEAR_PREPARATION, a_clearing),
    (Task.CLEAR_PREPARATION, a_clearing_without_batches),
    (Task.ADD_RUNS, an_addition),
]


@pytest.fixture
def swept(message: Any, routing: Any, settings: Any, tmp_path: Any, monkeypatch: Any) -> Callable[..., list[Any]]:
    """swept(make, minutes): the job's key, and what the sweeper queued when its last sign was so long ago."""
    settings.JOURNAL_DIR = tmp_path / "journals"
    queued: list[Any] = []
    monkeypatch.setattr(queue, "enqueue", lambda *task: queued.append(task))

    def sweep(make: Callable[..., int], minutes: float) -> list[Any]:
        key = make(timezone.now() - timedelta(minutes=minutes), message=message, routing=routing)
        queued.clear()
        sweeper.sweep()
        return [key, *queued]

    return sweep


def test_no_kind_of_task_is_left_out() -> None:
    assert {task for task, _make in LONG} == set(LONG_ONES) == set(sweeper.LONG_JOBS)
    assert set(SHORT) == set(Task) - set(LONG_ONES)


@pytest.mark.parametrize(("task", "make"), LONG)
def test_a_silent_job_is_queued_again(swept: Callable[..., list[Any]], task: Task, make: Callable[..., int]) -> None:
    key, *queued = swept(make, 2)
    assert queued == [(task, key)]


@pytest.mark.parametrize(("task", "make"), LONG)
def test_a_job_that_gave_a_sign_is_left_alone(
    swept: Callable[..., list[Any]], task: Task, make: Callable[..., int]
) -> None:
    _key, *queued = swept(make, 0.5)
    assert queued == []


@pytest.mark.parametrize(("task", "make"), LONG)
def test_a_queue_that_never_empties_keeps_none_waiting(
    swept: Callable[..., list[Any]], monkeypatch: Any, task: Task, make: Callable[..., int]
) -> None:
    monkeypatch.setattr(get_broker().__class__, "queue_size", lambda self: 1)
    key, *queued = swept(make, 2)
    assert queued == [(task, key)]
