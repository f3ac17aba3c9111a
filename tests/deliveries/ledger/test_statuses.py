"""Rows and counters change together, or not at all."""

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from campaigns.models import Audience, Brand, Campaign, Message
from deliveries.ledger import statuses
from deliveries.ledger.change import Change
from deliveries.models import SendingLog
from deliveries.models.states import FailureType, LogMove, LogStatus, Reason
from deliveries.sending import leases, results
from tests.deliveries.sending.sending_rows import figures, sending_delivery, true_figures

pytestmark = pytest.mark.django_db


@pytest.fixture
def delivery(message, routing):
    return sending_delivery(message, routing)


@pytest.fixture
def lease(delivery):
    return leases.take(delivery.batches.get().pk)


def claimed(lease):
    return [row.log_id for row in leases.claim(lease, 100)]


@pytest.mark.parametrize(
    "move, extra, status, counters",
    [
        (LogMove.ACCEPT, {}, LogStatus.SENT, {"sent": 1, "relayed": 1}),
        (LogMove.RELAY, {}, LogStatus.PENDING, {"pending": 1, "relayed": 1}),
        (LogMove.DEFER, {"due_at": timezone.now()}, LogStatus.PENDING, {"pending": 1, "retrying": 1}),
        (LogMove.REFUSE, {"failure_type": FailureType.HARD}, LogStatus.FAILED, {"failed": 1, "hard": 1}),
        (LogMove.REFUSE, {"failure_type": FailureType.SOFT}, LogStatus.FAILED, {"failed": 1, "soft": 1}),
        (LogMove.REFUSE, {"failure_type": FailureType.IGNORED}, LogStatus.FAILED, {"failed": 1}),
        (LogMove.FAIL, {"reason": Reason.NOT_BUILT}, LogStatus.FAILED, {"failed": 1}),
        (LogMove.DOUBT, {}, LogStatus.IN_DOUBT, {"in_doubt": 1}),
    ],
)
def test_each_outcome_changes_its_row_and_its_counters(delivery, lease, move, extra, status, counters):
    first, *_ = claimed(lease)
    results.record(lease, [Change(first, move, 0, reply="said", **extra)])
    row = SendingLog.objects.get(pk=first)
    assert (row.status, row.reply) == (status, "said")
    expected = {"total": 3, "pending": 2}
    for name, number in counters.items():
        expected[name] = expected.get(name, 0) + number
    assert figures(delivery) == expected == true_figures(delivery)


def test_a_deferred_row_that_is_accepted_later_retries_no_more(delivery, lease):
    first, *_ = claimed(lease)
    results.record(lease, [Change(first, LogMove.DEFER, 0, due_at=timezone.now() - timedelta(seconds=1))])
    assert figures(delivery)["retrying"] == 1
    again = next(row for row in leases.claim(lease, 100) if row.log_id == first)
    results.record(lease, [Change(first, LogMove.ACCEPT, again.attempts)])
    assert figures(delivery) == {"total": 3, "pending": 2, "sent": 1, "relayed": 1} == true_figures(delivery)


def test_an_older_fence_records_nothing(delivery, lease):
    rows = claimed(lease)
    leases.take(lease.batch_id)  # as a worker does that found the first one dead
    with pytest.raises(leases.LeaseLost):
        results.record(lease, [Change(rows[0], LogMove.ACCEPT, 0)])
    assert figures(delivery) == {"total": 3, "pending": 3}
    assert not lease.alive


def test_a_row_that_moved_meanwhile_changes_nothing_while_the_others_do(delivery, lease):
    rows = claimed(lease)
    results.record(lease, [Change(rows[0], LogMove.ACCEPT, 0)])
    results.record(lease, [Change(row, LogMove.ACCEPT, 0) for row in rows])
    assert figures(delivery) == {"total": 3, "sent": 3, "relayed": 3}


def test_what_the_server_said_is_kept_as_one_line_of_500_characters(lease):
    first, *_ = claimed(lease)
    results.record(lease, [Change(first, LogMove.REFUSE, 0, reply="a\0b\r\n“c”" + "x" * 1000)])
    assert SendingLog.objects.get(pk=first).reply == ("a b  “c”" + "x" * 1000)[:500]


def test_cancelling_leaves_claimed_and_relayed_rows_alone(delivery, lease):
    rows = claimed(lease)
    results.record(lease, [Change(rows[0], LogMove.RELAY, 0), Change(rows[1], LogMove.DEFER, 0, due_at=timezone.now())])
    assert statuses.cancel_unsent(delivery.pk) == 1
    assert figures(delivery) == {"total": 3, "pending": 2, "cancelled": 1, "relayed": 1} == true_figures(delivery)


def test_expired_rows_fail_and_count_as_soft_only_if_the_server_had_answered(delivery, lease):
    rows = claimed(lease)
    results.record(lease, [Change(rows[0], LogMove.DEFER, 0, reply="greylisted", due_at=timezone.now())])
    leases.release(lease)
    assert statuses.expire_unsent(delivery.pk) == 3
    assert figures(delivery) == {"total": 3, "failed": 3, "soft": 1} == true_figures(delivery)
    assert {*SendingLog.objects.values_list("reason", "reply")} == {(101, "greylisted"), (101, "")}


def test_settling_a_doubt_by_sending_again_makes_the_batch_due(delivery, lease):
    rows = claimed(lease)
    results.record(lease, [Change(row, LogMove.DOUBT, 0) for row in rows])
    leases.release(lease)
    assert delivery.batches.get().next_due_at is None
    moves = [Change(rows[0], LogMove.SETTLE_SENT, 0), Change(rows[1], LogMove.SETTLE_RESEND, 0, due_at=timezone.now())]
    assert statuses.settle(lease.batch_id, moves) == 2
    assert statuses.settle(lease.batch_id, moves) == 0, "settled once"
    assert delivery.batches.get().next_due_at is not None
    assert figures(delivery) == {"total": 3, "in_doubt": 1, "pending": 1, "sent": 1, "relayed": 1}


_OUTCOMES = st.sampled_from([LogMove.ACCEPT, LogMove.RELAY, LogMove.DEFER, LogMove.REFUSE, LogMove.FAIL, LogMove.DOUBT])
_STEPS = st.lists(st.one_of(_OUTCOMES, st.sampled_from(["again", "sent", "cancel", "expire"])), min_size=1, max_size=12)


class TestLedgersBalance(TestCase):
    """Whatever happens to the rows of a batch in whatever order, its counters are those of its rows."""

    def setUp(self):
        brand = Brand.objects.create(label="A", sender_name="A", sender_address="a@example.com", sender_domains="")
        campaign, audience = Campaign.objects.create(label="C"), Audience.objects.create(label="E", kind="all")
        self.message = Message.objects.create(label="M", campaign=campaign, brand=brand, audience=audience)

    @settings(max_examples=25, deadline=None)
    @given(_STEPS)
    def test_in_every_order(self, steps):
        delivery = sending_delivery(self.message, None, recipients=4)
        lease = leases.take(delivery.batches.get().pk)
        for step in steps:
            self.do(step, delivery, lease)
            assert figures(delivery) == true_figures(delivery), step

    def do(self, step, delivery, lease):
        past = timezone.now() - timedelta(seconds=1)
        if isinstance(step, LogMove):
            due_at = past if step is LogMove.DEFER else None
            how = FailureType.SOFT if step is LogMove.REFUSE else FailureType.NONE
            rows = leases.claim(lease, 2)
            results.record(lease, [Change(r.log_id, step, r.attempts, how, due_at=due_at) for r in rows])
        elif step in ("again", "sent"):
            move = LogMove.SETTLE_RESEND if step == "again" else LogMove.SETTLE_SENT
            doubts = SendingLog.objects.filter(delivery=delivery, status=LogStatus.IN_DOUBT)
            due_at = past if step == "again" else None
            statuses.settle(lease.batch_id, [Change(r.pk, move, r.attempts, due_at=due_at) for r in doubts])
        else:
            (statuses.cancel_unsent if step == "cancel" else statuses.expire_unsent)(delivery.pk)
