"""What is confirmed goes by the mail server that was confirmed, or waits until a holder has read of the other one."""

from __future__ import annotations

from datetime import time

import pytest
from django.core import mail

from campaigns.models import Campaign, Profile, Recurrence
from deliveries.lifecycle import auto_start, commands, progress
from deliveries.lifecycle.recurrence import executions, runs
from deliveries.models import Delivery, Routing
from deliveries.models.states import State
from deliveries.preparation import prepare
from deliveries.sending import connections, work_on_batch

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def place(settings, tmp_path):
    settings.JOURNAL_DIR = tmp_path / "journals"
    yield
    connections.hang_up()


@pytest.fixture
def servers(serve, routing):
    """Two mail servers; the routing leads to the first."""
    both = [serve(), serve()]
    Routing.objects.update(port=both[0].port)
    return both


@pytest.fixture
def confirmed(message, starter, servers):
    """A delivery to one person, confirmed and started."""
    Profile.objects.create(email="ann@example.com")
    made = commands.create_delivery(message, starter)
    commands.prepare(made, starter)
    prepare.run(made.pk)
    made.refresh_from_db()
    commands.confirm(made, starter)
    progress.start(made.pk)
    return made


def send(delivery):
    for batch in delivery.batches.all():
        delivery.batches.filter(pk=batch.pk).update(next_due_at=delivery.confirmed_at)
        work_on_batch.send(batch.pk)
    delivery.refresh_from_db()


def point_elsewhere(servers):
    """As an administrator does, who may not start anything."""
    Routing.objects.update(port=servers[1].port)


def test_by_the_mail_server_that_was_confirmed_it_leaves(confirmed, servers):
    send(confirmed)
    assert (len(servers[0].messages), confirmed.state) == (1, State.FINISHED)


@pytest.mark.parametrize(
    "field, value",
    [
        ("port", 1),
        ("host", "localhost"),
        ("security", "starttls"),
        ("username", "somebody"),
        ("verify_certificate", False),
        ("return_domain", "bounces.example.net"),
    ],
)
def test_by_another_nothing_leaves_and_it_pauses_itself(confirmed, servers, field, value):
    Routing.objects.update(**{field: value})
    send(confirmed)
    assert (servers[0].messages, confirmed.state) == ([], State.PAUSED)
    assert "Paused: its mail server is not the one that was confirmed" in confirmed.events.get(code="rerouted").words


def test_its_confirmer_is_told(confirmed, servers, django_capture_on_commit_callbacks):
    point_elsewhere(servers)
    with django_capture_on_commit_callbacks(execute=True):
        send(confirmed)
    assert [letter.to for letter in mail.outbox] == [["starter@example.com"]]
    assert f"127.0.0.1:{servers[1].port}" in mail.outbox[0].body


def test_a_holder_who_resumes_sends_by_the_one_that_they_were_told_of(confirmed, servers, starter):
    point_elsewhere(servers)
    send(confirmed)
    commands.resume(Delivery.objects.get(pk=confirmed.pk), starter)
    send(confirmed)
    assert (len(servers[0].messages), len(servers[1].messages), confirmed.state) == (0, 1, State.FINISHED)


def test_one_that_was_changed_again_after_it_was_told_is_told_again(confirmed, servers, starter):
    point_elsewhere(servers)
    send(confirmed)
    Routing.objects.update(host="localhost")
    commands.resume(Delivery.objects.get(pk=confirmed.pk), starter)
    send(confirmed)
    assert (servers[1].messages, confirmed.state) == ([], State.PAUSED)
    assert confirmed.events.filter(code="rerouted").count() == 2


def test_one_that_was_changed_during_a_pause_is_told_before_anything_leaves(confirmed, servers, starter):
    commands.pause(confirmed, starter)
    point_elsewhere(servers)
    commands.resume(Delivery.objects.get(pk=confirmed.pk), starter)
    send(confirmed)
    assert (servers[1].messages, confirmed.state) == ([], State.PAUSED)


def test_back_where_it_was_it_goes_on_once_resumed(confirmed, servers, starter):
    point_elsewhere(servers)
    send(confirmed)
    Routing.objects.update(port=servers[0].port)
    commands.resume(Delivery.objects.get(pk=confirmed.pk), starter)
    send(confirmed)
    assert len(servers[0].messages) == 1


def test_what_was_confirmed_before_the_upgrade_goes_as_ever(confirmed, servers):
    Delivery.objects.update(around={})
    point_elsewhere(servers)
    send(confirmed)
    assert len(servers[1].messages) == 1


# --- runs that are added to an execution ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda servers: point_elsewhere(servers),
        lambda servers: Campaign.objects.update(needs_approval=True),
    ],
    ids=["mail server", "approval"],
)
def test_a_run_is_not_added_to_what_was_confirmed_in_other_surroundings(message, starter, servers, change):
    Profile.objects.create(email="ann@example.com")
    fields = {"frequency": "cron", "cron": "0 * * * *", "aggregation": "year", "time_zone": "UTC", "at": time(9)}
    recurrence = Recurrence.objects.create(message=message, request_confirmation=False, **fields)
    series = commands.create_delivery(message, starter)
    executions.start_series(series, starter)
    for changes in (lambda servers: None, change):
        changes(servers)
        recurrence.refresh_from_db()
        executions.tick(recurrence.next_at)
        for execution in series.executions.order_by("slot"):
            prepare.run(execution.pk)
            runs.run(execution.pk)
        auto_start.start_unasked()
    first, second = series.executions.order_by("slot")
    assert (first.confirmed_by, second.confirmed_by, second.state) == (starter, None, State.READY)
