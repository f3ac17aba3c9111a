"""Complete the missing."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from deliveries.lifecycle import commands, complete_missing
from deliveries.lifecycle.commands import Refused
from deliveries.models import Delivery, SendingLog
from deliveries.models.states import LogStatus, State
from tests.deliveries.reported import event, relay, report
from tests.deliveries.sending.sending_rows import figures, sending_delivery, true_figures

pytestmark = pytest.mark.django_db


@pytest.fixture(params=[True, False], ids=["with feedback service", "without"])
def stopped(request, message, routing, starter):
    """Delivered, hard, soft; two were not sent before the stop."""
    delivery = sending_delivery(message, routing, 5, batch_size=2, feedback_service=request.param, retry_by="server")
    for log, what in zip(relay(delivery, 3), ("delivered", "hard", "gave up"), strict=True):
        report(log, what)
    commands.stop(delivery, starter)
    return delivery


def due(delivery):
    return delivery.sending_logs.filter(due_at__isnull=False, status=LogStatus.PENDING).count()


def test_only_the_unsent_and_the_temporarily_failed_are_sent(stopped, starter):
    assert complete_missing.number_missing(stopped) == 3
    assert complete_missing.complete_missing(stopped, starter) == 3 == due(stopped)
    assert stopped.state == State.IN_PROGRESS
    assert figures(stopped) == true_figures(stopped)
    assert figures(stopped)["pending"] == 3


def test_what_they_become_is_counted_once(stopped, starter):
    complete_missing.complete_missing(stopped, starter)
    relay(stopped)
    assert figures(stopped) == true_figures(stopped)
    assert figures(stopped)["relayed"] == 5
    assert SendingLog.objects.filter(attempts=2).count() == 1


def test_a_running_delivery_is_left_alone(message, routing, starter):
    with pytest.raises(Refused, match="has not ended"):
        complete_missing.complete_missing(sending_delivery(message, routing), starter)


def test_after_the_validity_a_new_one_must_be_given_and_is_clamped(stopped, starter):
    Delivery.objects.update(validity_end=timezone.now() - timedelta(days=1))
    with pytest.raises(Refused, match="until when"):
        complete_missing.complete_missing(stopped, starter)
    complete_missing.complete_missing(stopped, starter, validity_end=timezone.now() + timedelta(days=30))
    assert stopped.validity_end < timezone.now() + timedelta(days=3.6)


def test_where_nothing_is_missing_nothing_happens(stopped, starter):
    SendingLog.objects.filter(status__in=(LogStatus.CANCELLED, LogStatus.FAILED)).update(failure_type=2, status=2)
    with pytest.raises(Refused, match="Nothing is missing"):
        complete_missing.complete_missing(stopped, starter)
    assert Delivery.objects.get().state == State.STOPPED


def test_it_takes_the_role_start_deliveries(stopped, preparer):
    with pytest.raises(PermissionDenied):
        complete_missing.complete_missing(stopped, preparer)


def test_a_report_of_the_first_try_still_counts(stopped, starter):
    from deliveries.feedback import apply_events

    complete_missing.complete_missing(stopped, starter)
    log = SendingLog.objects.order_by("pk")[2]
    apply_events.apply([event(log, "delivered")])
    log.refresh_from_db()
    assert (log.status, log.due_at) == (LogStatus.SENT, None)
    assert figures(stopped) == true_figures(stopped)
