"""The sweeper sets going whatever waits, and rings no more than it must."""

from datetime import timedelta

import pytest
from django.utils import timezone

from campaigns.core import queue
from campaigns.models import ProfileImport
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
def rung(settings, tmp_path, monkeypatch):
    """What the sweeper rang for."""
    settings.JOURNAL_DIR, settings.WORKERS = tmp_path / "journals", 2
    bells = []
    monkeypatch.setattr(queue, "_ring", lambda task, *ids, **options: bells.append((task, *ids)))
    return bells


def hour(number):
    return timezone.now() + timedelta(hours=number)


def test_due_batches_are_rung_for_a_few_at_a_time(message, routing, rung):
    delivery = sending_delivery(message, routing, recipients=6, batch_size=1)
    sweeper.sweep()
    first = list(delivery.batches.order_by("pk").values_list("pk", flat=True)[:2])
    assert rung == [("send_batch", pk) for pk in first]


def test_only_workers_that_do_not_work_on_a_delivery_are_rung_for(message, routing, rung):
    delivery = sending_delivery(message, routing, recipients=6, batch_size=1)
    Batch.objects.filter(number__in=(0, 1)).update(holder="another-host", lease_until=hour(1))
    sweeper.sweep()
    assert not rung
    Batch.objects.filter(number=1).update(holder="", lease_until=None)
    sweeper.sweep()
    assert rung == [("send_batch", delivery.batches.get(number=1).pk)]


def test_the_workers_of_every_living_host_are_rung_for(message, routing, rung):
    sending_delivery(message, routing, recipients=9, batch_size=1)
    now = timezone.now()
    Heartbeat.objects.create(host="one", beat_at=now)
    Heartbeat.objects.create(host="two", beat_at=now)
    Heartbeat.objects.create(host="gone", beat_at=now - timedelta(minutes=5))
    sweeper.sweep()
    assert len(rung) == 4


def test_nothing_is_rung_for_while_tasks_wait(message, routing, rung, monkeypatch):
    sending_delivery(message, routing)
    monkeypatch.setattr(sweeper.get_broker().__class__, "queue_size", lambda self: 1)
    sweeper.sweep()
    assert not rung


@pytest.mark.parametrize("changed", [{"state": State.PAUSED}, {"state": State.STOPPED}])
def test_nothing_is_rung_for_a_delivery_that_does_not_send(message, routing, rung, changed):
    sending_delivery(message, routing, **changed)
    sweeper.sweep()
    assert not rung


def test_a_delivery_starts_when_its_date_has_come(message, routing, rung):
    waiting = sending_delivery(message, routing, state=State.START_PENDING, started_at=None)
    later = sending_delivery(message, routing, state=State.START_PENDING, contact_date=hour(1))
    sweeper.sweep()
    waiting.refresh_from_db()
    later.refresh_from_db()
    assert (waiting.state, later.state) == (State.IN_PROGRESS, State.START_PENDING)
    assert waiting.started_at
    assert ("ring_batches", waiting.pk) in rung
    assert waiting.events.filter(code="started").count() == 1


def test_a_dead_workers_batch_is_rung_for_even_in_a_stopped_delivery(message, routing, rung):
    delivery = sending_delivery(message, routing)
    leases.claim(leases.take(delivery.batches.get().pk), 2)
    Delivery.objects.update(state=State.STOPPED)
    sweeper.sweep()
    assert rung == [("send_batch", delivery.batches.get().pk)]


def test_a_living_workers_batch_is_left_alone(message, routing, rung, settings):
    delivery = sending_delivery(message, routing)
    batch_id = delivery.batches.get().pk
    with BatchLock.acquire(settings.JOURNAL_DIR, batch_id):
        leases.take(batch_id)
        sweeper.sweep()
    assert not rung


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


def test_deferred_rows_keep_the_delivery_open_until_they_are_due(message, routing, rung):
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
    assert rung[-1] == ("send_batch", delivery.batches.get().pk)


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


def test_one_broken_step_does_not_keep_the_others_from_running(message, routing, monkeypatch, rung, caplog):
    sending_delivery(message, routing)
    monkeypatch.setattr(sweeper, "STEPS", (broken, *sweeper.STEPS))
    sweeper.sweep()
    assert rung
    assert "broken" in caplog.text


def broken():
    raise OSError("no such directory")


@pytest.mark.parametrize("state", ["waiting", "reading"])
def test_an_import_whose_worker_died_is_rung_for(preparer, monkeypatch, state):
    rung = []
    monkeypatch.setattr(import_profiles, "ring", rung.append)
    held = import_profiles.start(b"email\nann@example.com\n", "people.csv", by=preparer)
    ProfileImport.objects.filter(pk=held.pk).update(state=state)
    rung.clear()
    sweeper.sweep()
    assert not rung
    ProfileImport.objects.filter(pk=held.pk).update(alive_at=timezone.now() - timedelta(minutes=2))
    sweeper.sweep()
    assert rung == [held.pk]
