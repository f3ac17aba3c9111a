"""What starts without being asked is what a holder of Start deliveries saw: by a series, or once it is prepared.

Each attack is somebody's with Prepare deliveries alone, by a road that is open to them.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from io import StringIO

import pytest
import time_machine
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client
from rest_framework.test import APIClient

from campaigns import api_tokens, notices
from campaigns.fingerprint import changed_since_seen, word
from campaigns.models import (
    Audience,
    Brand,
    Campaign,
    Profile,
    Recurrence,
    Schedule,
    TestProfile,
    Typology,
)
from campaigns.unit_models import ROOT, OrganizationalUnit
from deliveries import (
    appending,
    commands,
    executions,
    preparing,
    proof_verdicts,
    sealing,
    series_seals,
    starting,
    tasks,
)
from deliveries.confirmation import confirmation
from deliveries.models import Delivery, Routing, SeriesSeal
from deliveries.states import State

from .page_form import posted
from .test_sealing import DATE, FIELDS, change

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
    for execution in Delivery.objects.filter(state=State.TARGETING_PENDING):
        preparing.run(execution.pk)
    starting.start_unasked()
    return Delivery.objects.filter(parent__isnull=False).order_by("-slot").first()


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


# --- a series that never asks, by every road --------------------------------------------------------------------------


def audience(preparer, message):
    """The audience's own definition, by API."""
    client = APIClient()
    client.force_authenticate(preparer)
    body = {"kind": "filter", "conditions": [{"field": "country", "op": "is_empty"}]}
    assert client.patch(f"/api/audiences/{message.audience_id}/", body, format="json").status_code == 200


def by_form(preparer, message):
    """The message's page."""
    client = Client()
    client.force_login(preparer)
    page = f"/admin/campaigns/message/{message.pk}/change/"
    data = posted(client.get(page).content.decode()) | {"html": FORGERY["html"]}
    assert client.post(page, data).status_code == 302


def elsewhere(preparer, message):
    """To a campaign that others may start."""
    patch(preparer, message, campaign=Campaign.objects.create(label="Other").pk)


def brand(preparer, message):
    other = Brand.objects.create(label="Other", sender_name="O", sender_address="o@example.com", sender_domains="*")
    patch(preparer, message, brand=other.pk)


def trap(preparer, message):
    made = TestProfile.objects.create(label="Trap", email="outsider@example.net", trap=True)
    patch(preparer, message, traps=[made.pk])


def shell(model, **values):
    """A change by an administrator, or by a program without a person."""
    return lambda preparer, message: model.objects.update(**values)


def rule(preparer, message):
    typology = Typology.objects.create(label="Default", is_default=True)
    typology.rules.create(label="One", kind="addresses", entries="b@example.com")


def unit(preparer, message):
    below = OrganizationalUnit.objects.create(label="Below", name="below", parent_id=ROOT)
    Campaign.objects.update(unit=below)
    Profile.objects.update(unit=below)


def api(**body):
    return lambda preparer, message: patch(preparer, message, **body)


ROADS = {
    "subject": api(subject="Forged"),
    "html by form": by_form,
    "text": api(text="Forged {{ unsubscribe_url }}"),
    "sender": api(sender_name="Forged"),
    "reply-to": api(reply_to="other@example.com"),
    "brand": brand,
    "audience": audience,
    "another audience": lambda p, m: patch(p, m, audience=Audience.objects.create(label="X", kind="all").pk),
    "typology": lambda p, m: patch(p, m, typology=Typology.objects.create(label="Lax").pk),
    "a typology's rule": rule,
    "control group": api(control_group={"extraction": "random", "percent": 10}),
    "tracking": api(tracking={"active": False}),
    "trap": trap,
    "waves": api(schedule={"waves": "50%"}),
    "validity": api(schedule={"delivery_duration": "01:00:00"}),
    "another campaign": elsewhere,
    "unit": unit,
    "approval": shell(Campaign, needs_approval=True),
    "mail server": shell(Routing, host="localhost"),
    "return path": shell(Routing, return_domain="bounces.example.net"),
    "default brand's sender": shell(Brand, sender_name="Forged"),
}


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
        notices.choose(other, [])
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
    words = "Changed since the series was switched on: subject, HTML."
    assert words in confirmation(execution).warnings
    starting.request_confirmation(execution.pk)
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
    assert line.user == other and "subject, HTML" in line.words


def test_the_one_that_waits_does_not_start_once_its_series_is_continued_in_another_form(forged, starter, preparer):
    series, execution = forged
    patch(preparer, series.message, subject="A third")
    executions.continue_series(series, starter)
    Delivery.objects.filter(pk=execution.pk).update(starts_by_itself=True)  # as a stale writer would
    starting.start_unasked()
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
    preparing.run(execution.pk)
    starting.start_unasked()
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
        proof_verdicts.approve(execution, writer)
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
    appending.run(first.pk)
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


# --- what is prepared is what was asked for ---------------------------------------------------------------------------


@pytest.fixture
def unasked(message, routing, starter):
    """A delivery that starts by itself; the holder asked for its preparation, and no worker has come yet."""
    Profile.objects.create(email="a@example.com")
    Schedule.objects.create(message=message, request_confirmation=False)
    made = commands.create_delivery(message, starter)
    commands.prepare(made, starter)
    return made


def started(delivery):
    """Whether it starts once it is prepared."""
    preparing.run(delivery.pk)
    starting.start_unasked()
    delivery.refresh_from_db()
    return delivery.confirmed_by


def test_unchanged_it_starts_in_the_name_of_whoever_asked(unasked, starter):
    assert started(unasked) == starter


SOME = {"html by form", "audience", "another campaign", "mail server"}  # the others are compared by the same seal


@pytest.mark.parametrize("road", [pytest.param(r, marks=[] if r in SOME else pytest.mark.slow) for r in ROADS])
def test_what_was_changed_before_a_worker_came_waits(unasked, preparer, road):
    ROADS[road](preparer, unasked.message)
    assert started(unasked) is None and unasked.prepared_by is None
    assert "Changed since the preparation was asked for" in unasked.events.get(code="form_changed").words


def test_asking_turned_off_before_a_worker_came_still_asks(message, routing, starter, preparer):
    Profile.objects.create(email="a@example.com")
    made = commands.create_delivery(message, starter)
    commands.prepare(made, starter)
    patch(preparer, message, schedule={"request_confirmation": False})
    assert started(made) is None


def test_what_was_changed_after_a_worker_died_waits(unasked, preparer):
    preparing._take(unasked.pk)
    patch(preparer, unasked.message, **FORGERY)
    Delivery.objects.filter(pk=unasked.pk).update(preparation_at=NINE - 9 * HOUR)
    assert started(unasked) is None


def test_prepared_again_by_somebody_else_it_is_not_the_holders(unasked, preparer, starter):
    preparing.run(unasked.pk)
    (stale,) = starting.with_message(Delivery.objects.all())  # as the sweeper read it
    patch(preparer, unasked.message, **FORGERY)
    commands.prepare(Delivery.objects.get(pk=unasked.pk), preparer)
    preparing.run(unasked.pk)
    with pytest.raises(commands.Refused, match="Somebody has to confirm it"):
        commands.confirm_unasked(stale)
    unasked.refresh_from_db()
    assert unasked.confirmed_by is None and started(unasked) is None


def test_what_the_preparation_reads_later_is_what_was_sealed(unasked, preparer, starter):
    """A trap and a control group that are there only while the target is counted."""
    preparation = preparing._take(unasked.pk)
    made = TestProfile.objects.create(label="Trap", email="outsider@example.net", trap=True)
    patch(preparer, unasked.message, traps=[made.pk], control_group={"extraction": "random", "percent": 100})
    preparation.run()
    patch(preparer, unasked.message, traps=[], control_group=None)
    assert list(unasked.sending_logs.values_list("address", "status")) == [("a@example.com", 0)]


@pytest.mark.parametrize("rights", [["prepare"], ["prepare", "start"]])
def test_a_program_whose_token_may_not_start_starts_nothing_in_its_owners_name(unasked, starter, rights):
    """The schedule asks nobody, and the owner may start it; the token that asks for the preparation may not."""
    commands.stop_preparation(unasked, starter)
    program = APIClient()
    program.credentials(HTTP_AUTHORIZATION=f"Token {api_tokens.give(starter, 'A program', rights)[1]}")
    path = f"/api/deliveries/{unasked.pk}/"
    seen = program.get(path).data["form"]
    answer = program.post(f"{path}commands/", {"method": "prepare"}, HTTP_IF_MATCH=f'"{seen}"')
    assert answer.status_code == 200 and (started(unasked) == starter) == ("start" in rights)


def test_whoever_becomes_a_holder_after_asking_has_confirmed_nothing(unasked, preparer, starter):
    """An administrator gives the role between the preparation that was asked for and the worker."""
    commands.stop_preparation(unasked, starter)
    commands.prepare(Delivery.objects.get(pk=unasked.pk), preparer)
    preparer.groups.add(*starter.groups.all())
    assert started(unasked) is None
    assert "Nobody who may start it" in unasked.events.get(code="not_started").words


def test_prepared_from_a_page_that_showed_another_form_nothing_begins(unasked, preparer, starter):
    commands.stop_preparation(unasked, starter)
    shown = word(sealing.form(unasked, unasked.message))
    patch(preparer, unasked.message, **FORGERY)
    unasked = Delivery.objects.get(pk=unasked.pk)
    with pytest.raises(commands.Refused, match="subject, HTML") as refusal:
        commands.prepare(unasked, starter, seen=shown)
    assert refusal.value.code == "form_differs"


def test_a_preparation_from_before_the_upgrade_does_not_start_unasked(unasked, starter):
    Delivery.objects.filter(pk=unasked.pk).update(asked_for={})
    assert started(unasked) is None
    commands.confirm(unasked, starter)


def test_what_was_prepared_before_routings_were_sealed_is_confirmed(message, routing, starter):
    Profile.objects.create(email="a@example.com")
    made = commands.create_delivery(message, starter)
    commands.prepare(made, starter)
    preparing.run(made.pk)
    made.refresh_from_db()
    made.fingerprint.pop("routing")
    made.save()
    commands.confirm(made, starter)
    assert made.confirmed_by == starter


# --- acts of now: what the page showed --------------------------------------------------------------------------------


def test_a_dialog_that_was_open_while_it_was_prepared_anew_confirms_nothing(
    message, routing, starter, preparer, client
):
    Profile.objects.create(email="a@example.com")
    made = commands.create_delivery(message, starter)
    commands.prepare(made, starter)
    preparing.run(made.pk)
    client.force_login(starter)
    address = f"/admin/deliveries/delivery/{made.pk}/confirm/"
    dialog = posted(client.get(address).content.decode())
    patch(preparer, message, **FORGERY)
    commands.prepare(Delivery.objects.get(pk=made.pk), preparer)
    preparing.run(made.pk)
    answer = client.post(address, dialog, follow=True).content.decode()
    assert "Changed since you looked: subject, HTML." in answer
    assert Delivery.objects.get(pk=made.pk).confirmed_by is None
    shown = client.get(address, {"seen": dialog["seen"]}).content.decode()
    assert "Changed since the page behind this was loaded: subject, HTML." in shown and 'id="dm-ok"' not in shown
    client.post(address, posted(client.get(address).content.decode()))
    assert Delivery.objects.get(pk=made.pk).confirmed_by == starter


@pytest.fixture
def off(make_series, starter):
    """A series that never asks, switched off."""
    series = make_series()
    executions.stop_series(series, starter)
    return series


def test_a_series_that_never_asks_is_switched_on_by_the_form_that_was_shown(off, starter, preparer, client):
    client.force_login(starter)
    page = client.get(off.get_absolute_url()).content.decode()
    assert f"/{off.pk}/series-on/?seen=" in page
    address = f"/admin/deliveries/delivery/{off.pk}/series-on/"
    dialog = posted(client.get(address).content.decode())
    client.post(address)  # without the form: nothing
    patch(preparer, off.message, **FORGERY)
    answer = client.post(address, dialog, follow=True).content.decode()
    assert "Changed since you looked: subject, HTML." in answer and Recurrence.objects.get().next_at is None
    client.post(address, posted(client.get(address).content.decode()))
    assert Recurrence.objects.get().next_at and SeriesSeal.objects.get().seen_by == starter


def test_the_api_takes_if_match_for_what_starts_unasked(off, starter, preparer):
    client = APIClient()
    client.force_authenticate(starter)
    command = lambda method, seen=None: client.post(  # noqa: E731
        f"/api/deliveries/{off.pk}/commands/", {"method": method}, **({"HTTP_IF_MATCH": seen} if seen else {})
    )
    form = lambda: client.get(f"/api/deliveries/{off.pk}/").data["form"]  # noqa: E731
    assert command("startSeries").status_code == 428
    seen = form()
    patch(preparer, off.message, **FORGERY)
    differs = command("startSeries", f'"{seen}"')
    assert differs.status_code == 412 and "subject, HTML" in str(differs.data)
    assert command("startSeries", f'"{form()}"').status_code == 200
    patch(preparer, off.message, subject="Again")
    told = client.get(f"/api/deliveries/{off.pk}/").data["changed_since_switched_on"]
    assert told == "Changed since the series was switched on: subject."
    assert command("continueSeries").status_code == 428
    assert command("continueSeries", f'"{form()}"').data["changed_since_switched_on"] == ""


def test_the_command_line_shows_the_form_and_takes_it(off, starter):
    def manage(*arguments):
        out = StringIO()
        call_command("series", *arguments, off.code, "--as", "starter", stdout=out)
        return out.getvalue()

    with pytest.raises(CommandError, match="Say which form"):
        manage("on")
    shown = manage("show")
    assert "Subject: Hello" in shown
    manage("on", "--form", shown.rsplit("form: ", 1)[1].strip())
    assert Recurrence.objects.get().next_at
    manage("off")
    assert Recurrence.objects.get().next_at is None


def test_an_execution_offers_to_continue_its_series_once_it_is_confirmed(forged, starter, client):
    series, execution = forged
    client.force_login(starter)
    offered = lambda: "continue-series" in client.get(execution.get_absolute_url()).content.decode()  # noqa: E731
    assert not offered()
    commands.confirm(execution, starter)
    assert offered()
    address = f"/admin/deliveries/delivery/{execution.pk}/continue-series/"
    client.post(address, posted(client.get(address).content.decode()))
    assert not offered() and series_seals.changed(Delivery.objects.get(pk=series.pk)) == ""


def test_whole_digests_are_compared():
    """Who writes both texts could find two whose digests begin alike."""
    one, other = {"HTML": "0" * 31 + "1"}, {"HTML": "0" * 31 + "2"}
    assert changed_since_seen(word(one), other) == ["HTML"]


# --- every field ------------------------------------------------------------------------------------------------------


def test_every_field_of_message_and_schedule_is_in_the_form_of_a_series(make_series):
    series, outside = make_series(), set()
    Schedule.objects.create(message=series.message, mode="at_date", contact_date=DATE, waves="30%")
    series = Delivery.objects.get(pk=series.pk)
    series_seals.keep(series, sealing.form(series, series.message), None)
    for name in FIELDS:
        with transaction.atomic():
            change(series, name)
            if not series_seals.changed(Delivery.objects.get(pk=series.pk)):
                outside.add(name)
            transaction.set_rollback(True)
    assert not outside
