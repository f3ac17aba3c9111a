"""The doors for recipients and mail services: too much from one address gets 429, and what was answered is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from campaigns.rates import Buckets
from deliveries import webhooks
from deliveries.tokens import sign
from reporting import tracking
from reporting.buffer import files, read
from reporting.door import TrackingDoor

pytestmark = pytest.mark.django_db
HERE, AWAY = "192.0.2.1", "203.0.113.9"


@pytest.fixture
def kept(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Limits of 2 a second, 30 at once, with a clock that stands; kept() is the number of events in the buffer."""
    monkeypatch.setattr(tracking, "visits", Buckets(2, 30, lambda: 0.0))
    monkeypatch.setattr(tracking, "buffer", tracking.Buffer(tmp_path, "here"))
    yield lambda: sum(len(read(path, 0, 1000)[0]) for path in files(tmp_path))
    tracking.buffer.close()


def ask(path: str, address: str = HERE) -> str:
    said: list[str] = []
    environ = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "REMOTE_ADDR": address}
    b"".join(TrackingDoor(lambda *_: [b""])(environ, lambda status, _headers: said.append(status)))
    return said[0] if said else "behind"


def test_an_address_that_asks_too_much_gets_429_and_all_that_was_answered_is_kept(kept: Callable[[], int]) -> None:
    answers = [ask(f"/t/o/{sign(1).pixel}.gif") for _ in range(50)]
    assert answers == ["200 OK"] * 30 + ["429 Too Many Requests"] * 20 and kept() == 30


def test_the_others_go_on(kept: Callable[[], int]) -> None:
    for _ in range(40):
        ask(f"/t/o/{sign(1).pixel}.gif")
    assert ask(f"/t/o/{sign(1).pixel}.gif", AWAY) == "200 OK"


def test_guessing_tokens_ends_after_a_few(kept: Callable[[], int]) -> None:
    answers = [ask("/t/c/aaaaaaaaaaaaaaaaaaaaaaaa/0") for _ in range(5)]
    assert answers == ["behind"] * 2 + ["429 Too Many Requests"] * 3


def test_services_that_post_too_much_are_told_to_come_again(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FEEDBACK_SECRET = "s" * 24
    monkeypatch.setattr(webhooks, "posts", Buckets(1, 3, lambda: 0.0))
    url = f"/feedback/postmark/{'s' * 24}/"
    answers = [client.post(url, "{}", "application/json").status_code for _ in range(5)]
    assert 429 not in answers[:3] and answers[3:] == [429, 429]
    assert client.post(url, "{}", "application/json", REMOTE_ADDR=AWAY).status_code != 429


def test_guessing_the_secret_ends_at_once(client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.FEEDBACK_SECRET = "s" * 24
    monkeypatch.setattr(webhooks, "posts", Buckets(1, 150, lambda: 0.0))
    answers = [client.post(f"/feedback/postmark/{'x' * 24}/").status_code for _ in range(4)]
    assert answers == [404, 404, 429, 429]
