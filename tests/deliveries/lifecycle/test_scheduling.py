"""When a delivery leaves: at its date, by each recipient's clock, by itself, again after an outage; and undoing it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core import mail
from django.utils import timezone

from campaigns.models import Profile, Schedule
from deliveries.admin.dashboard.confirm_dialog import confirmation
from deliveries.lifecycle import auto_start, commands, progress
from deliveries.models import Batch, Delivery, SendingLog
from deliveries.models.host import heartbeat, restored_database
from deliveries.models.host.heartbeat import Heartbeat
from deliveries.models.states import State
from deliveries.preparation import prepare as preparing
from deliveries.preparation.sealing import fingerprint
from deliveries.workers import restored_copy, sweeper, tasks

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def delivery(message, routing, starter):
    Profile.objects.create(email="a@example.com")
    return commands.create_delivery(message, starter)


def schedule(delivery, **fields):
    """Give the message a schedule; a contact date may be a number of hours from now."""
    date = fields.pop("date", None)
    if date is not None:
        fields |= {"mode": fields.get("mode", "at_date"), "contact_date": timezone.now() + HOUR * date}
    Schedule.objects.update_or_create(message=delivery.message, defaults=fields)
    delivery.message = type(delivery.message).objects.get(pk=delivery.message_id)


def prepare(delivery, by):
    commands.prepare(delivery, by)
    preparing.run(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def stands(delivery):
    delivery.refresh_from_db()
    return State(delivery.state)


def codes(delivery):
    return list(delivery.events.order_by("pk").values_list("code", flat=True))


# --- the contact date -------------------------------------------------------------------------------------------------


def test_before_its_date_a_confirmed_delivery_waits(delivery, starter):
    schedule(delivery, date=2)
    commands.confirm(prepare(delivery, starter), starter)
    assert not progress.start(delivery.pk)
    assert stands(delivery) == State.START_PENDING
    assert delivery.contact_date == delivery.message.schedule.contact_date


def test_nothing_leaves_on_its_date_until_somebody_confirms(delivery, starter):
    schedule(delivery, date=-1)
    prepare(delivery, starter)
    auto_start.start_unasked()
    assert not progress.start(delivery.pk) and stands(delivery) == State.READY
    assert "as soon as you confirm" in confirmation(delivery).sentence
    commands.confirm(delivery, starter)
    assert progress.start(delivery.pk)


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "immediate"},
        {"date": 3},
        {"mode": "recipient_zone"},
        {"time_zone": "Asia/Tokyo"},
        {"request_confirmation": False},
        {"waves": "50%"},
        {"delivery_duration": HOUR},
    ],
)
def test_any_change_of_the_schedule_refuses_the_confirmation(delivery, starter, change):
    schedule(delivery, date=2)
    prepare(delivery, starter)
    schedule(delivery, **change)
    with pytest.raises(commands.Refused) as refusal:
        commands.confirm(delivery, starter)
    assert refusal.value.details["changed"] == ["validity" if "delivery_duration" in change else "schedule"]


# --- by the recipient's clock -----------------------------------------------------------------------------------------


@time_machine.travel("2026-03-01 12:00+00:00", tick=False)
def test_each_recipient_is_due_at_the_same_clock_where_they_live(delivery, starter, settings):
    settings.BATCH_SIZE = 2
    Profile.objects.update(time_zone="Europe/Paris")
    zones = ["Asia/Tokyo", "America/New_York", "", "No/Where"]
    Profile.objects.bulk_create(Profile(email=f"p{n}@example.com", time_zone=zone) for n, zone in enumerate(zones))
    date = datetime(2026, 3, 29, 8, tzinfo=UTC)  # ten in Paris, on the day that summer time begins there
    schedule(delivery, mode="recipient_zone", contact_date=date, time_zone="Europe/Paris")
    prepare(delivery, starter)
    found = SendingLog.objects.order_by("profile").values_list("due_at", flat=True)
    tokyo, new_york = datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 3, 29, 14, tzinfo=UTC)
    assert list(found) == [date, tokyo, new_york, date, date]
    assert list(Batch.objects.order_by("pk").values_list("next_due_at", flat=True)) == [tokyo, date, date]
    assert (delivery.first_due_at, delivery.last_due_at) == (tokyo, new_york)
    commands.confirm(delivery, starter)
    assert delivery.contact_date == tokyo and delivery.validity_end == new_york + timedelta(days=3.5)


@time_machine.travel("2026-03-29 03:00+00:00", tick=False)
def test_the_dialog_names_the_first_and_the_last_instant_and_what_is_past(delivery, starter):
    Profile.objects.update(time_zone="Asia/Tokyo")
    Profile.objects.create(email="b@example.com", time_zone="America/New_York")
    date = datetime(2026, 3, 29, 8, tzinfo=UTC)
    schedule(delivery, mode="recipient_zone", contact_date=date, time_zone="Europe/Paris")
    facts = confirmation(prepare(delivery, starter))
    assert "2026-03-29 01:00" in facts.sentence and "2026-03-29 14:00" in facts.sentence
    assert "past" in facts.sentence and any("Less than a day" in warning for warning in facts.warnings)


# --- without confirmation ---------------------------------------------------------------------------------------------


def test_it_starts_by_itself_despite_warnings_in_the_preparers_name(delivery, starter):
    schedule(delivery, request_confirmation=False, delivery_duration=timedelta(days=5))
    prepare(delivery, starter)
    assert delivery.events.filter(severity=1).exists()
    auto_start.start_unasked()
    assert stands(delivery) == State.START_PENDING and delivery.confirmed_by == starter
    assert progress.start(delivery.pk)


def test_the_sweeper_starts_it(delivery, starter):
    schedule(delivery, request_confirmation=False)
    prepare(delivery, starter)
    sweeper.sweep()
    assert stands(delivery) == State.IN_PROGRESS


def test_it_waits_for_its_date_all_the_same(delivery, starter):
    schedule(delivery, date=1, request_confirmation=False)
    prepare(delivery, starter)
    auto_start.start_unasked()
    assert stands(delivery) == State.START_PENDING and not progress.start(delivery.pk)


def test_with_an_error_it_never_starts(delivery, starter):
    schedule(delivery, request_confirmation=False)
    delivery.message.html = "{{ nonsense }}"
    delivery.message.save()
    prepare(delivery, starter)
    auto_start.start_unasked()
    assert stands(delivery) == State.PREPARATION_FAILED


def test_without_the_role_it_waits_and_those_who_hold_it_are_asked_once(delivery, starter, preparer):
    schedule(delivery, request_confirmation=False)
    prepare(delivery, preparer)
    auto_start.start_unasked()
    assert stands(delivery) == State.READY and "not_started" in codes(delivery)
    for _ in range(2):
        auto_start.request_confirmation(delivery.pk)
    assert [m.to for m in mail.outbox] == [["starter@example.com"]]
    assert f"/{delivery.pk}/" in mail.outbox[0].body


def test_what_changed_meanwhile_does_not_start_by_itself(delivery, starter):
    schedule(delivery, request_confirmation=False)
    prepare(delivery, starter)
    type(delivery.message).objects.update(subject="Other")
    auto_start.start_unasked()
    assert stands(delivery) == State.READY and not delivery.starts_by_itself


# --- undo -------------------------------------------------------------------------------------------------------------


def test_while_it_may_be_undone_nothing_starts(delivery, starter, settings):
    settings.UNDO_SECONDS = 5
    commands.confirm(prepare(delivery, starter), starter)
    assert not progress.start(delivery.pk)
    Delivery.objects.update(undo_until=timezone.now() - timedelta(seconds=1))
    assert progress.start(delivery.pk)


def test_undoing_leaves_everything_as_before_the_confirmation(delivery, starter):
    before = prepare(delivery, starter).fingerprint
    commands.confirm(delivery, starter)
    commands.undo_confirmation(delivery, starter)
    assert (stands(delivery), delivery.confirmed_at, delivery.contact_date) == (State.READY, None, None)
    delivery.message.refresh_from_db()
    assert delivery.message.locked_at is None and fingerprint(delivery, delivery.message) == before
    commands.confirm(delivery, starter)
    assert progress.start(delivery.pk)


def test_what_has_started_cannot_be_undone(delivery, starter):
    commands.confirm(prepare(delivery, starter), starter)
    progress.start(delivery.pk)
    with pytest.raises(commands.Refused) as refusal:
        commands.undo_confirmation(delivery, starter)
    assert refusal.value.code == "already_started" and stands(delivery) == State.IN_PROGRESS


# --- another person ---------------------------------------------------------------------------------------------------


def test_where_the_campaign_wants_two_people_the_preparer_cannot_confirm(delivery, starter, make_user):
    delivery.campaign.four_eyes = True
    delivery.campaign.save()
    prepare(delivery, starter)
    with pytest.raises(commands.Refused) as refusal:
        commands.confirm(delivery, starter)
    assert refusal.value.code == "own_preparation"
    commands.confirm(delivery, make_user("other", "Start deliveries"))


# --- outages and copies -----------------------------------------------------------------------------------------------


def test_what_comes_too_late_is_asked_for_again(delivery, starter):
    schedule(delivery, date=1)
    commands.confirm(prepare(delivery, starter), starter)
    past = timezone.now() - HOUR
    Delivery.objects.update(contact_date=past, start_by=past + HOUR / 2)
    assert not progress.start(delivery.pk)
    auto_start.ask_again()
    assert stands(delivery) == State.READY and delivery.asks and "overdue" in codes(delivery)
    delivery.message.refresh_from_db()
    assert delivery.message.locked_at is None


def test_a_resumed_delivery_is_not_late(delivery, starter):
    commands.confirm(prepare(delivery, starter), starter)
    commands.pause(delivery, starter)
    Delivery.objects.update(start_by=timezone.now() - HOUR)
    delivery.refresh_from_db()
    commands.resume(delivery, starter)
    auto_start.ask_again()
    assert progress.start(delivery.pk)


def test_on_a_restored_copy_nothing_leaves_before_somebody_looks(delivery, starter):
    commands.confirm(prepare(delivery, starter), starter)
    restored_copy.hold_everything(restored_copy.REASON)
    assert stands(delivery) == State.READY and "distrusted" in codes(delivery)
    commands.confirm(delivery, starter)
    progress.start(delivery.pk)
    restored_copy.hold_everything(restored_copy.REASON)
    assert stands(delivery) == State.PAUSED


@pytest.fixture
def host(settings, tmp_path, monkeypatch):
    """A host whose database is named "one", and that has just given a sign of life."""
    settings.JOURNAL_DIR = tmp_path
    monkeypatch.setattr(heartbeat, "place", lambda: "one")
    monkeypatch.setattr(heartbeat, "_beaten_at", -10.0)
    heartbeat.beat()
    return monkeypatch


def test_the_database_of_ever_is_no_copy(host):
    assert not restored_database.is_restored()
    Heartbeat.objects.create(host="another", beat_at=timezone.now() - 1000 * HOUR, place="one")
    assert not restored_database.is_restored()


def test_a_database_in_another_place_is_a_copy_until_it_is_accepted(host):
    host.setattr(heartbeat, "place", lambda: "two")
    assert restored_database.is_restored()
    restored_copy.look()
    assert not restored_database.is_restored()


def test_on_a_copy_a_task_that_was_waiting_starts_nothing(host, delivery, starter):
    commands.confirm(prepare(delivery, starter), starter)
    host.setattr(heartbeat, "place", lambda: "two")
    tasks.start_delivery(delivery.pk)
    assert stands(delivery) == State.READY


def test_a_database_that_knows_less_than_the_host_is_a_copy(host):
    Heartbeat.objects.update(beat_at=timezone.now() - HOUR)
    assert restored_database.is_restored()
    restored_copy.look()
    assert not restored_database.is_restored()
