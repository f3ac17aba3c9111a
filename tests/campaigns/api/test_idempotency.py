"""Idempotency-Key: done once, however often it is asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns.accounts.api_tokens import give
from campaigns.models import Audience, Campaign
from campaigns.models.api import IdempotentRequest
from deliveries.api.deliveries import COMMANDS
from deliveries.lifecycle import commands

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask(starter: Any) -> Any:
    """ask({"label": "Spring"}, key) posts a campaign with that key."""
    client = APIClient()
    client.force_authenticate(starter)

    def post(body: dict[str, Any], key: str = "one", path: str = "/api/campaigns/") -> Any:
        return client.post(path, body, headers={"Idempotency-Key": key})

    return post


def test_the_same_request_is_done_once_and_answered_alike(ask: Any) -> None:
    first, second = ask({"label": "Spring"}), ask({"label": "Spring"})
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert (first.get("Idempotent-Replayed"), second["Idempotent-Replayed"]) == (None, "true")
    assert Campaign.objects.count() == 1


def test_another_body_with_the_key_is_422(ask: Any) -> None:
    ask({"label": "Spring"})
    answer = ask({"label": "Summer"})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert Campaign.objects.count() == 1


def test_another_address_with_the_key_is_422(ask: Any) -> None:
    ask({"label": "Spring"})
    assert ask({"label": "Spring"}, path="/api/audiences/").status_code == 422
    assert not Audience.objects.exists()


def test_a_refusal_gives_the_key_back(ask: Any) -> None:
    assert ask({"label": ""}).status_code == 400
    assert ask({"label": "Spring"}).status_code == 201


def test_a_request_that_was_cut_off_is_not_done_again(ask: Any, starter: Any) -> None:
    ask({"label": "Spring"})
    IdempotentRequest.objects.update(status=None, body="")
    answer = ask({"label": "Spring"})
    assert (answer.status_code, answer.json()["code"]) == (409, "key_in_use")
    assert Campaign.objects.count() == 1


def test_while_the_first_is_being_carried_out_a_second_does_nothing(
    message: Any, starter: Any, monkeypatch: Any
) -> None:
    delivery, done, meanwhile = commands.create_delivery(message, starter), [], []

    def ask() -> Any:
        client = APIClient()
        client.force_authenticate(starter)
        path = f"/api/deliveries/{delivery.pk}/commands/"
        return client.post(path, {"method": "prepare"}, headers={"Idempotency-Key": "one"})

    def act(*_: Any, **_also: Any) -> None:
        done.append(1)
        meanwhile.append(ask())

    monkeypatch.setitem(COMMANDS, "prepare", act)
    assert ask().status_code == 200
    assert (len(done), meanwhile[0].status_code, meanwhile[0].json()["code"]) == (1, 409, "key_in_use")


def test_another_fingerprint_or_a_token_of_other_rights_makes_another_request(message: Any, starter: Any) -> None:
    delivery = commands.create_delivery(message, starter)
    clients = [
        APIClient(headers={"authorization": f"Token {give(starter, right, [right])[1]}"})
        for right in ("start", "prepare")
    ]
    path, key = f"/api/deliveries/{delivery.pk}/commands/", {"Idempotency-Key": "one"}
    answers = [
        client.post(path, {"method": "stopSeries"}, headers=key | seen)
        for client, seen in ((clients[0], {}), (clients[0], {"If-Match": "x"}), (clients[1], {}))
    ]  # refused, so the key is free again
    assert [answer.status_code for answer in answers] == [409, 412, 409]
    clients[0].post(path, {"method": "prepare"}, headers=key)
    for client, seen in ((clients[0], {"If-Match": "x"}), (clients[1], {})):
        answer = client.post(path, {"method": "prepare"}, headers=key | seen)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_a_key_is_free_again_after_a_day(ask: Any) -> None:
    ask({"label": "Spring"})
    IdempotentRequest.objects.update(asked_at=timezone.now() - timedelta(hours=25))
    assert ask({"label": "Summer"}).status_code == 201


def test_another_persons_key_is_another_key(ask: Any, make_user: Any) -> None:
    ask({"label": "Spring"})
    other = APIClient()
    other.force_authenticate(make_user("other", "Prepare deliveries"))
    made = other.post("/api/campaigns/", {"label": "Spring"}, headers={"Idempotency-Key": "one"})
    assert made.status_code == 201
    assert Campaign.objects.count() == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "\u00e9"])
def test_a_key_that_is_none_is_400(ask: Any, key: str) -> None:
    assert ask({"label": "Spring"}, key).status_code == 400
    assert not Campaign.objects.exists()
