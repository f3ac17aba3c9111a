"""How much the API takes of one caller, in all processes together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from campaigns.accounts.api_tokens import give
from campaigns.api import rate_limits
from campaigns.api.rate_limits import take

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock stands in the middle of a minute."""
    monkeypatch.setattr(rate_limits.time, "time", lambda: 1_800_000_030.0)
    rate_limits.forget()
    yield
    rate_limits.forget()


def test_no_more_than_the_limit_and_then_until_the_minute_ends() -> None:
    assert [take("me", 3) for _ in range(5)] == [0, 0, 0, 30.0, 30.0]
    assert take("you", 3) == 0


def test_processes_count_together() -> None:
    taken = 0
    for _process in range(10):
        rate_limits.forget()
        taken += sum(not take("me", 600) for _ in range(100))
    assert taken == 600


def test_the_next_minute_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [take("me", 1), take("me", 1)] == [0, 30.0]
    monkeypatch.setattr(rate_limits.time, "time", lambda: 1_800_000_061.0)
    assert take("me", 1) == 0


def test_a_token_that_asks_too_often_is_told_when_to_come_again(starter: Any, settings: Any) -> None:
    settings.API_PER_MINUTE = 2
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {give(starter, 'Busy', [])[1]}")
    answers = [client.get("/api/campaigns/") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert (answers[2]["Retry-After"], answers[2].json()["code"]) == ("30", "throttled")


def test_one_tokens_haste_is_not_anothers(starter: Any, settings: Any) -> None:
    settings.API_PER_MINUTE = 1
    for label in ("One", "Two"):
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Token {give(starter, label, [])[1]}")
        assert client.get("/api/campaigns/").status_code == 200


def test_who_tries_tokens_is_stopped_by_address(settings: Any) -> None:
    settings.API_ANONYMOUS_PER_MINUTE = 2
    header = {"authorization": "Token " + "a" * 64}
    answers = [APIClient().get("/api/campaigns/", headers=header) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    other = APIClient(REMOTE_ADDR="192.0.2.7").get("/api/campaigns/", headers=header)
    assert other.status_code == 401


def test_clean_up_keeps_the_present() -> None:
    take("me", 3)
    rate_limits.clean_up()
    assert rate_limits.ApiWindow.objects.count() == 1
