"""Aggregation: the runs of a period land in one execution, which is prepared once; nobody gets it twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from campaigns.core import queue
from campaigns.models import ControlGroup, Profile, Recurrence, Typology
from deliveries.ledger.counters import series_counters
from deliveries.lifecycle import auto_start, commands, deletion, progress
from deliveries.lifecycle.recurrence import executions, runs
from deliveries.models import Batch, Delivery, ExclusionCause, QuarantinedAddress, Run, SendingLog
from deliveries.models.states import LogStatus, Reason, State
from deliveries.preparation import prepare, target_run
from deliveries.workers import sweeper
from tests.deliveries.sending.sending_rows import figures, true_figures

pytestmark = pytest.mark.django_db
NINE = datetime(2026, 3, 27, 8, tzinfo=UTC)  # in Paris
HOUR = timedelta(hours=1)
IN_FRANCE = [{"field": "country", "op": "is", "value": "FR"}]


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NINE - HOUR / 2, tick=False) as travelling:
        yield travelling


@pytest.fixture
def series(message, routing, starter):
    """Every hour in Paris, gathered by day, switched on at half past eight."""
    people("ann", "bob")
    Recurrence.objects.create(
        message=message,
        frequency="cron",
        cron="0 * * * *",
        time_zone="Europe/Paris",
        aggregation="day",
        request_confirmation=False,
    )
    made = commands.create_delivery(message, starter)
    executions.start_series(made, starter)
    return made


def people(*names, **fields):
    Profile.objects.bulk_create(Profile(email=f"{name}@example.com", **fields) for name in names)


@pytest.fixture
def at(clock, series):
    """at(10) makes what is due at ten, and lets workers do their part. Out: the executions, oldest first."""

    def go(hour):
        clock.move_to(NINE + (hour - 9) * HOUR)
        executions.tick()
        for execution in series.executions.filter(state=State.TARGETING_PENDING):
            prepare.run(execution.pk)
        auto_start.start_unasked()
        for pk in set(Run.objects.filter(ended_at=None).values_list("execution", flat=True)):
            runs.run(pk)
        return list(series.executions.order_by("slot"))

    return go


def codes(delivery):
    return list(delivery.events.order_by("pk").values_list("code", flat=True))


def assert_balanced(delivery):
    delivery.refresh_from_db()
    causes = sum(cause.volume for cause in delivery.exclusion_causes.all())
    assert delivery.targeted == delivery.excluded + delivery.to_deliver and delivery.excluded == causes
    assert figures(delivery) == true_figures(delivery) and figures(delivery)["total"] == delivery.to_deliver


def test_later_runs_of_the_day_add_those_who_came_since_and_nobody_twice(at):
    (execution,) = at(9)
    people("cat", "dan")
    people("eve", opt_out=True)
    people("bad address")
    assert at(10) == at(11) == [execution]
    addresses = SendingLog.objects.order_by("pk").values_list("address", flat=True)
    assert [address.split("@")[0] for address in addresses] == ["ann", "bob", "cat", "dan"]
    assert_balanced(execution)
    assert (execution.targeted, execution.excluded) == (6, 2)
    assert ExclusionCause.objects.get(cause=Reason.DENYLISTED).volume == 1


def test_whom_a_run_left_out_no_later_run_counts_again(at, series, starter):
    """By whatever cause; and of those on a list the logs still tell the number alone."""
    typology = Typology.objects.create(label="Default", is_default=True)
    for kind, fields in (("addresses", {"entries": "ann@example.com"}), ("query", {"conditions": IN_FRANCE})):
        typology.rules.create(label=kind, kind=kind, **fields)
    executions.continue_series(series, starter)
    people("fay", country="FR")
    QuarantinedAddress.objects.create(address="bob@example.com", status=QuarantinedAddress.Status.QUARANTINE)
    (execution,) = at(9)
    people("cat", "gus")
    people("flo", country="FR")
    at(10)
    at(11)
    assert_balanced(execution)
    assert (execution.targeted, execution.excluded, execution.to_deliver) == (6, 4, 2)
    assert sorted(execution.exclusion_causes.exclude(volume=0).values_list("volume", flat=True)) == [1, 1, 2]
    assert execution.exclusion_logs.filter(address="", profile=None).count() == 1
    told = execution.events.filter(code="run_added").order_by("pk").values_list("details__excluded", flat=True)
    assert list(told) == [1, 0]


def test_a_trap_gets_an_execution_once_however_many_runs_it_has(at, series, message, starter):
    message.traps.create(label="Trap", email="trap@example.org", trap=True)
    executions.continue_series(series, starter)
    (execution,) = at(9)
    people("cat")
    at(10)
    assert execution.sending_logs.filter(test_profile=True).count() == 1
    assert_balanced(execution)


def test_the_share_of_the_control_group_is_of_those_who_are_new(at, series, message, starter):
    ControlGroup.objects.create(message=message, extraction="random", percent=50)
    executions.continue_series(series, starter)
    people(*(f"off{n}" for n in range(10)), opt_out=True)
    (execution,) = at(9)
    before = execution.sending_logs.filter(status=LogStatus.IGNORED).count()
    people(*(f"new{n}" for n in range(4)))
    at(10)
    assert execution.sending_logs.filter(status=LogStatus.IGNORED).count() == before + 2
    assert_balanced(execution)


def test_the_period_is_prepared_once_and_added_people_get_what_was_prepared(at):
    (execution,) = at(9)
    content = execution.content
    people("cat")
    (execution,) = at(10)
    assert execution.content == content
    assert codes(execution).count("preparation_finished") == 1 and codes(execution).count("run_added") == 1


def test_the_next_day_of_the_parents_zone_has_an_execution_of_its_own(at):
    first = at(9) and at(23)
    both = at(24)
    assert [execution.period for execution in both] == ["2026-03-27", "2026-03-28"] and first == both[:1]
    assert both[1].to_deliver == 2


def test_a_changed_content_opens_an_additional_execution(at, series):
    at(9)
    type(series.message).objects.update(subject="Other")
    old, new = at(10)
    assert old.period == new.period and new.content["subject"] == "Other"
    assert at(11) == [old, new] and new.runs.count() == 1


def test_after_a_stop_the_next_run_opens_an_additional_execution(at, starter):
    (execution,) = at(9)
    commands.stop(execution, starter)
    people("cat")
    assert len(at(10)) == 2 and figures(execution)["total"] == 2


def test_people_added_to_a_finished_execution_are_sent(at):
    (execution,) = at(9)
    finish(execution)
    people("cat")
    (execution,) = at(10)
    assert execution.state == State.IN_PROGRESS and execution.finished_at is None
    assert execution.validity_end == NINE + HOUR + timedelta(days=3.5)
    assert_balanced(execution)


def test_a_run_with_nobody_new_leaves_a_finished_execution_finished(at):
    (execution,) = at(9)
    finish(execution)
    assert at(10)[0].state == State.FINISHED


def finish(execution):
    """As if all had been sent."""
    SendingLog.objects.filter(delivery=execution).update(status=1, due_at=None)
    Batch.objects.filter(delivery=execution).update(sent=2, pending=0, next_due_at=None)
    Delivery.objects.filter(pk=execution.pk).update(state=State.FINISHED, finished_at=NINE)


def test_an_execution_does_not_finish_while_a_run_is_to_be_added(at, series, starter):
    (execution,) = at(9)
    finish(execution)
    Delivery.objects.filter(pk=execution.pk).update(state=State.IN_PROGRESS)
    run = Run.objects.create(series=series, slot=NINE + HOUR, execution=execution)
    progress.conclude(execution.pk)
    execution.refresh_from_db()
    assert execution.state == State.IN_PROGRESS
    run.delete()
    progress.conclude(execution.pk)
    execution.refresh_from_db()
    assert execution.state == State.FINISHED


def test_added_rows_never_join_a_batch_that_was_sent(at, settings):
    (execution,) = at(9)
    people("cat")
    at(10)
    assert list(execution.batches.order_by("number").values_list("total", flat=True)) == [2, 1]


def test_an_addition_that_dies_in_the_middle_is_carried_on(at, clock, series, monkeypatch):
    (execution,) = at(9)
    people(*"cdefgh")
    people("off", opt_out=True)
    monkeypatch.setattr(target_run, "SLICE", 3)
    real, calls = target_run.Target.write, []

    def dying(self, *arguments):
        calls.append(arguments)
        return real(self, *arguments) if len(calls) < 2 else 1 / 0

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(target_run.Target, "write", dying)
        at(10)
    runs.run(execution.pk)  # too early: whoever adds may be alive
    assert Run.objects.filter(ended_at=None).exists()
    clock.shift(timedelta(minutes=2))
    runs.run(execution.pk)
    assert not Run.objects.filter(ended_at=None).exists()
    assert_balanced(execution)
    assert (execution.to_deliver, execution.excluded) == (8, 1)


def test_one_run_a_slot_whoever_looks_how_often(at, series):
    at(9)
    at(10)
    Recurrence.objects.update(next_at=NINE)  # as a stale writer would leave it
    at(10)
    assert (series.executions.count(), Run.objects.count()) == (1, 1)


def test_a_run_that_comes_late_adds_nobody_and_says_so(at):
    (execution,) = at(9)
    people("cat")
    assert at(13.75) == [execution]
    assert execution.sending_logs.count() == 2 and codes(execution).count("run_missed") == 4
    at(14)
    assert execution.sending_logs.count() == 3


def test_the_sweeper_enqueues_runs(at, series, monkeypatch):
    (execution,) = at(9)
    queued = []
    monkeypatch.setattr(queue, "enqueue", lambda *task: queued.append(task))
    Run.objects.create(series=series, slot=NINE + HOUR, execution=execution)
    sweeper.sweep()
    assert (queue.Task.ADD_RUNS, execution.pk) in queued


def test_the_series_sums_its_executions(at, series):
    at(9)
    people("cat")
    at(10)
    at(24)
    assert series_counters(series).to_deliver == 6


def test_while_runs_join_an_execution_it_is_not_deleted_since_everybody_would_get_the_next_one(at, preparer, starter):
    (day,) = at(9)
    Delivery.objects.filter(pk=day.pk).update(state=State.FINISHED)
    with pytest.raises(commands.Refused, match="the next one would send to everybody anew"):
        deletion.delete(Delivery.objects.get(pk=day.pk), preparer)
    executions.stop_series(day.parent, starter)
    deletion.delete(Delivery.objects.get(pk=day.pk), preparer)
    assert not Delivery.objects.filter(pk=day.pk).exists()
