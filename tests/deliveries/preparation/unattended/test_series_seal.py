"""A series is sealed when it is switched on: another form is nobody's, waits, and is continued by an act of its own.

Each attack is somebody's with Prepare deliveries alone, by a road that is open to them.
"""

from __future__ import annotations

from datetime import time

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.db import transaction

from campaigns.accounts import staff_mail
from campaigns.models import Audience, Campaign, Profile, Recurrence, Schedule
from deliveries.admin.dashboard.confirm_dialog import confirmation
from deliveries.lifecycle import approving, auto_start, commands
from deliveries.lifecycle.recurrence import executions, runs
from deliveries.models import Delivery, SeriesSeal
from deliveries.models.states import State
from deliveries.preparation import prepare, sealing
from deliveries.preparation.unattended import series_seal
from deliveries.workers import tasks
from tests.deliveries.page_form import posted
from tests.deliveries.preparation.changing import (
    EVERY_MINUTE,
    FORGERY,
    HOUR,
    MINUTE,
    NINE,
    ROADS,
    audience,
    patch,
    work,
)
from tests.deliveries.preparation.test_sealing import DATE, FIELDS, change

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("eve")]


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


@pytest.mark.parametrize("road", ROADS)
def test_whatever_of_the_form_changes_by_any_road_waits(make_series, eve, preparer, road):
    series = make_series()
    ROADS[road](preparer, series.message)
    eve.move_to(NINE)
    execution = work()
    assert (State(execution.state), execution.confirmed_by) == (State.READY, None)
    assert execution.prepared_by is None and not execution.starts_by_itself
    assert "Changed since the series was switched on:" in execution.events.get(code="form_changed").words


def test_the_same_form_starts_in_its_owners_name(make_series, eve, starter):
    make_series()
    eve.move_to(NINE)
    execution = work()
    assert (execution.confirmed_by, execution.prepared_by) == (starter, starter)
    assert not execution.events.filter(code="form_changed").exists()


def test_values_of_profiles_and_members_of_lists_are_data(make_series, eve, message):
    people = Audience.objects.create(label="List", kind="list")
    message.audience = people
    message.save()
    make_series()
    people.members.add(Profile.objects.get())
    Profile.objects.update(city="Paris")
    eve.move_to(NINE)
    assert work().to_deliver == 1 and work().confirmed_by is not None


SLOTS = {
    "frequency": {"frequency": "monthly"},
    "at": {"at": "10:00"},
    "cron": {"frequency": "cron", "cron": "* * * * *"},
    "zone": {"time_zone": "Asia/Tokyo"},
    "until": {"until": "2026-03-29T00:00Z"},
    "aggregation": {"aggregation": "day"},
}


@pytest.mark.parametrize("who, slots", [*(("preparer", slots) for slots in SLOTS), ("starter", "cron")])
def test_other_slots_switch_a_series_off_that_never_asks(make_series, eve, preparer, starter, who, slots):
    series = make_series()
    daily = {"frequency": "daily", "at": "09:00", "time_zone": "Europe/Paris", "request_confirmation": False}
    told = patch({"preparer": preparer, "starter": starter}[who], series.message, recurrence=daily | SLOTS[slots])
    assert told["recurrence"]["next_at"] is None
    line = series.events.get(code="series_halted")
    assert line.user.username == who and "executions would start unasked" in line.words
    eve.move_to(NINE + HOUR * 30)
    assert work() is None


def test_the_same_slots_leave_it_on(make_series, preparer):
    daily = {"frequency": "daily", "at": "09:00", "time_zone": "Europe/Paris", "request_confirmation": False}
    assert patch(preparer, make_series().message, recurrence=daily)["recurrence"]["next_at"]


def test_a_series_that_asks_keeps_on_with_other_slots_and_goes_off_when_it_is_to_ask_no_more(make_series, preparer):
    series = make_series(request_confirmation=True)
    daily = {"frequency": "daily", "at": "10:00", "time_zone": "Europe/Paris"}
    assert patch(preparer, series.message, recurrence=daily)["recurrence"]["next_at"]
    told = patch(preparer, series.message, recurrence=daily | {"request_confirmation": False})
    assert told["recurrence"]["next_at"] is None


def test_a_saved_row_never_switches_a_series_on_again(make_series, starter):
    """Somebody's form was read before the holder switched it off."""
    series, held = make_series(), Recurrence.objects.get()
    executions.stop_series(series, starter)
    held.save()
    assert Recurrence.objects.get().next_at is None


def test_a_program_without_a_person_switches_it_off_too(make_series):
    series = make_series()
    recurrence = Recurrence.objects.get()
    recurrence.at = time(10)
    recurrence.save()
    assert Recurrence.objects.get().next_at is None and series.events.get(code="series_halted").user is None


def test_slots_changed_past_the_model_wait_for_a_confirmation(make_series, eve):
    make_series()
    Recurrence.objects.update(at=time(10))
    eve.move_to(NINE)
    assert work().state == State.READY


def test_deleting_and_writing_the_recurrence_again_leaves_it_off_and_says_so(make_series, eve, preparer):
    series = make_series()
    patch(preparer, series.message, recurrence=None)
    assert "preparer deleted its recurrence" in series.events.get(code="series_halted").words
    patch(preparer, series.message, recurrence=EVERY_MINUTE)
    eve.move_to(NINE)
    assert work() is None


@pytest.mark.parametrize("chosen", [True, False])
def test_the_owner_and_those_who_may_start_it_are_told(make_series, preparer, starter, make_user, chosen):
    series, other = make_series(), make_user("other", "Start deliveries")
    if not chosen:
        staff_mail.choose(other, [])
    patch(preparer, series.message, recurrence=EVERY_MINUTE)
    tasks.tell_series_off(series.pk)
    told = {mail.to[0] for mail in mail.outbox}
    assert told == {"starter@example.com", *(["other@example.com"] if chosen else [])}
    assert (
        "preparer changed frequency, cron" in mail.outbox[0].body and series.get_absolute_url() in mail.outbox[0].body
    )


def test_the_form_says_before_and_after_what_a_change_does(make_series, preparer, client):
    series = make_series()
    client.force_login(preparer)
    page = f"/admin/campaigns/message/{series.message_id}/change/"
    before = client.get(page).content.decode()
    assert "The series is on, and its executions start without being asked." in before
    answer = client.post(page, posted(before) | {"recurrence-0-at": "10:00:00"}, follow=True)
    assert "The series is off now." in answer.content.decode()
    assert Recurrence.objects.get().next_at is None


# --- an execution that waits, and going on in its form ----------------------------------------------------------------


@pytest.fixture
def forged(make_series, eve, preparer):
    """An execution whose text somebody changed, with its series."""
    series = make_series()
    patch(preparer, series.message, **FORGERY)
    eve.move_to(NINE)
    execution = work()
    return series, execution


def test_the_dialog_the_mail_and_both_dashboards_name_what_changed(forged, starter, client):
    series, execution = forged
    words = "Changed since the series was switched on: HTML, subject."
    assert words in confirmation(execution).warnings
    auto_start.request_confirmation(execution.pk)
    assert words in mail.outbox[0].body
    client.force_login(starter)
    for page in (
        series.get_absolute_url(),
        execution.get_absolute_url(),
        f"{execution.get_absolute_url()[:-7]}confirm/",
    ):
        assert words in client.get(page).content.decode()


def test_it_is_confirmed_by_hand_in_the_name_of_whoever_did_it_and_the_next_one_asks_again(forged, eve, make_user):
    _series, execution = forged
    other = make_user("other", "Start deliveries")
    commands.confirm(execution, other)
    assert execution.confirmed_by == other
    eve.move_to(NINE + 24 * HOUR)
    assert work().confirmed_by is None


def test_once_it_is_continued_the_next_one_starts_in_the_name_of_whoever_saw_it(forged, eve, make_user):
    series, _execution = forged
    other = make_user("other", "Start deliveries")
    executions.continue_series(series, other)
    eve.move_to(NINE + 24 * HOUR)
    assert (work().confirmed_by, Recurrence.objects.get().owner) == (other, other)
    line = series.events.get(code="series_continued")
    assert line.user == other and "HTML, subject" in line.words


def test_the_one_that_waits_does_not_start_once_its_series_is_continued_in_another_form(forged, starter, preparer):
    series, execution = forged
    patch(preparer, series.message, subject="A third")
    executions.continue_series(series, starter)
    Delivery.objects.filter(pk=execution.pk).update(starts_by_itself=True)  # as a stale writer would
    auto_start.start_unasked()
    execution.refresh_from_db()
    assert execution.confirmed_by is None


def test_continuing_takes_start_deliveries(forged, preparer):
    with pytest.raises(PermissionDenied):
        executions.continue_series(forged[0], preparer)


def test_a_series_in_its_own_form_or_switched_off_is_not_continued(make_series, starter):
    series = make_series()
    with pytest.raises(commands.Refused) as refusal:
        executions.continue_series(series, starter)
    assert refusal.value.code == "unchanged"
    executions.stop_series(series, starter)
    with pytest.raises(commands.Refused) as refusal:
        executions.continue_series(series, starter)
    assert refusal.value.code == "off"


def test_a_holder_who_prepares_it_again_has_not_confirmed_it(forged, starter):
    _series, execution = forged
    commands.prepare(execution, starter)
    prepare.run(execution.pk)
    auto_start.start_unasked()
    execution.refresh_from_db()
    assert (execution.state, execution.confirmed_by, execution.prepared_by) == (State.READY, None, starter)


def test_an_execution_that_is_held_back_comes_late_and_waits(make_series, eve, preparer):
    """Stopping its preparation and preparing it hours later is another time than the holder confirmed."""
    make_series()
    eve.move_to(NINE)
    executions.tick()
    execution = Delivery.objects.get(parent__isnull=False)
    commands.stop_preparation(execution, preparer)
    eve.move_to(NINE + 5 * HOUR)
    commands.prepare(execution, preparer)
    assert work().confirmed_by is None


@pytest.mark.parametrize("rule", ["four_eyes", "needs_approval"])
def test_where_two_people_are_wanted_nobody_confirms_alone_what_nobody_prepared(make_series, eve, make_user, rule):
    """Who wrote it, and may start, would else be the only one who looked at it."""
    Campaign.objects.update(**{rule: True})
    series, writer = make_series(), make_user("writer", "Start deliveries")
    patch(writer, series.message, **FORGERY)
    eve.move_to(NINE)
    execution = work()
    with pytest.raises(commands.Refused):
        approving.approve(execution, writer)
    with pytest.raises(commands.Refused, match="Prepare it again"):
        commands.confirm(execution, writer)


def test_where_the_second_person_is_waived_nothing_starts_that_waited_for_one(make_series, eve, starter):
    """By an administrator, who may not start anything."""
    Campaign.objects.update(four_eyes=True)
    make_series()
    Campaign.objects.update(four_eyes=False)
    eve.move_to(NINE)
    execution = work()
    assert execution.confirmed_by is None and "approval" in execution.events.get(code="form_changed").words


def test_a_series_that_is_on_since_before_the_upgrade_asks_and_says_why(make_series, eve, starter, client):
    series = make_series()
    SeriesSeal.objects.all().delete()
    eve.move_to(NINE)
    execution = work()
    words = "The series was switched on before an upgrade: nobody has confirmed its form since."
    assert (execution.confirmed_by, execution.prepared_by) == (None, None)
    assert words in execution.events.get(code="form_changed").words and words in confirmation(execution).warnings
    client.force_login(starter)
    assert words in client.get(series.get_absolute_url()).content.decode()
    executions.continue_series(series, starter)
    eve.move_to(NINE + 24 * HOUR)
    assert work().confirmed_by == starter


def test_an_audience_changed_after_a_run_was_noted_adds_nobody(make_series, eve, preparer):
    series = make_series(frequency="cron", cron="0 * * * *", aggregation="day")
    eve.move_to(NINE)
    first = work()
    Profile.objects.create(email="late@example.com")
    eve.move_to(NINE + HOUR)
    executions.tick()
    audience(preparer, series.message)  # before a worker comes
    runs.run(first.pk)
    assert first.sending_logs.count() == 1 and first.events.filter(code="run_apart").exists()
    eve.move_to(NINE + HOUR + MINUTE)
    executions.prepare_forgotten()
    own = work()
    assert (own.slot, own.confirmed_by, own.state) == (NINE + HOUR, None, State.READY)


def test_a_changed_form_waits_with_aggregation_and_later_runs_join_it(make_series, eve, preparer):
    series = make_series(frequency="cron", cron="0 * * * *", aggregation="day")
    eve.move_to(NINE)
    work()
    patch(preparer, series.message, **FORGERY)
    eve.move_to(NINE + HOUR)
    assert work().confirmed_by is None
    assert series.executions.count() == 2


def test_an_execution_offers_to_continue_its_series_once_it_is_confirmed(forged, starter, client):
    series, execution = forged
    client.force_login(starter)
    offered = lambda: "continue-series" in client.get(execution.get_absolute_url()).content.decode()  # noqa: E731
    assert not offered()
    commands.confirm(execution, starter)
    assert offered()
    address = f"/admin/deliveries/delivery/{execution.pk}/continue-series/"
    client.post(address, posted(client.get(address).content.decode()))
    assert not offered() and series_seal.changed(Delivery.objects.get(pk=series.pk)) == ""


# --- every field ------------------------------------------------------------------------------------------------------


def test_every_field_of_message_and_schedule_is_in_the_form_of_a_series(make_series):
    series, outside = make_series(), set()
    Schedule.objects.create(message=series.message, mode="at_date", contact_date=DATE, waves="30%")
    series = Delivery.objects.get(pk=series.pk)
    series_seal.keep(series, sealing.form(series, series.message), None)
    for name in FIELDS:
        with transaction.atomic():
            change(series, name)
            if not series_seal.changed(Delivery.objects.get(pk=series.pk)):
                outside.add(name)
            transaction.set_rollback(True)
    assert not outside
