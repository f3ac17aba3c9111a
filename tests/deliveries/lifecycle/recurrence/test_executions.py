"""Recurrences: one execution a slot, whoever looks how often and whatever the clocks do; requests and their end."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
import time_machine
from django.core import mail
from django.core.exceptions import PermissionDenied

from campaigns.core import queue
from campaigns.models import Recurrence, Schedule, Typology
from deliveries.admin.dashboard.confirm_dialog import confirmation
from deliveries.lifecycle import auto_start, commands
from deliveries.lifecycle.recurrence import executions
from deliveries.models import Delivery
from deliveries.models.states import State
from deliveries.preparation import prepare
from deliveries.workers import sweeper

pytestmark = pytest.mark.django_db
NINE = datetime(2026, 3, 27, 8, tzinfo=UTC)  # a Friday in Paris, two days before summer time
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture(autouse=True)
def eve():
    """It is eight in Paris."""
    with time_machine.travel(NINE - HOUR, tick=False) as clock:
        yield clock


def slots(series):
    return [at.astimezone(UTC) for at in series.executions.order_by("slot").values_list("slot", flat=True)]


def prepared(series):
    """The newest execution, once its preparation has run."""
    execution = series.executions.order_by("-slot").first()
    prepare.run(execution.pk)
    auto_start.start_unasked()
    execution.refresh_from_db()
    return execution


def codes(delivery):
    return list(delivery.events.order_by("pk").values_list("code", flat=True))


# --- slots ------------------------------------------------------------------------------------------------------------


def test_nothing_is_made_before_the_slot_and_one_execution_at_it(make_series, eve):
    series = make_series()
    executions.tick()
    assert slots(series) == []
    eve.move_to(NINE)
    executions.tick()
    executions.tick()
    assert slots(series) == [NINE]


def test_the_sweeper_makes_it(make_series, eve):
    series = make_series()
    eve.move_to(NINE)
    sweeper.sweep()
    assert slots(series) == [NINE]


def test_an_execution_starts_by_itself_in_its_owners_name(make_series, eve, starter):
    series = make_series()
    eve.move_to(NINE)
    executions.tick()
    execution = prepared(series)
    assert (execution.state, execution.confirmed_by) == (State.START_PENDING, starter)
    assert execution.label == "[2026/03/27] Spring" and execution.to_deliver == 1
    series.message.refresh_from_db()
    assert series.message.locked_at is None


def test_across_summer_time_the_slots_keep_their_clock(make_series, eve):
    series = make_series()
    for days in range(4):
        eve.move_to(NINE + days * DAY)
        executions.tick()
    assert slots(series) == [NINE, NINE + DAY, NINE + 2 * DAY - HOUR, NINE + 3 * DAY - HOUR]


def test_a_clock_that_jumps_back_makes_nothing_twice(make_series, eve):
    series = make_series()
    for at in (NINE, NINE - HOUR, NINE, NINE + HOUR, NINE - DAY):
        eve.move_to(at)
        executions.tick()
    assert slots(series) == [NINE]


def test_a_slot_made_by_somebody_else_is_left_alone(make_series, eve):
    series = make_series(request_confirmation=True)
    eve.move_to(NINE)
    executions.tick()
    assert prepared(series).state == State.READY
    Recurrence.objects.update(next_at=NINE)  # as a stale writer would leave it
    executions.tick()
    assert slots(series) == [NINE] and series.executions.get().preparation == 1
    assert Recurrence.objects.get().next_at == NINE + DAY


def test_after_an_outage_no_slot_is_missing_and_the_last_one_asks(make_series, eve):
    series = make_series()
    eve.move_to(NINE + 3 * DAY + 5 * HOUR)
    executions.tick()
    assert len(slots(series)) == 4
    states = list(series.executions.order_by("slot").values_list("state", flat=True))
    assert states[:3] == [State.STOPPED] * 3
    execution = prepared(series)
    assert execution.state == State.READY and "overdue" in codes(execution)


def test_more_slots_than_fit_one_round_come_in_the_next(make_series, eve, monkeypatch):
    monkeypatch.setattr(executions, "AT_ONCE", 3)
    series = make_series()
    eve.move_to(NINE + 4 * DAY)
    executions.tick()
    executions.tick()
    assert len(slots(series)) == len(set(slots(series))) == 5
    assert series.executions.exclude(state=State.STOPPED).count() == 1


def test_a_maker_that_dies_leaves_its_slot_to_the_next(make_series, eve, monkeypatch):
    series = make_series()
    eve.move_to(NINE)
    with monkeypatch.context() as dying:
        dying.setattr(executions, "_prepare", lambda *args: 1 / 0)
        executions.tick()
    eve.move_to(NINE + 2 * HOUR / 10)
    executions.prepare_forgotten()
    assert prepared(series).state == State.START_PENDING


def test_a_broken_series_is_switched_off_and_keeps_no_other_from_going_on(make_series, eve):
    series = make_series()
    Recurrence.objects.update(time_zone="No/Where")
    eve.move_to(NINE)
    executions.tick()
    assert slots(series) == [] and "series_halted" in codes(series)


def test_a_recurrence_that_is_deleted_ends_what_was_made_of_it(make_series, eve, monkeypatch):
    series = make_series()
    eve.move_to(NINE)
    with monkeypatch.context() as dying:
        dying.setattr(executions, "_prepare", lambda *args: None)
        executions.tick()
    Recurrence.objects.all().delete()
    eve.move_to(NINE + HOUR)
    executions.prepare_forgotten()
    assert series.executions.get().state == State.STOPPED


def test_it_ends_when_it_is_over(make_series, eve):
    series = make_series(until=NINE + HOUR)
    eve.move_to(NINE)
    executions.tick()
    assert Recurrence.objects.get().next_at is None and "series_over" in codes(series)


def test_a_slot_that_has_come_stays_due_when_the_recurrence_is_changed(make_series, eve):
    series = make_series(request_confirmation=True)
    eve.move_to(NINE)
    recurrence = Recurrence.objects.get()
    recurrence.at = time(10)
    recurrence.save()
    executions.tick()
    assert slots(series) == [NINE]


def test_a_fatigue_rule_looks_around_the_slot_and_counts_the_executions_before(make_series, eve):
    typology = Typology.objects.create(label="Default", is_default=True)
    typology.rules.create(label="One in two days", kind="fatigue", threshold=1, period=2)
    series, reached = make_series(), []
    for days in (0, 1, 3):
        eve.move_to(NINE + days * DAY)
        executions.tick()
        reached.append(prepared(series).to_deliver)
    assert reached == [1, 0, 1]


# --- on, off, whose name ----------------------------------------------------------------------------------------------


def test_a_series_switched_off_makes_nothing(make_series, eve, starter):
    series = make_series()
    executions.stop_series(series, starter)
    eve.move_to(NINE)
    executions.tick()
    assert slots(series) == []
    with pytest.raises(commands.Refused, match="off already"):
        executions.stop_series(series, starter)


def test_it_cannot_be_switched_on_twice(make_series, starter):
    with pytest.raises(commands.Refused) as refusal:
        executions.start_series(make_series(), starter)
    assert refusal.value.code == "already_on"


def test_unasked_executions_take_the_role_start(make_series, preparer):
    with pytest.raises(PermissionDenied):
        make_series(by=preparer)
    assert Recurrence.objects.get().next_at is None


def test_an_owner_who_lost_the_role_halts_the_series(make_series, eve, starter):
    series = make_series()
    starter.groups.clear()
    eve.move_to(NINE)
    executions.tick()
    assert slots(series) == [] and Recurrence.objects.get().next_at is None
    assert "series_halted" in codes(series)


def test_a_series_itself_is_never_prepared(make_series, starter):
    with pytest.raises(commands.Refused) as refusal:
        commands.prepare(make_series(), starter)
    assert refusal.value.code == "series"


def test_opening_the_message_again_gives_the_series(make_series, eve, starter):
    series = make_series()
    eve.move_to(NINE)
    executions.tick()
    assert commands.create_delivery(series.message, starter) == series


def test_a_change_of_the_recurrence_holds_from_the_next_slot(make_series):
    make_series(request_confirmation=True)
    recurrence = Recurrence.objects.get()
    recurrence.at = time(10)
    recurrence.save()
    assert recurrence.next_at == NINE + HOUR


# --- confirmation for each execution ----------------------------------------------------------------------------------


def test_an_execution_waits_and_asks_those_who_may_start_it(make_series, eve, preparer, starter):
    series = make_series(by=preparer, request_confirmation=True)
    eve.move_to(NINE)
    executions.tick()
    execution = prepared(series)
    assert execution.state == State.READY
    auto_start.request_confirmation(execution.pk)
    assert [m.to for m in mail.outbox] == [["starter@example.com"]] and "2026-03-28" in mail.outbox[0].body
    commands.confirm(execution, starter)
    assert execution.state == State.START_PENDING


def test_the_dialog_names_the_execution_and_its_period(make_series, eve):
    series = make_series(aggregation="week")
    eve.move_to(NINE + DAY / 2)  # late: it asks, though the series does not
    executions.tick()
    facts = dict(confirmation(prepared(series)).facts)
    assert facts["Execution"] == f"of {series.code} for 2026-03-27 09:00 Europe/Paris (GMT+01:00), 2026-W13"


def test_a_message_with_a_recurrence_and_a_date_is_not_prepared(make_series, eve, message):
    """Its people's own times would hold for the first run alone."""
    date = {"mode": "recipient_zone", "contact_date": NINE + DAY}
    Schedule.objects.create(message=message, **date)
    series = make_series()
    eve.move_to(NINE)
    executions.tick()
    execution = prepared(series)
    assert execution.state == State.PREPARATION_FAILED and "two-times" in codes(execution)


def test_a_request_ends_when_the_next_slot_comes(make_series, eve, starter):
    series = make_series(request_confirmation=True)
    eve.move_to(NINE)
    executions.tick()
    execution = prepared(series)
    eve.move_to(NINE + DAY)
    with pytest.raises(commands.Refused) as refusal:
        commands.confirm(execution, starter)
    assert refusal.value.code == "expired"


def test_an_expired_request_sends_nothing_for_good(make_series, eve, starter):
    series = make_series(request_confirmation=True)
    eve.move_to(NINE)
    executions.tick()
    execution = prepared(series)
    Delivery.objects.filter(pk=execution.pk).update(expires_at="2000-01-01T00:00Z")  # the database's clock decides
    executions.expire_requests()
    execution.refresh_from_db()
    assert execution.state == State.STOPPED and codes(execution)[-1] == "request_expired"
    assert execution.batches.get().cancelled == 1


def test_those_who_were_asked_are_told_that_it_is_too_late(make_series, eve, starter, monkeypatch):
    queued = []
    monkeypatch.setattr(queue, "enqueue", lambda *task: queued.append(task))
    series = make_series(request_confirmation=True)
    eve.move_to(NINE)
    executions.tick()
    execution = prepared(series)
    Delivery.objects.filter(pk=execution.pk).update(expires_at="2000-01-01T00:00Z")
    executions.expire_requests()
    assert queued.count((queue.Task.TELL_EXPIRED, execution.pk)) == 1
    auto_start.tell_expired(execution.pk)
    assert [m.to for m in mail.outbox] == [["starter@example.com"]] and "Expired" in mail.outbox[0].subject


def test_a_change_of_the_recurrence_makes_a_waiting_execution_stale(make_series, eve, starter):
    series = make_series(request_confirmation=True)
    eve.move_to(NINE)
    executions.tick()
    execution = prepared(series)
    Recurrence.objects.update(at=time(10))
    with pytest.raises(commands.Refused) as refusal:
        commands.confirm(execution, starter)
    assert refusal.value.details["changed"] == ["schedule"]


def test_figures_are_gathered_by_the_period_of_the_parents_zone(make_series, eve):
    series = make_series(aggregation="week", at=time(0, 30))
    eve.move_to(datetime(2026, 3, 29, 22, 30, tzinfo=UTC))  # Monday half past midnight in Paris
    executions.tick()
    periods = series.executions.order_by("slot").values_list("period", flat=True)
    assert list(periods) == ["2026-W13", "2026-W14"]


def test_without_the_role_a_series_is_not_switched_on_and_the_try_is_written_down(message, routing, starter, preparer):
    Recurrence.objects.create(
        message=message, frequency="daily", at=time(9), time_zone="Europe/Paris", request_confirmation=False
    )
    series = commands.create_delivery(message, starter)
    with pytest.raises(PermissionDenied):
        executions.start_series(series, preparer)
    assert "denied" in codes(series)
    assert Recurrence.objects.get().next_at is None
