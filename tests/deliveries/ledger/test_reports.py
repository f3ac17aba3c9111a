"""Rows that reports decided: who tries them again, what another try does, and the end of the validity."""

from datetime import timedelta

import pytest
from django.utils import timezone

from deliveries.ledger.change import Change
from deliveries.lifecycle import progress
from deliveries.models import Batch, Delivery, QuarantinedAddress, Routing, SendingLog
from deliveries.models.states import FailureType, LogMove, LogStatus, Reason, State
from deliveries.sending import leases, results
from tests.deliveries.reported import relay, report
from tests.deliveries.sending.sending_rows import figures, sending_delivery, true_figures

pytestmark = pytest.mark.django_db
PENDING, SENT, FAILED = LogStatus.PENDING, LogStatus.SENT, LogStatus.FAILED
US, SERVER = Routing.Retries.US, Routing.Retries.SERVER


@pytest.fixture(params=[True, False], ids=["with feedback service", "without"])
def mode(request):
    return request.param


@pytest.fixture
def came_back(message, routing, mode):
    """A delivery of ours to retry, and its one row, which came back with a soft bounce."""
    delivery = sending_delivery(message, routing, 1, feedback_service=mode, retry_by=US)
    [log] = relay(delivery)
    report(log, "soft")
    return delivery, log


def try_again(delivery, *moves, **extra):
    """Claim the row that came back once it is due, and record an outcome."""
    past = timezone.now() - timedelta(seconds=1)
    SendingLog.objects.update(due_at=past)
    Batch.objects.update(next_due_at=past)
    lease = leases.take(delivery.batches.get().pk)
    [row] = leases.claim(lease, 10)
    if moves:
        results.record(lease, [Change(row.log_id, moves[0], row.attempts, **extra)])
    leases.release(lease)
    return SendingLog.objects.get()


def consistent(delivery):
    assert figures(delivery) == true_figures(delivery)
    return figures(delivery)


def test_a_soft_bounce_waits_for_our_next_try(came_back, mode):
    delivery, log = came_back
    assert log.status == (FAILED if mode else SENT)
    assert timedelta(hours=1) <= log.due_at - timezone.now() + timedelta(seconds=9)
    assert consistent(delivery)["retrying"] == 1


def test_an_accepted_retry_changes_no_figure_by_itself(came_back, mode):
    delivery, log = came_back
    again = try_again(delivery, LogMove.RELAY if mode else LogMove.ACCEPT)
    assert (again.status, again.due_at, again.attempts, again.claim_fence) == (log.status, None, 2, None)
    assert consistent(delivery)["relayed"] == 1
    assert bool(consistent(delivery).get("retrying")) == mode  # with a service the server has it, and will report


def test_the_report_of_a_retry_that_succeeded_lifts_the_row(came_back):
    delivery, log = came_back
    try_again(delivery, LogMove.RELAY)
    report(log, "delivered", "delivered", "delivered")
    assert (log.status, log.due_at) == (SENT, None)
    assert consistent(delivery) == {"total": 1, "sent": 1, "relayed": 1}


def test_a_retry_that_is_refused_for_good_fails_the_row(came_back):
    delivery, _log = came_back
    again = try_again(delivery, LogMove.REFUSE, failure_type=FailureType.HARD, reason=Reason.USER_UNKNOWN, reply="550")
    assert (again.status, again.failure_type, again.reply, again.due_at) == (FAILED, FailureType.HARD, "550", None)
    assert consistent(delivery) == {"total": 1, "failed": 1, "hard": 1, "relayed": 1}


def test_a_retry_that_is_put_off_waits_again(came_back):
    delivery, log = came_back
    later = timezone.now() + timedelta(hours=5)
    again = try_again(delivery, LogMove.DEFER, due_at=later, reply="451 later")
    assert (again.status, again.due_at, again.attempts) == (log.status, later, 2)
    assert consistent(delivery)["retrying"] == 1


def test_a_retry_that_may_have_left_is_not_repeated(came_back):
    delivery, log = came_back
    again = try_again(delivery, LogMove.DOUBT)
    assert (again.status, again.due_at) == (log.status, None)
    assert "retrying" not in consistent(delivery)


def test_a_retry_that_was_not_begun_is_given_back(came_back):
    delivery, _log = came_back
    again = try_again(delivery)
    assert (again.claim_fence, again.claims) == (None, 0)
    assert again.due_at is not None
    consistent(delivery)


def test_an_address_in_quarantine_is_not_tried_again(came_back):
    delivery, _log = came_back
    again = try_again(delivery, LogMove.FAIL, failure_type=FailureType.HARD, reason=Reason.QUARANTINED)
    assert (again.status, again.due_at, again.retry_state) == (FAILED, None, SendingLog.Retry.OVER)
    assert "retrying" not in consistent(delivery)


def test_the_fifth_error_ends_the_retries_at_once(message, routing, mode):
    delivery = sending_delivery(message, routing, 1, feedback_service=mode, retry_by=US)
    [log] = relay(delivery)
    from deliveries.feedback import apply_events
    from tests.deliveries.reported import event

    now = timezone.now()
    apply_events.apply([event(log, "soft", at=now - timedelta(days=days)) for days in range(5)])
    log.refresh_from_db()
    assert QuarantinedAddress.objects.get().status == QuarantinedAddress.Status.QUARANTINE
    assert (log.status, log.due_at) == (FAILED, None)
    consistent(delivery)


@pytest.mark.parametrize("retry_by", [US, SERVER])
@pytest.mark.parametrize("state", [State.FINISHED, State.IN_PROGRESS])
def test_at_the_end_of_the_validity_the_retries_have_run_out(message, routing, mode, retry_by, state):
    delivery = sending_delivery(message, routing, 4, feedback_service=mode, retry_by=retry_by)
    silent, soft, delayed, unsent = SendingLog.objects.order_by("pk")
    relay(delivery, 3)
    report(soft, "soft")
    report(delayed, "delayed")
    Delivery.objects.update(validity_end=timezone.now() - timedelta(minutes=1), state=state)
    progress.expire(delivery.pk) if state == State.IN_PROGRESS else progress.end_retries()
    for log in (silent, soft, delayed, unsent):
        log.refresh_from_db()
    assert silent.status == (PENDING if mode else SENT)
    assert soft.status == delayed.status == FAILED
    assert "retrying" not in consistent(delivery)
    assert unsent.status == (FAILED if state == State.IN_PROGRESS else PENDING)


def test_a_soft_bounce_after_the_validity_fails_at_once(message, routing, mode):
    delivery = sending_delivery(message, routing, 1, feedback_service=mode)
    [log] = relay(delivery)
    Delivery.objects.update(validity_end=timezone.now() - timedelta(minutes=1), state=State.FINISHED)
    report(log, "soft")
    assert (log.status, log.due_at, log.retry_state) == (FAILED, None, SendingLog.Retry.OVER)
    consistent(delivery)


def test_stopping_ends_our_tries_and_leaves_the_servers(message, routing, mode, starter):
    from deliveries.lifecycle import commands

    delivery = sending_delivery(message, routing, 2, feedback_service=mode, retry_by=US)
    soft, delayed = relay(delivery)
    report(soft, "soft")
    report(delayed, "delayed")
    commands.stop(delivery, starter)
    soft.refresh_from_db()
    assert (soft.status, soft.due_at) == (FAILED, None)
    assert consistent(delivery)["retrying"] == 1
    assert Batch.objects.get().next_due_at is None
