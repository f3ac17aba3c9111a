"""Copying a delivery, deleting one, and the schedule by API."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns.models import AuditEntry, Message, Profile, Recurrence, Schedule
from deliveries.ledger.counters import series_counters
from deliveries.lifecycle import commands, deletion, duplication, progress
from deliveries.lifecycle.recurrence import executions
from deliveries.models import Batch, Delivery, DeliveryEvent, ExclusionLog, SendingLog
from deliveries.models.states import State
from deliveries.preparation import prepare
from reporting.models import Figures, TrackingLog

pytestmark = pytest.mark.django_db


@pytest.fixture
def prepared(message, routing, starter):
    Profile.objects.bulk_create([Profile(email="a@example.com"), Profile(email="")])
    delivery = commands.create_delivery(message, starter)
    commands.prepare(delivery, starter)
    prepare.run(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def sent(delivery, by):
    commands.confirm(delivery, by)
    progress.start(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def api(user):
    made = APIClient()
    made.force_authenticate(user)
    return made


# --- duplicate --------------------------------------------------------------------------------------------------------


def test_a_copy_has_the_content_and_nothing_that_happened(prepared, starter):
    Schedule.objects.create(message=prepared.message, mode="at_date", contact_date=timezone.now())
    Recurrence.objects.create(message=prepared.message)
    copy = duplication.duplicate(prepared, starter)
    assert (copy.label, copy.state, copy.to_deliver, copy.preparation) == ("Copy of Spring", State.EDITING, 0, 0)
    assert copy.message.html == prepared.message.html and copy.routing == prepared.routing
    assert not hasattr(copy.message, "schedule") and not hasattr(copy.message, "recurrence")
    assert not copy.batches.exists() and "without its schedule" in copy.events.get(code="duplicated").message


def test_what_was_sent_can_be_copied_and_the_copy_confirmed(prepared, starter):
    answer = api(starter).post(f"/api/deliveries/{sent(prepared, starter).pk}/duplicate/")
    assert answer.status_code == 201
    copy = Delivery.objects.get(pk=answer.data["id"])
    commands.prepare(copy, starter)
    prepare.run(copy.pk)
    copy.refresh_from_db()
    assert sent(copy, starter).state == State.IN_PROGRESS


def test_copying_takes_the_role(prepared, make_user):
    with pytest.raises(PermissionDenied):
        duplication.duplicate(prepared, make_user("reader"))
    assert Delivery.objects.count() == 1


# --- delete -----------------------------------------------------------------------------------------------------------


def test_deleting_leaves_the_message_and_nothing_of_the_preparation(prepared, preparer):
    deletion.delete(prepared, preparer)
    assert not any(model.objects.exists() for model in (Delivery, Batch, SendingLog, ExclusionLog))
    assert Message.objects.exists()


@pytest.mark.parametrize("state", [State.COUNTING, State.START_PENDING, State.IN_PROGRESS, State.PAUSED])
def test_what_is_prepared_or_sent_now_stays(prepared, starter, state):
    Delivery.objects.update(state=state)
    prepared.refresh_from_db()
    with pytest.raises(commands.Refused) as refusal:
        deletion.delete(prepared, starter)
    assert refusal.value.code == "not_deletable" and SendingLog.objects.exists()


@pytest.fixture
def ended(prepared, starter):
    """One that was sent, with all that hangs on it."""
    commands.confirm(prepared, starter)
    row = prepared.sending_logs.first()
    TrackingLog.objects.create(delivery=prepared, sending_log=row, type=2, at=timezone.now())
    Figures.objects.create(delivery=prepared)
    prepared.batches.update(pending=0, sent=F("total"), next_due_at=None)
    prepared.sending_logs.update(status=1, due_at=None)
    Delivery.objects.filter(pk=prepared.pk).update(state=State.FINISHED, opens=1)
    prepared.refresh_from_db()
    return prepared


@pytest.mark.parametrize("state", [State.FINISHED, State.STOPPED, State.FAILED])
def test_one_that_has_ended_is_deleted_by_hand_with_its_logs(ended, preparer, state, monkeypatch):
    monkeypatch.setattr(deletion, "DELETED_AT_ONCE", 1)
    Delivery.objects.update(state=state)
    ended.refresh_from_db()
    deletion.delete(ended, preparer)
    models = (Delivery, Batch, SendingLog, ExclusionLog, TrackingLog, Figures, DeliveryEvent)
    assert not any(model.objects.exists() for model in models) and Message.objects.exists()
    assert AuditEntry.objects.get(act="delivery.deleted").actor == "preparer"


def test_while_a_worker_holds_some_of_its_messages_it_stays(ended, starter):
    ended.batches.update(lease_until=timezone.now())
    with pytest.raises(commands.Refused, match="still has some"):
        deletion.delete(ended, starter)


def test_a_series_keeps_the_figures_of_an_execution_that_is_deleted(ended, message, starter):
    Recurrence.objects.create(message=message, frequency="daily")
    series = Delivery.objects.create(message=message, campaign=message.campaign)
    Delivery.objects.filter(pk=ended.pk).update(parent=series, period="2026-03-28")
    before = series_counters(series)
    assert before.sent and before.opens and before.to_deliver
    deletion.delete(Delivery.objects.get(pk=ended.pk), starter)
    series.refresh_from_db()
    assert series_counters(series) == before


@pytest.mark.parametrize("period, stays", [("2026", True), ("2026-03", True), ("2026-W13", False), ("", False)])
def test_executions_by_month_or_year_are_never_deleted(ended, starter, period, stays):
    Delivery.objects.update(period=period)
    ended.refresh_from_db()
    assert deletion.may_delete(ended, starter) is not stays
    if stays:
        with pytest.raises(commands.Refused, match="month or year"):
            deletion.delete(ended, starter)


def test_the_dashboard_of_an_ended_delivery_offers_to_delete_it(client, ended, preparer):
    client.force_login(preparer)
    address = reverse("admin:deliveries_delivery_delete", args=[ended.pk])
    assert address in client.get(ended.get_absolute_url()).content.decode()
    client.post(address, {"post": "yes"})
    assert not Delivery.objects.exists()


def test_a_series_that_is_on_stays(message, routing, starter):
    Recurrence.objects.create(message=message, frequency="daily")
    series = commands.create_delivery(message, starter)
    executions.start_series(series, starter)
    assert api(starter).delete(f"/api/deliveries/{series.pk}/").status_code == 409
    executions.stop_series(series, starter)
    series = Delivery.objects.get(pk=series.pk)
    assert api(starter).delete(f"/api/deliveries/{series.pk}/").status_code == 204


def test_deleting_takes_the_role(prepared, make_user):
    with pytest.raises(PermissionDenied):
        deletion.delete(prepared, make_user("reader"))


def test_the_admin_deletes_the_same_way(client, prepared, starter):
    client.force_login(starter)
    address = reverse("admin:deliveries_delivery_delete", args=[prepared.pk])
    assert b"Spring" in client.get(address).content
    client.post(address, {"post": "yes"})
    assert not Delivery.objects.exists() and not SendingLog.objects.exists()


# --- schedule by API --------------------------------------------------------------------------------------------------


def test_a_schedule_is_written_replaced_and_removed_by_api(message, starter):
    url, date = f"/api/messages/{message.pk}/", timezone.now() + timedelta(days=1)
    dated = {"mode": "at_date", "contact_date": date.isoformat(), "time_zone": "Europe/Paris"}
    assert api(starter).patch(url, {"schedule": dated}).data["schedule"]["mode"] == "at_date"
    assert api(starter).patch(url, {"schedule": {"request_confirmation": False}}).status_code == 200
    schedule = Schedule.objects.get()
    assert (schedule.mode, schedule.contact_date, schedule.request_confirmation) == ("immediate", None, False)
    assert api(starter).patch(url, {"schedule": None}).data["schedule"] is None


@pytest.mark.parametrize(
    "part, value",
    [
        ("schedule", {"mode": "at_date"}),
        ("schedule", {"waves": "x"}),
        ("schedule", {"time_zone": "No/Where"}),
        ("recurrence", {"frequency": "cron", "cron": "x"}),
        ("recurrence", {"frequency": "weekly", "weekdays": []}),
        ("recurrence", {"frequency": "daily", "aggregation": "week"}),
    ],
)
def test_what_makes_no_sense_is_refused_by_api(message, starter, part, value):
    assert api(starter).patch(f"/api/messages/{message.pk}/", {part: value}).status_code == 400
    assert not Schedule.objects.exists() and not Recurrence.objects.exists()


@pytest.mark.parametrize("first", ["schedule", "recurrence", "both"])
def test_a_date_and_a_recurrence_are_refused_by_api_whichever_comes_first(message, starter, first):
    dated = {"schedule": {"mode": "recipient_zone", "contact_date": "2100-01-01T09:00Z"}}
    daily = {"recurrence": {"frequency": "daily"}}
    given = {"schedule": [dated, daily], "recurrence": [daily, dated], "both": [dated | daily]}[first]
    answers = [api(starter).patch(f"/api/messages/{message.pk}/", body).status_code for body in given]
    assert answers == [200] * (len(given) - 1) + [400]


def test_a_series_by_api(message, routing, starter):
    weekly = {"frequency": "weekly", "weekdays": [1, 5], "at": "09:00", "time_zone": "Europe/Paris"}
    api(starter).patch(f"/api/messages/{message.pk}/", {"recurrence": weekly})
    series = api(starter).post("/api/deliveries/", {"message": message.pk}).data["id"]
    assert api(starter).post(f"/api/deliveries/{series}/commands/", {"method": "startSeries"}).status_code == 200
    assert api(starter).get(f"/api/messages/{message.pk}/").data["recurrence"]["next_at"]
    again = api(starter).post(f"/api/deliveries/{series}/commands/", {"method": "prepare"})
    assert (again.status_code, again.data["errors"][0]["code"]) == (409, "series")
