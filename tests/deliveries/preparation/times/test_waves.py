"""Waves: which batches wait how long after the confirmation."""

from datetime import timedelta
from itertools import groupby

import pytest
from django.core import mail as mailed
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse
from django.utils import timezone

from campaigns.models import Profile, Schedule
from deliveries.admin.dashboard.confirm_dialog import confirmation
from deliveries.lifecycle import commands, complete_missing, progress, wave_gates
from deliveries.models import Delivery
from deliveries.models.states import State
from deliveries.preparation import prepare
from deliveries.sending import leases
from deliveries.workers import sweeper

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def make_prepared(message, routing, starter):
    """make_prepared("10% 20%", people=10) gives a prepared delivery with those waves."""

    def make(text, people, **fields):
        Profile.objects.bulk_create(Profile(email=f"p{n}@example.com") for n in range(people))
        Schedule.objects.create(message=message, waves=text, wave_interval=2 * HOUR, **fields)
        delivery = commands.create_delivery(message, starter)
        commands.prepare(delivery, starter)
        prepare.run(delivery.pk)
        delivery.refresh_from_db()
        return delivery

    return make


def leaving(delivery):
    """[(hours after the start, how many messages)]."""
    rows = delivery.batches.order_by("number").values_list("next_due_at", "pending")
    hours = [((at - delivery.contact_date) / HOUR, pending) for at, pending in rows]
    return [(hour, sum(n for _, n in group)) for hour, group in groupby(hours, key=lambda pair: pair[0])]


@pytest.mark.parametrize(
    "text, people, expected",
    [
        ("30% 30% 30%", 10, [(0, 3), (2, 3), (4, 3), (6, 1)]),
        ("50 60", 250, [(0, 50), (2, 60), (4, 140)]),
        ("", 10, None),
    ],
)
def test_each_wave_waits_for_its_time(make_prepared, starter, text, people, expected):
    delivery = make_prepared(text, people)
    commands.confirm(delivery, starter)
    assert expected is None or leaving(delivery) == expected
    progress.start(delivery.pk)
    first = sum(delivery.batches.get(pk=pk).pending for pk in leases.due(delivery.pk))
    assert first == (expected[0][1] if expected else people)


def test_a_delivery_with_waves_to_come_is_not_finished(make_prepared, starter):
    delivery = make_prepared("50%", 4)
    commands.confirm(delivery, starter)
    progress.start(delivery.pk)
    delivery.batches.filter(next_due_at__lte=timezone.now()).update(next_due_at=None)
    progress.conclude(delivery.pk)
    delivery.refresh_from_db()
    assert delivery.state == State.IN_PROGRESS


def test_the_validity_counts_from_the_last_wave(make_prepared, starter):
    delivery = make_prepared("50%", 4, delivery_duration=HOUR)
    commands.confirm(delivery, starter)
    assert delivery.validity_end == delivery.contact_date + 3 * HOUR


def test_confirming_anew_counts_the_waves_anew(make_prepared, starter):
    delivery = make_prepared("50%", 4)
    commands.confirm(delivery, starter)
    commands.undo_confirmation(delivery, starter)
    commands.confirm(delivery, starter)
    assert leaving(delivery) == [(0, 2), (2, 2)]


def test_the_dialog_names_each_wave(make_prepared):
    facts = dict(confirmation(make_prepared("50%", 4)).facts)
    assert facts["Waves"].count("2 from") == 2


def test_nonsense_stops_the_preparation(make_prepared):
    assert make_prepared("90% 90%", 1).state == State.PREPARATION_FAILED


@pytest.mark.parametrize("fields", [{"waves": "x"}, {"waves": "50%", "mode": "recipient_zone"}])
def test_a_schedule_refuses_what_makes_no_sense(message, fields):
    with pytest.raises(ValidationError, match="waves"):
        Schedule(message=message, contact_date=timezone.now(), **fields).clean()


# --- waves held back --------------------------------------------------------------------------------------------------


@pytest.fixture
def make_sending(make_prepared, starter):
    """make_sending(failed=…, limit=…): ten people in two halves; the first wave is over, the second due."""

    def make(failed=0, **fields):
        delivery = make_prepared("50%", 10, **fields)
        commands.confirm(delivery, starter)
        progress.start(delivery.pk)
        try_first(delivery, failed)
        delivery.batches.filter(next_due_at__gt=timezone.now()).update(next_due_at=timezone.now() - HOUR)
        delivery.refresh_from_db()
        return delivery

    return make


def try_first(delivery, failed):
    """Of the five of the first wave so many bounced; a batch has one row."""
    pks = list(delivery.batches.filter(next_due_at__lte=timezone.now(), gated=False).values_list("pk", flat=True))
    delivery.batches.filter(pk__in=pks[:failed]).update(pending=0, failed=1, hard=1, next_due_at=None)
    delivery.batches.filter(pk__in=pks[failed:]).update(pending=0, sent=1, next_due_at=None)


def due(delivery):
    return sum(1 for _pk in leases.due(delivery.pk))


def taken(delivery):
    return sum(leases.take(pk) is not None for pk in delivery.batches.values_list("pk", flat=True))


@pytest.mark.parametrize(
    "failed, fields, expected",
    [
        (0, {}, 5),
        (1, {}, 0),
        (1, {"wave_limit": 20}, 5),
        (2, {"wave_limit": 20}, 0),
        (5, {"wave_limit": 0}, 5),
    ],
)
def test_a_wave_leaves_at_its_time_unless_too_much_of_the_first_bounced(make_sending, failed, fields, expected):
    delivery = make_sending(failed, **fields)
    sweeper.sweep()
    assert due(delivery) == expected == taken(delivery)
    assert Delivery.objects.filter(held_since__isnull=False).exists() is (expected == 0)


def test_nothing_of_a_wave_is_taken_before_anybody_has_looked_at_the_first(make_sending):
    delivery = make_sending(3)
    assert due(delivery) == taken(delivery) == 0


def test_held_waves_are_told_once_on_the_dashboard_in_the_log_and_by_mail(
    make_sending, starter, client, django_capture_on_commit_callbacks
):
    delivery = make_sending(3)
    with django_capture_on_commit_callbacks(execute=True):
        wave_gates.open_gates()
        wave_gates.open_gates()
    assert delivery.events.filter(code="waves_held").count() == 1
    assert [mail.to for mail in outbox()] == [["starter@example.com"]]
    client.force_login(starter)
    page = client.get(delivery.get_absolute_url()).content.decode()
    assert "60.0 % of what was tried bounced" in page and "Let the later waves go" in page


def outbox():
    return [mail for mail in mailed.outbox if "held back" in mail.subject]


def test_somebody_lets_held_waves_go_and_they_are_held_again_only_once_it_is_much_worse(make_sending, starter, client):
    delivery = make_sending(2)
    wave_gates.open_gates()
    client.force_login(starter)
    client.post(reverse("admin:deliveries_delivery_act", args=[delivery.pk, "release-waves"]))
    assert due(delivery) == 5 and delivery.events.filter(code="waves_released", user=starter).exists()
    delivery.batches.filter(next_due_at__isnull=False).update(gated=True)
    wave_gates.open_gates()
    assert due(delivery) == 5
    delivery.batches.filter(sent=1).update(sent=0, failed=1, hard=1)
    delivery.batches.filter(next_due_at__isnull=False).update(gated=True)
    wave_gates.open_gates()
    assert due(delivery) == 0


def test_the_api_lets_them_go_and_refuses_where_nothing_is_held(make_sending, starter, client):
    delivery = make_sending(2)
    client.force_login(starter)
    post = {"path": f"/api/deliveries/{delivery.pk}/commands/", "data": {"method": "releaseWaves"}}
    assert client.post(**post, content_type="application/json").status_code == 409
    wave_gates.open_gates()
    assert client.post(**post, content_type="application/json").status_code == 200
    assert due(delivery) == 5


def test_held_waves_leave_by_themselves_once_the_share_falls_back(make_sending):
    delivery = make_sending(1)
    wave_gates.open_gates()
    delivery.batches.filter(failed=1).update(failed=0, hard=0, sent=1)
    wave_gates.open_gates()
    delivery.refresh_from_db()
    assert due(delivery) == 5 and delivery.held_since is None


def test_letting_waves_go_takes_the_role(make_sending, preparer):
    delivery = make_sending(2)
    wave_gates.open_gates()
    with pytest.raises(PermissionDenied):
        wave_gates.release_waves(delivery, preparer)
    assert due(delivery) == 0


def test_what_is_missing_of_a_stopped_delivery_passes_the_gates(make_sending, starter):
    delivery = make_sending(2)
    commands.stop(delivery, starter)
    complete_missing.complete_missing(delivery, starter)
    assert due(delivery) == 5
