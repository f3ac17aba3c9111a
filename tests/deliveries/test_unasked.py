"""What starts without being asked is what a holder of Start deliveries saw: by a series, or once it is prepared.

Each attack is somebody's with Prepare deliveries alone, by a road that is open to them.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
import time_machine
from rest_framework.test import APIClient

from campaigns.models import Profile, Recurrence
from deliveries import commands, executions, preparing, starting
from deliveries.states import State

pytestmark = pytest.mark.django_db
NINE = datetime(2026, 3, 27, 8, tzinfo=UTC)  # a Friday in Paris
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture(autouse=True)
def eve():
    """It is eight in Paris."""
    with time_machine.travel(NINE - HOUR, tick=False) as clock:
        yield clock


@pytest.fixture
def make_series(message, routing, starter):
    """make_series(frequency=…, …) gives a series of every day at nine in Paris, switched on by the starter."""
    Profile.objects.create(email="a@example.com")

    def make(by=starter, **fields):
        values = {"frequency": "daily", "at": time(9), "time_zone": "Europe/Paris", "request_confirmation": False}
        Recurrence.objects.create(message=message, **(values | fields))
        series = commands.create_delivery(message, by)
        executions.start_series(series, by)
        return series

    return make


def patch(user, message, **body):
    """What a program of the user's sends."""
    client = APIClient()
    client.force_authenticate(user)
    answer = client.patch(f"/api/messages/{message.pk}/", body, format="json")
    assert answer.status_code == 200, answer.data
    return answer.data


def work():
    """One round of the sweeper and of the workers that it rings. Out: the newest execution, if there is any."""
    executions.tick()
    for execution in commands.Delivery.objects.filter(state=State.TARGETING_PENDING):
        preparing.run(execution.pk)
    starting.start_unasked()
    return commands.Delivery.objects.filter(parent__isnull=False).order_by("-slot").first()


FORGERY = {"subject": "Win a car", "html": '<p>Forged <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>'}
EVERY_MINUTE = {"frequency": "cron", "cron": "* * * * *", "request_confirmation": False}


def test_a_forged_text_with_a_recurrence_that_asks_nobody_is_sent_in_nobodys_name(make_series, eve, preparer):
    series = make_series(request_confirmation=True)
    patch(preparer, series.message, **FORGERY, recurrence=EVERY_MINUTE)
    eve.move_to(NINE - HOUR + 2 * MINUTE)
    execution = work()
    assert execution is None or execution.confirmed_at is None


def test_a_forged_text_alone_waits_where_a_series_never_asks(make_series, eve, preparer):
    series = make_series()
    patch(preparer, series.message, **FORGERY)
    eve.move_to(NINE)
    execution = work()
    assert (execution.state, execution.confirmed_by, execution.prepared_by) == (State.READY, None, None)
