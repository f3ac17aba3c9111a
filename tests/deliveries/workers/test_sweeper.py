"""The sweeper sets going whatever waits, and queues no more than it must."""

from datetime import timedelta

import pytest
from django.utils import timezone

from campaigns.core import queue
from campaigns.core.queue import Task
from campaigns.models.people.imports import ProfileImport
from campaigns.targeting import import_profiles
from deliveries.ledger.change import Change
from deliveries.lifecycle import progress
from deliveries.models import Batch, Delivery
from deliveries.models.host.heartbeat import Heartbeat
from deliveries.models.states import LogMove, State
from deliveries.sending import leases, results
from deliveries.sending.journal import BatchLock, Journal
from deliveries.workers import sweeper
from tests.deliveries.sending.sending_rows import figures, sending_delivery, true_figures

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def queued(settings, tmp_path, monkeypatch):
    """What the sweeper put into the queue."""
    settings.JOURNAL_DIR, settings.WORKERS = tmp_path / "journals", 2
    tasks = []
    monkeypatch.setattr(queue, "enqueue", lambda *task: tasks.append(task))
    return tasks


def hour(number):
    return timezone.now() + timedelta(hours=number)


def test_due_batches_are_queued_a_few_at_a_time(message, routing, queued):
    delivery = sending_delivery(message, routing, recipients=6, batch_size=1)
    sweeper.sweep()
    first = list(delivery.batches.order_by("pk").values_list("pk", flat=True)[:2])
    assert queued == [(Task.SEND_BATCH, pk) for pk in first]


def test_only_workers_that_do_not_work_on_a_delivery_are_queued_for(message, routing, queued):
    delivery = sending_delivery(message, routing, recipients=6, batch_size=1)
    Batch.objects.filter(number__in=(0, 1)).update(holder="another-host", lease_until=hour(1))
    sweeper.sweep()
    assert not queued
    Batch.objects.filter(number=1).update(holder="", lease_until=None)
    sweeper.sweep()
    assert queued == [(Task.SEND_BATCH, delivery.batches.get(number=1).pk)]


def test_the_workers_of_every_living_host_are_queued_for(message, routing, queued):
    sending_delivery(message, routing, recipients=9, batch_size=1)
    now = timezone.now()
    Heartbeat.objects.create(host="one", beat_at=now)
    Heartbeat.objects.create(host="two", beat_at=now)
    Heartbeat.objects.create(host="gone", beat_at=now - timedelta(minutes=5))
    sweeper.sweep()
    assert len(queued) == 4


def test_nothing_is_queued_for_while_tasks_wait(message, routing, queued, monkeypatch):
    sending_delivery(message, routing)
    monkeypatch.setattr(sweeper.get_broker().__class__, "queue_size", lambda self: 1)
    sweeper.sweep()
    assert not queued


@pytest.mark.parametrize("changed", [{"state": State.PAUSED}, {"state": State.STOPPED}])
def test_nothing_is_queued_for_a_delivery_that_does_not_send(message, routing, queued, changed):
    sending_delivery(message, routing, **changed)
    sweeper.sweep()
    assert not queued


def test_a_delivery_starts_when_its_date_has_come(message, routing, queued):
    waiting = sending_delivery(message, routing, state=State.START_PENDING, started_at=None)
    later = sending_delivery(message, routing, state=State.START_PENDING, contact_date=hour(1))
    sweeper.sweep()
    waiting.refresh_from_db()
    later.refresh_from_db()
    assert (waiting.state, later.state) == (State.IN_PROGRESS, State.START_PENDING)
    assert waiting.started_at
    assert (Task.ENQUEUE_BATCHES, waiting.pk) in queued
    assert waiting.events.filter(code="started").count() == 1


def test_a_dead_workers_batch_is_queued_for_even_in_a_stopped_delivery(message, routing, queued):
    delivery = sending_delivery(message, routing)
    leases.claim(leases.take(delivery.batches.get().pk), 2)
    Delivery.objects.update(state=State.STOPPED)
    sweeper.sweep()
    assert queued == [(Task.SEND_BATCH, delivery.batches.get().pk)]


def test_a_living_workers_batch_is_left_alone(message, routing, queued, settings):
    delivery = sending_delivery(message, routing)
    batch_id = delivery.batches.get().pk
    with BatchLock.acquire(settings.JOURNAL_DIR, batch_id):
        leases.take(batch_id)
        sweeper.sweep()
    assert not queued


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.START_PENDING, State.RETRY_PENDING, State.PAUSED])
def test_when_the_validity_ends_the_rest_fails(message, routing, state):
    delivery = sending_delivery(message, routing, state=state, validity_end=hour(-1))
    sweeper.sweep()
    delivery.refresh_from_db()
    assert delivery.state == State.FINISHED
    assert figures(delivery) == {"total": 3, "failed": 3} == true_figures(delivery)
    assert set(delivery.events.values_list("code", flat=True)) >= {"validity_over", "expired", "finished"}


def test_rows_given_back_after_the_end_are_settled_too(message, routing):
    delivery = sending_delivery(message, routing, validity_end=hour(-1))
    Batch.objects.update(holder="another-host", fence=3, lease_until=hour(1))
    delivery.sending_logs.update(claim_fence=3)
    sweeper.sweep()
    assert figures(delivery) == {"total": 3, "pending": 3}, "a worker holds them"
    delivery.sending_logs.update(claim_fence=None)
    Batch.objects.update(holder="", lease_until=None, next_due_at=hour(-1))
    sweeper.sweep()
    assert figures(delivery) == {"total": 3, "failed": 3}


def test_a_stop_that_was_cut_off_is_completed(message, routing):
    delivery = sending_delivery(message, routing, state=State.STOPPED)
    sweeper.sweep()
    assert figures(delivery) == {"total": 3, "cancelled": 3}


def record(delivery, move, **extra):
    lease = leases.take(delivery.batches.get().pk)
    results.record(lease, [Change(row.log_id, move, 0, **extra) for row in leases.claim(lease, 9)])
    leases.release(lease)


def test_a_delivery_with_nothing_left_is_finished_once(message, routing):
    delivery = sending_delivery(message, routing)
    record(delivery, LogMove.ACCEPT)
    sweeper.sweep()
    sweeper.sweep()
    delivery.refresh_from_db()
    assert (delivery.state, bool(delivery.finished_at)) == (State.FINISHED, True)
    assert delivery.events.filter(code="finished").count() == 1


def test_deferred_rows_keep_the_delivery_open_until_they_are_due(message, routing, queued):
    delivery = sending_delivery(message, routing)
    record(delivery, LogMove.DEFER, due_at=hour(1))
    sweeper.sweep()
    delivery.refresh_from_db()
    assert delivery.state == State.RETRY_PENDING
    delivery.sending_logs.update(due_at=hour(-1))
    Batch.objects.update(next_due_at=hour(-1))
    sweeper.sweep()
    delivery.refresh_from_db()
    assert delivery.state == State.RETRYING
    assert queued[-1] == (Task.SEND_BATCH, delivery.batches.get().pk)


def test_a_hindered_delivery_does_not_pass_for_one_that_awaits_retries(message, routing):
    delivery = sending_delivery(message, routing)
    progress.hinder(delivery.pk, "The mail server is down.")
    leases.put_off_due(delivery.pk, 30)
    Batch.objects.update(retrying=1)
    sweeper.sweep()
    delivery.refresh_from_db()
    assert delivery.state == State.IN_PROGRESS


def test_a_batch_in_a_workers_hands_keeps_the_delivery_open(message, routing):
    delivery = sending_delivery(message, routing)
    leases.take(delivery.batches.get().pk)
    Batch.objects.update(next_due_at=None)
    progress.conclude(delivery.pk)
    delivery.refresh_from_db()
    assert delivery.state == State.IN_PROGRESS


def test_leftover_journals_are_collected(message, routing, settings):
    delivery = sending_delivery(message, routing)
    Journal.open(settings.JOURNAL_DIR, delivery.batches.get().pk, 7).close()
    sweeper.sweep()
    assert not list(settings.JOURNAL_DIR.glob("*.journal"))


def test_one_broken_step_does_not_keep_the_others_from_running(message, routing, monkeypatch, queued, caplog):
    sending_delivery(message, routing)
    monkeypatch.setattr(sweeper, "STEPS", (broken, *sweeper.STEPS))
    sweeper.sweep()
    assert queued
    assert "broken" in caplog.text


def broken():
    raise OSError("no such directory")


@pytest.mark.parametrize("state", ["waiting", "reading"])
def test_an_import_that_nobody_carries_on_is_queued_again(state, queued):
    silent, hopeless, _alive = (import_profiles.start(b"email\nann@example.com\n", "p.csv", by=None) for _ in range(3))
    ProfileImport.objects.update(state=state)
    ProfileImport.objects.filter(pk__in=[silent.pk, hopeless.pk]).update(alive_at=hour(-1))
    ProfileImport.objects.filter(pk=hopeless.pk).update(run=import_profiles.MOST_RUNS)
    queued.clear()
    sweeper.sweep()
    assert queued == [(Task.IMPORT_PROFILES, silent.pk)]
