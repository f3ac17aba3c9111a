"""The dashboard of scheduled and recurring deliveries: undo, two people, own clocks, series and their executions."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from campaigns.models import Recurrence, Schedule
from deliveries.admin.dashboard.action_bar import Rights, buttons
from deliveries.admin.dashboard.confirm_dialog import confirmation
from deliveries.admin.dashboard.page import dashboard
from deliveries.lifecycle import commands
from deliveries.models import Batch, Delivery
from deliveries.models.states import State
from deliveries.preparation.sealing import current_seal

pytestmark = pytest.mark.django_db
EVERYTHING, PREPARING_ONLY = Rights(True, True), Rights(False, True)
NOW = timezone.now()


@pytest.fixture
def ready(message, routing, starter):
    """A delivery that `starter` prepared."""
    made = commands.create_delivery(message, starter)
    Batch.objects.create(delivery=made, number=1, total=10, pending=10)
    return change(
        made,
        state=State.READY,
        preparation=1,
        fingerprint=current_seal(message),
        targeted=10,
        to_deliver=10,
        prepared_by=starter,
    )


@pytest.fixture
def series(message, routing, starter):
    """A series, switched off, every day at nine."""
    Recurrence.objects.create(message=message, frequency="daily", time_zone="Europe/Paris")
    made = commands.create_delivery(message, starter)
    return Delivery.objects.get(pk=made.pk)


def change(delivery, **fields):
    """Set what other rooms would have set."""
    Delivery.objects.filter(pk=delivery.pk).update(**fields)
    return Delivery.objects.get(pk=delivery.pk)


def acts(delivery, rights):
    return [button.act for button in buttons(delivery, rights, ())]


def url(delivery, name, *args):
    return reverse(f"admin:deliveries_delivery_{name}", args=[delivery.pk, *args])


def test_a_confirmation_can_be_undone_from_the_page(client, ready, starter, settings):
    settings.UNDO_SECONDS = 60
    client.force_login(starter)
    page = client.post(url(ready, "confirm"), follow=True).content.decode()
    assert "until then Undo takes it back" in page and "dm-act-undo" in page
    client.post(url(ready, "act", "undo"))
    ready.refresh_from_db()
    assert ready.state == State.READY and ready.confirmed_at is None


def test_undo_takes_the_role(client, ready, starter, preparer):
    commands.confirm(ready, starter)
    client.force_login(preparer)
    assert client.post(url(ready, "act", "undo")).status_code == 403


def test_where_two_people_are_wanted_whoever_prepared_sees_a_note_in_the_place_of_confirm(
    client, ready, starter, make_user
):
    ready.campaign.four_eyes = True
    ready.campaign.save()
    client.force_login(starter)
    page = client.get(url(ready, "change")).content.decode()
    assert "dm-act-confirm" not in page and "wants another person to confirm it" in page
    client.force_login(make_user("second", "Start deliveries"))
    assert "dm-act-confirm" in client.get(url(ready, "change")).content.decode()


def test_an_execution_that_expired_cannot_be_confirmed(ready):
    late = change(ready, expires_at=NOW - timedelta(minutes=1))
    assert acts(late, EVERYTHING) == ["prepare"]
    assert "Too late to confirm" in dashboard(late, EVERYTHING).banners[0].text


def test_by_the_recipients_clocks_the_dialog_names_the_first_and_the_last_instant(ready):
    Schedule.objects.create(message=ready.message, mode="recipient_zone", contact_date=NOW + timedelta(hours=5))
    spread = change(ready, first_due_at=NOW - timedelta(hours=1), last_due_at=NOW + timedelta(hours=12))
    facts = confirmation(spread)
    assert "the first at" in facts.sentence and "past leave as soon as you confirm" in facts.sentence
    assert "Less than a day ahead" in facts.warnings[0]


def test_the_schedule_block_tells_of_waves_and_of_starting_without_confirmation(ready):
    Schedule.objects.create(message=ready.message, waves="10% 30%", request_confirmation=False)
    lines = dict(dashboard(change(ready), EVERYTHING).schedule)
    assert lines["Waves"] == "10% 30%, the rest last; every 1 h"
    assert "starts by itself" in lines["Confirmation"]


def test_a_series_is_switched_on_and_off(client, series, starter):
    client.force_login(starter)
    assert "The series is off" in client.get(url(series, "change")).content.decode()
    assert acts(series, EVERYTHING) == ["series-on"]
    page = client.post(url(series, "act", "series-on"), follow=True).content.decode()
    assert "The next execution:" in page and "dm-act-series-off" in page
    client.post(url(series, "act", "series-off"))
    assert Recurrence.objects.get().next_at is None


def test_executions_that_ask_nobody_are_switched_on_by_whoever_may_start(series):
    series.message.recurrence.request_confirmation = False
    assert acts(series, PREPARING_ONLY) == []
    assert acts(series, EVERYTHING) == ["series-on"]


def test_a_series_sums_its_executions_and_lists_them(client, series, starter):
    for number in (1, 2):
        execution = Delivery.objects.create(
            message=series.message,
            campaign=series.campaign,
            label=f"Execution {number}",
            parent=series,
            to_deliver=10,
            slot=NOW + timedelta(days=number),
            state=State.FINISHED,
        )
        Batch.objects.create(delivery=execution, number=1, total=10, sent=9, failed=1, relayed=10)
    tiles = {tile.name: tile.beneath for tile in dashboard(series, EVERYTHING).deployment.tiles}
    assert (tiles["to_deliver"], tiles["delivered"], tiles["bounces"]) == ("20", "18", "2")
    client.force_login(starter)
    rows = client.get(url(series, "executions")).context["page"].rows
    assert [row.label for row in rows] == ["Execution 2", "Execution 1"]
    listed = reverse("admin:deliveries_delivery_changelist")
    shown = lambda **query: len(client.get(listed, query).context["cl"].result_list)  # noqa: E731
    assert (shown(), shown(executions="all")) == (1, 3)
