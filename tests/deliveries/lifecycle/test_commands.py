"""The acts on a delivery: roles, states, the seal, and what each refusal says."""

import pytest
from django.core.exceptions import PermissionDenied

from deliveries.lifecycle import commands
from deliveries.models import Delivery
from deliveries.models.states import State
from deliveries.preparation.sealing import current_seal

pytestmark = pytest.mark.django_db


@pytest.fixture
def ready(message, routing, starter):
    """A delivery as a preparation leaves it."""
    delivery = commands.create_delivery(message, starter)
    Delivery.objects.filter(pk=delivery.pk).update(
        state=State.READY, fingerprint=current_seal(message), targeted=3, to_deliver=3
    )
    delivery.refresh_from_db()
    return delivery


def test_creating_twice_gives_the_same_delivery(message, routing, starter):
    assert commands.create_delivery(message, starter) == commands.create_delivery(message, starter)


def test_creating_takes_the_role_prepare_deliveries(message, routing, make_user):
    with pytest.raises(PermissionDenied):
        commands.create_delivery(message, make_user("nobody"))
    assert not Delivery.objects.exists()


def test_confirming_starts_and_says_who(ready, starter):
    commands.confirm(ready, starter)
    assert ready.state == State.START_PENDING
    assert ready.confirmed_by == starter
    assert ready.events.filter(code="confirmed", user=starter).count() == 1


def test_a_second_confirm_says_who_was_first(ready, starter, make_user):
    commands.confirm(ready, starter)
    with pytest.raises(commands.Refused, match="Already confirmed by starter") as refusal:
        commands.confirm(Delivery.objects.get(pk=ready.pk), make_user("second", "Start deliveries"))
    assert refusal.value.code == "already_confirmed"
    assert ready.events.filter(code="confirmed").count() == 1


def test_without_the_role_confirm_is_denied_and_written_down(ready, preparer):
    with pytest.raises(PermissionDenied):
        commands.confirm(ready, preparer)
    ready.refresh_from_db()
    assert ready.state == State.READY
    assert ready.events.filter(code="denied", user=preparer).exists()


@pytest.mark.parametrize(
    "field, value, part",
    [
        ("subject", "Other", "subject"),
        ("html", "<p>Other</p>", "HTML"),
        ("text", "Other", "text"),
        ("sender_name", "Other", "sender"),
        ("reply_to", "other@example.com", "sender"),
    ],
)
def test_a_change_after_preparing_refuses_and_names_it(ready, starter, field, value, part):
    setattr(ready.message, field, value)
    ready.message.save()
    with pytest.raises(commands.Refused) as refusal:
        commands.confirm(ready, starter)
    assert refusal.value.details["changed"] == [part]


def test_a_changed_audience_filter_refuses(ready, starter):
    ready.message.audience.kind = "filter"
    ready.message.audience.save()
    with pytest.raises(commands.Refused) as refusal:
        commands.confirm(ready, starter)
    assert refusal.value.details["changed"] == ["audience"]


@pytest.mark.parametrize("act", ["pause", "stop", "resume", "stop_preparation"])
def test_what_does_not_fit_the_state_is_refused_and_changes_nothing(ready, starter, act):
    with pytest.raises(commands.Refused):
        getattr(commands, act)(ready, starter)
    ready.refresh_from_db()
    assert ready.state == State.READY


def test_pause_and_resume_lead_back(ready, starter):
    commands.confirm(ready, starter)
    commands.pause(ready, starter)
    assert ready.state == State.PAUSED
    commands.resume(ready, starter)
    assert ready.state == State.START_PENDING


def test_stop_is_final(ready, starter):
    commands.confirm(ready, starter)
    commands.stop(ready, starter)
    assert ready.state == State.STOPPED
    with pytest.raises(commands.Refused):
        commands.resume(ready, starter)


def test_a_confirmed_message_gets_no_second_delivery(ready, starter):
    commands.confirm(ready, starter)
    ready.message.refresh_from_db()
    with pytest.raises(commands.Refused, match="duplicate"):
        commands.create_delivery(ready.message, starter)


def test_counters_are_the_sum_over_batches(ready):
    from deliveries.ledger.counters import counters
    from deliveries.ledger.kpis import Counters
    from deliveries.models import Batch

    Batch.objects.create(delivery=ready, number=1, total=2, pending=1, sent=1)
    Batch.objects.create(delivery=ready, number=2, total=1, failed=1, hard=1)
    assert counters(ready) == Counters(to_deliver=3, pending=1, sent=1, failed=1, hard=1)


def test_a_message_that_moved_is_prepared_only_with_rights_where_it_is_now(message, routing, starter, make_user):
    from guardian.shortcuts import assign_perm

    from campaigns.models import Campaign

    delivery = commands.create_delivery(message, starter)
    guest = make_user("guest")
    assign_perm("campaigns.prepare_deliveries", guest, delivery.campaign)
    message.campaign = Campaign.objects.create(label="Elsewhere")
    message.save()
    delivery = Delivery.objects.get(pk=delivery.pk)
    with pytest.raises(PermissionDenied, match="Elsewhere"):
        commands.prepare(delivery, guest)
    assert delivery.events.filter(code="denied", user=guest).exists()
