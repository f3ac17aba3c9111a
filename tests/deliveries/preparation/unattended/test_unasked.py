"""What starts unasked is what was asked for; and acts of now are done to what the page showed."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from campaigns.accounts import api_tokens
from campaigns.content.fingerprint import changed_since_seen, word
from campaigns.models import Profile, Recurrence, Schedule, TestProfile
from deliveries.lifecycle import auto_start, commands
from deliveries.lifecycle.recurrence import executions
from deliveries.models import Delivery, SeriesSeal
from deliveries.preparation import prepare, sealing
from tests.deliveries.page_form import posted
from tests.deliveries.preparation.changing import FORGERY, HOUR, NINE, ROADS, patch

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("eve")]


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
    prepare.run(delivery.pk)
    auto_start.start_unasked()
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
    prepare._take(unasked.pk)
    patch(preparer, unasked.message, **FORGERY)
    Delivery.objects.filter(pk=unasked.pk).update(preparation_at=NINE - 9 * HOUR)
    assert started(unasked) is None


def test_prepared_again_by_somebody_else_it_is_not_the_holders(unasked, preparer, starter):
    prepare.run(unasked.pk)
    (stale,) = auto_start.with_message(Delivery.objects.all())  # as the sweeper read it
    patch(preparer, unasked.message, **FORGERY)
    commands.prepare(Delivery.objects.get(pk=unasked.pk), preparer)
    prepare.run(unasked.pk)
    with pytest.raises(commands.Refused, match="Somebody has to confirm it"):
        commands.confirm_unasked(stale)
    unasked.refresh_from_db()
    assert unasked.confirmed_by is None and started(unasked) is None


def test_what_the_preparation_reads_later_is_what_was_sealed(unasked, preparer, starter):
    """A trap and a control group that are there only while the target is counted."""
    preparation = prepare._take(unasked.pk)
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
    with pytest.raises(commands.Refused, match="HTML, subject") as refusal:
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
    prepare.run(made.pk)
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
    prepare.run(made.pk)
    client.force_login(starter)
    address = f"/admin/deliveries/delivery/{made.pk}/confirm/"
    dialog = posted(client.get(address).content.decode())
    patch(preparer, message, **FORGERY)
    commands.prepare(Delivery.objects.get(pk=made.pk), preparer)
    prepare.run(made.pk)
    answer = client.post(address, dialog, follow=True).content.decode()
    assert "Changed since you looked: HTML, subject." in answer
    assert Delivery.objects.get(pk=made.pk).confirmed_by is None
    shown = client.get(address, {"seen": dialog["seen"]}).content.decode()
    assert "Changed since the page behind this was loaded: HTML, subject." in shown and 'id="dm-ok"' not in shown
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
    assert "Changed since you looked: HTML, subject." in answer and Recurrence.objects.get().next_at is None
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
    assert differs.status_code == 412 and "HTML, subject" in str(differs.data)
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

    with pytest.raises(CommandError, match="Say what you looked at"):
        manage("on")
    shown = manage("show")
    assert "Subject: Hello" in shown
    manage("on", "--form", shown.rsplit("form: ", 1)[1].strip())
    assert Recurrence.objects.get().next_at
    manage("off")
    assert Recurrence.objects.get().next_at is None


def test_whole_digests_are_compared():
    """Who writes both texts could find two whose digests begin alike."""
    one, other = {"HTML": "0" * 31 + "1"}, {"HTML": "0" * 31 + "2"}
    assert changed_since_seen(word(one), other) == ["HTML"]
