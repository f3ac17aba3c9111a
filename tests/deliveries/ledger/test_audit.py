"""Acts on deliveries stand in the audit: done, refused or denied, with what was before and after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.test import Client

from campaigns.models import Profile
from campaigns.models.audit.entries import AuditEntry
from deliveries.lifecycle import commands, deletion
from deliveries.models import Delivery
from deliveries.preparation import prepare

pytestmark = pytest.mark.django_db


@pytest.fixture
def ready(message: Any, routing: Any, starter: Any) -> Delivery:
    Profile.objects.create(email="ann@example.com")
    delivery = commands.create_delivery(message, starter)
    commands.prepare(delivery, starter)
    prepare.run(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def rows(delivery: Delivery) -> list[tuple[str, str, str]]:
    found = AuditEntry.objects.filter(subject_type="deliveries.delivery", subject_id=str(delivery.pk)).order_by("pk")
    return [(row.act, row.outcome, row.actor) for row in found]


def last(delivery: Delivery) -> AuditEntry:
    return AuditEntry.objects.filter(subject_id=str(delivery.pk), subject_type="deliveries.delivery").latest("pk")


def test_a_confirmation_tells_what_was_sealed_and_what_it_changed(ready: Delivery, starter: Any) -> None:
    commands.confirm(ready, starter)
    told = last(ready).told
    assert (told["before"]["state"], told["after"]["state"]) == ("ready", "start_pending")
    assert told["after"]["fingerprint"] == ready.fingerprint and told["after"]["to_deliver"] == 1


def test_the_whole_way_stands_there(ready: Delivery, starter: Any) -> None:
    commands.confirm(ready, starter)
    commands.stop(ready, starter)
    done = [(act, actor) for act, outcome, actor in rows(ready) if outcome == "done"]
    anna = starter.username
    assert done == [
        ("delivery.created", anna),
        ("delivery.preparation_started", anna),
        ("delivery.preparation_finished", ""),
        ("delivery.confirmed", anna),
        ("delivery.stopped", anna),
    ]


def test_a_refusal_is_kept_though_its_transaction_is_not(ready: Delivery, starter: Any) -> None:
    commands.confirm(ready, starter)
    with pytest.raises(commands.Refused):
        commands.confirm(ready, starter)
    assert rows(ready)[-1] == ("delivery.confirm", "refused", starter.username)
    assert last(ready).told["code"] == "already_confirmed"


def test_a_try_without_the_role_is_kept_once(ready: Delivery, preparer: Any) -> None:
    with pytest.raises(PermissionDenied):
        commands.confirm(ready, preparer)
    assert [row for row in rows(ready) if row[1] == "denied"] == [("delivery.denied", "denied", preparer.username)]


def test_deleting_is_kept_after_the_delivery_is_gone(ready: Delivery, starter: Any) -> None:
    pk = ready.pk
    deletion.delete(ready, starter)
    row = AuditEntry.objects.get(act="delivery.deleted", subject_id=str(pk))
    assert row.actor == starter.username and row.told["before"]["state"] == "editing"


def test_the_way_is_told_api_page_or_command_line(ready: Delivery, starter: Any, client: Client) -> None:
    client.force_login(starter)
    client.post(f"/admin/deliveries/delivery/{ready.pk}/confirm/", REMOTE_ADDR="192.0.2.1")
    assert (last(ready).channel, last(ready).address, last(ready).act) == ("admin", "192.0.2.1", "delivery.confirmed")
    client.post(f"/api/deliveries/{ready.pk}/commands/", {"method": "pause"}, "application/json")
    assert (last(ready).channel, last(ready).act) == ("api", "delivery.paused")
    call_command("resume", f"DM{ready.pk}", "--as", starter.username)
    assert (last(ready).channel, last(ready).act) == ("command line", "delivery.resumed")
    with pytest.raises(CommandError):
        call_command("resume", f"DM{ready.pk}", "--as", starter.username)
    assert (last(ready).outcome, last(ready).told["code"]) == ("refused", "not_paused")


def test_an_export_is_kept_before_its_first_row_leaves_and_again_with_the_number(
    ready: Delivery, make_user: Callable[..., Any], client: Client
) -> None:
    client.force_login(make_user("eve", "Export", "Start deliveries"))
    answer = client.post(f"/admin/deliveries/delivery/{ready.pk}/export/sending-logs/")
    b"".join(answer.streaming_content)
    assert [row[0] for row in rows(ready)][-2:] == ["delivery.export_started", "delivery.exported"]
    assert last(ready).told["details"]["rows"] == 1
