"""Deliveries by a date formula: due times from the profiles' fields, what the dialog tells of them, and past dates."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from campaigns.models import Profile, Schedule
from deliveries.admin.dashboard.confirm_dialog import confirmation
from deliveries.lifecycle import commands, progress
from deliveries.models import Delivery, SendingLog
from deliveries.models.states import State
from deliveries.preparation import prepare
from deliveries.sending import leases

pytestmark = pytest.mark.django_db
NINE = datetime(2026, 3, 20, 8, tzinfo=UTC)
RENEWALS = ["2026-04-01", "2026-04-05 10:00+00:00", "2026-03-01", "soon", None]


@pytest.fixture
def make(message, routing, starter):
    """make(formula) gives a prepared delivery to five people, its contact date nine in Paris."""

    def made(formula="{{ renewal }}"):
        Profile.objects.bulk_create(
            Profile(email=f"p{n}@example.com", attributes={} if at is None else {"renewal": at})
            for n, at in enumerate(RENEWALS)
        )
        Schedule.objects.create(
            message=message, mode="formula", formula=formula, contact_date=NINE, time_zone="Europe/Paris"
        )
        delivery = commands.create_delivery(message, starter)
        commands.prepare(delivery, starter)
        prepare.run(delivery.pk)
        delivery.refresh_from_db()
        return delivery

    with time_machine.travel("2026-03-10 12:00+00:00", tick=False):
        yield made


def test_each_is_due_at_their_own_date_and_without_one_at_the_contact_date(make, monkeypatch):
    monkeypatch.setattr("deliveries.preparation.times.send_times.READ_AT_ONCE", 2)
    delivery = make()
    found = [at.astimezone(UTC) for at in SendingLog.objects.order_by("profile").values_list("due_at", flat=True)]
    april, fifth, march = (datetime(2026, *day, tzinfo=UTC) for day in ((4, 1, 7), (4, 5, 10), (3, 1, 8)))
    assert found == [april, fifth, march, NINE, NINE]
    assert (delivery.first_due_at, delivery.last_due_at) == (march, fifth)
    told = delivery.events.get(code="date-unreadable")
    assert told.severity == 1 and "2 people" in told.message
    assert "2 warnings" in delivery.events.get(code="preparation_finished").message


def test_the_dialog_names_the_earliest_the_latest_and_how_many_are_past(make):
    sentence = confirmation(make()).sentence
    assert "earliest at 2026-03-01 09:00 Europe/Paris" in sentence and "latest at 2026-04-05 12:00" in sentence
    assert "The date of 1 is past already" in sentence


def test_what_is_past_leaves_as_soon_as_it_is_confirmed_and_the_rest_waits(make, starter):
    delivery = make()
    commands.confirm(delivery, starter)
    assert delivery.validity_end == datetime(2026, 4, 5, 10, tzinfo=UTC) + timedelta(days=3.5)
    # The database's clock decides about these.
    SendingLog.objects.exclude(due_at__lt=NINE).update(due_at="2100-01-01T00:00Z")
    Delivery.objects.update(start_by=None, validity_end="2100-01-01T00:00Z")
    assert progress.start(delivery.pk)
    lease = leases.take(delivery.batches.get().pk)
    assert [row.address for row in leases.claim(lease, 10)] == ["p2@example.com"]


def test_a_formula_that_cannot_be_computed_stops_the_preparation_and_says_why(make):
    delivery = make("{{ nonsense }}")
    assert delivery.state == State.PREPARATION_FAILED
    assert "nonsense" in delivery.events.get(code="date-formula").message


def test_the_form_shows_what_is_wrong_with_a_formula_and_keeps_it(client, message, starter):
    client.force_login(starter)
    data = {
        "label": "Spring",
        "campaign": message.campaign_id,
        "brand": message.brand_id,
        "audience": message.audience_id,
        "control_group-TOTAL_FORMS": 0,
        "control_group-INITIAL_FORMS": 0,
        "tracking-TOTAL_FORMS": 0,
        "tracking-INITIAL_FORMS": 0,
        "schedule-TOTAL_FORMS": 1,
        "schedule-INITIAL_FORMS": 0,
        "recurrence-TOTAL_FORMS": 0,
        "recurrence-INITIAL_FORMS": 0,
        "schedule-0-mode": "formula",
        "schedule-0-contact_date_0": "2100-01-01",
        "schedule-0-contact_date_1": "09:00",
        "schedule-0-formula": "{{ renewl }}",
        "schedule-0-wave_limit": "10",
        "schedule-0-wave_interval": "1:00:00",
        "schedule-0-delivery_duration": "5 00:00:00",
    }
    answer = client.post(f"/admin/campaigns/message/{message.pk}/change/", data)
    page = answer.content.decode()
    assert "no field is called" in page and "renewl" in page
    Profile.objects.create(email="a@example.com", attributes={"renewl": "2026-04-01"})
    assert client.post(f"/admin/campaigns/message/{message.pk}/change/", data).status_code == 302
    assert Schedule.objects.get().formula == "{{ renewl }}"
