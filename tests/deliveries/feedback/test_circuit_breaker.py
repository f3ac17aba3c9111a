"""The circuit breaker."""

import pytest
from django.core import mail

from deliveries.feedback import apply_events, circuit_breaker
from deliveries.lifecycle import commands
from deliveries.models import Delivery, Routing
from deliveries.models.states import State
from tests.deliveries.reported import event, relay
from tests.deliveries.sending.sending_rows import sending_delivery

pytestmark = pytest.mark.django_db


@pytest.fixture
def logs(message, routing, starter, django_capture_on_commit_callbacks):
    Routing.objects.update(breaker_minimum=20, breaker_hard=10, breaker_complaints=1)
    return relay(sending_delivery(message, routing, 100, confirmed_by=starter))


def state():
    return Delivery.objects.get().state


def bounce(logs, what="hard"):
    apply_events.apply([event(log, what) for log in logs])


def test_it_pauses_above_the_limit_and_not_at_it(logs):
    bounce(logs[:10])
    assert state() == State.IN_PROGRESS
    bounce(logs[10:11])
    assert state() == State.PAUSED
    assert Delivery.objects.get().events.get(code="breaker").details["what"] == "hard bounces"


def test_it_says_so_to_whoever_confirmed(logs, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        bounce(logs[:11])
    [told] = mail.outbox
    assert told.to == ["starter@example.com"]
    assert "11.00 % hard bounces" in told.body


def test_complaints_count_too(logs):
    bounce(logs[:2], "complaint")
    assert state() == State.PAUSED


def test_soft_bounces_do_not(logs):
    bounce(logs[:50], "soft")
    assert state() == State.IN_PROGRESS


def test_few_messages_prove_nothing(logs):
    Routing.objects.update(breaker_minimum=101)
    bounce(logs)
    assert state() == State.IN_PROGRESS


def test_nought_switches_it_off(logs):
    Routing.objects.update(breaker_hard=0)
    bounce(logs)
    assert state() == State.IN_PROGRESS


def test_after_a_resume_it_waits_until_things_are_half_again_as_bad(logs, starter):
    bounce(logs[:11])
    commands.resume(Delivery.objects.get(), starter)
    bounce(logs[11:16])
    assert state() == State.IN_PROGRESS
    bounce(logs[16:17])
    assert state() == State.PAUSED


def test_a_delivery_that_has_ended_is_left_alone(logs):
    Delivery.objects.update(state=State.FINISHED)
    bounce(logs[:50])
    assert not circuit_breaker.check(Delivery.objects.get().pk)
    assert state() == State.FINISHED
