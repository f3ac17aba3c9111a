"""Leases and claims: one holder at a time, each row claimed once, poison rows apart."""

from datetime import timedelta

import pytest
from django.utils import timezone

from deliveries.ledger.change import Change
from deliveries.models import Batch, Delivery, QuarantinedAddress, SendingLog
from deliveries.models.states import LogMove, State
from deliveries.sending import leases, results

from .sending_rows import sending_delivery

pytestmark = pytest.mark.django_db


@pytest.fixture
def delivery(message, routing):
    return sending_delivery(message, routing)


@pytest.fixture
def batch(delivery):
    return delivery.batches.get()


def held_elsewhere(batch, until):
    Batch.objects.filter(pk=batch.pk).update(
        fence=4, holder="another-host", lease_until=timezone.now() + timedelta(seconds=until)
    )


def test_taking_raises_the_fence_and_knows_the_delivery(batch, delivery):
    lease = leases.take(batch.pk)
    assert (lease.fence, lease.delivery_id, lease.state) == (1, delivery.pk, State.IN_PROGRESS)
    assert lease.alive


def test_a_live_lease_of_another_host_is_left_alone(batch):
    held_elsewhere(batch, until=20)
    assert leases.take(batch.pk) is None


def test_an_expired_lease_of_another_host_is_taken_over(batch):
    held_elsewhere(batch, until=-1)
    assert leases.take(batch.pk).fence == 5


def test_a_lease_of_this_host_is_taken_over_at_once_since_the_lock_was_free(batch):
    leases.take(batch.pk)
    assert leases.take(batch.pk).fence == 2


@pytest.mark.parametrize(
    "state", [s for s in State if s not in (State.IN_PROGRESS, State.RETRY_PENDING, State.RETRYING)]
)
def test_nothing_is_taken_unless_the_delivery_sends(batch, delivery, state):
    Delivery.objects.update(state=state)
    assert leases.take(batch.pk) is None


def test_a_dead_holders_batch_is_taken_even_if_the_delivery_was_stopped(batch):
    held_elsewhere(batch, until=-1)
    Delivery.objects.update(state=State.STOPPED)
    assert leases.take(batch.pk) is not None


def test_a_batch_without_due_rows_is_not_taken(batch):
    Batch.objects.update(next_due_at=timezone.now() + timedelta(minutes=1))
    assert leases.take(batch.pk) is None


def test_a_window_is_claimed_once_and_joined_with_the_profile(batch):
    lease = leases.take(batch.pk)
    first = leases.claim(lease, 2, ("first_name", "city"))
    rest = leases.claim(lease, 2, ("first_name", "city"))
    assert sorted(row.fields for row in first + rest) == [(f"User {i}", "") for i in range(3)]
    assert leases.claim(lease, 2) == []


def test_a_row_whose_profile_is_gone_is_claimed_all_the_same(batch):
    SendingLog.objects.update(profile=None)
    assert [row.fields for row in leases.claim(leases.take(batch.pk), 1, ("first_name",))] == [(None,)]


def test_what_is_known_against_an_address_comes_with_the_row(batch):
    QuarantinedAddress.objects.create(address="user1@example.net")
    rows = {row.address: row.quarantine for row in leases.claim(leases.take(batch.pk), 9)}
    assert rows == {"user0@example.net": None, "user1@example.net": 2, "user2@example.net": None}


def test_nothing_is_claimed_once_the_delivery_is_paused(batch):
    lease = leases.take(batch.pk)
    Delivery.objects.update(state=State.PAUSED)
    assert leases.claim(lease, 2) == []
    assert not lease.may_send


def test_the_older_holder_can_claim_nothing(batch):
    old = leases.take(batch.pk)
    leases.take(batch.pk)
    with pytest.raises(leases.LeaseLost):
        leases.claim(old, 2)


def test_releasing_gives_unsent_rows_back_as_if_never_claimed(batch):
    lease = leases.take(batch.pk)
    leases.claim(lease, 2)
    assert leases.release(lease)
    assert {*SendingLog.objects.values_list("claim_fence", "claims")} == {(None, 0)}
    assert leases.take(batch.pk) is not None, "it is due still"


def test_a_finished_batch_is_due_no_more(batch):
    lease = leases.take(batch.pk)
    results.record(lease, [Change(row.log_id, LogMove.ACCEPT, 0) for row in leases.claim(lease, 9)])
    leases.release(lease)
    batch.refresh_from_db()
    assert (batch.next_due_at, batch.lease_until) == (None, None)


def test_a_batch_with_deferred_rows_is_due_when_the_first_of_them_is(batch):
    lease = leases.take(batch.pk)
    rows = leases.claim(lease, 9)
    later = timezone.now() + timedelta(minutes=5)
    changes = [Change(row.log_id, LogMove.DEFER, 0, due_at=later + timedelta(minutes=i)) for i, row in enumerate(rows)]
    results.record(lease, changes)
    leases.release(lease)
    batch.refresh_from_db()
    assert abs(batch.next_due_at - later) < timedelta(seconds=1)


def test_putting_off_keeps_the_deliverys_other_batches_too(message, routing):
    delivery = sending_delivery(message, routing, recipients=4, batch_size=2)
    first, second = delivery.batches.order_by("pk")
    leases.release(leases.take(first.pk), put_off=30)
    assert leases.take(first.pk) is None
    assert leases.take(second.pk) is None


def test_suspicious_rows_are_claimed_last_and_one_at_a_time(batch):
    suspects = SendingLog.objects.order_by("pk")[:2].values_list("pk", flat=True)
    SendingLog.objects.filter(pk__in=list(suspects)).update(claims=leases.CLAIMS_SUSPECT)
    lease = leases.take(batch.pk)
    assert [len(leases.claim(lease, 9)) for _ in range(4)] == [1, 1, 1, 0]


def test_due_batches_come_one_by_one_and_once(message, routing):
    delivery = sending_delivery(message, routing, recipients=6, batch_size=2)
    found = []
    for batch_id in leases.due(delivery.pk):
        found.append(batch_id)
        if len(found) == 1:
            Batch.objects.filter(number=1).update(next_due_at=None)  # another worker was faster
    assert found == list(delivery.batches.exclude(number=1).order_by("pk").values_list("pk", flat=True))


def test_what_was_due_when_the_sending_began_stays_due_though_the_clock_is_set_back(batch, delivery):
    """An hour back: all times that were noted before lie in the future now."""
    began = timezone.now() + timedelta(hours=1)
    Delivery.objects.filter(pk=delivery.pk).update(started_at=began)
    later = delivery.sending_logs.first()
    SendingLog.objects.update(due_at=began)
    SendingLog.objects.filter(pk=later.pk).update(due_at=began + timedelta(minutes=1))
    Batch.objects.update(next_due_at=began)
    assert list(leases.due(delivery.pk)) == [batch.pk]
    lease = leases.take(batch.pk)
    assert {row.log_id for row in leases.claim(lease, 10)} == {
        log.pk for log in delivery.sending_logs.exclude(pk=later.pk)
    }
