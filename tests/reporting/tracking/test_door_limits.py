"""The doors for recipients and mail services: too much from one address gets 429, and what was answered is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from campaigns.core import token_bucket
from campaigns.core.token_bucket import Buckets
from deliveries.feedback import esp_webhooks
from deliveries.ledger.message_tokens.tokens import sign
from deliveries.lifecycle.proofs import pages
from reporting.tracking import collect
from reporting.tracking.buffer import files, read
from reporting.tracking.wsgi import TrackingFastPath

pytestmark = pytest.mark.django_db
HERE, AWAY = "192.0.2.1", "203.0.113.9"


@pytest.fixture
def kept(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Limits of 2 a second, 30 at once, with a clock that stands; kept() is the number of events in the buffer."""
    monkeypatch.setattr(collect, "visits", Buckets(2, 30, lambda: 0.0))
    monkeypatch.setattr(collect, "buffer", collect.Buffer(tmp_path, "here"))
    yield lambda: sum(len(read(path, 0, 1000)[0]) for path in files(tmp_path))
    collect.buffer.close()


def ask(path: str, address: str = HERE, method: str = "GET") -> str:
    said: list[str] = []
    environ = {"PATH_INFO": path, "REQUEST_METHOD": method, "REMOTE_ADDR": address}
    b"".join(TrackingFastPath(lambda *_: [b""])(environ, lambda status, _headers: said.append(status)))
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
    monkeypatch.setattr(esp_webhooks, "posts", Buckets(1, 3, lambda: 0.0))
    url = f"/feedback/postmark/{'s' * 24}/"
    answers = [client.post(url, "{}", "application/json").status_code for _ in range(5)]
    assert 429 not in answers[:3] and answers[3:] == [429, 429]
    assert client.post(url, "{}", "application/json", REMOTE_ADDR=AWAY).status_code != 429


def test_guessing_the_secret_ends_at_once(client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.FEEDBACK_SECRET = "s" * 24
    monkeypatch.setattr(esp_webhooks, "posts", Buckets(1, 150, lambda: 0.0))
    answers = [client.post(f"/feedback/postmark/{'x' * 24}/").status_code for _ in range(4)]
    assert answers == [404, 404, 429, 429]


class Clock:
    """Time as the test sets it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(kept: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A letter may be asked for twice a second, 60 times at once, from any number of addresses."""
    clock = Clock()
    monkeypatch.setattr(collect, "letters", Buckets(2, 60, clock))
    return clock


def crowd(path: str, number: int, method: str = "GET") -> list[str]:
    return [ask(path, f"198.51.{n // 250}.{n % 250}", method) for n in range(number)]


def test_a_letter_asked_for_by_a_thousand_addresses_is_counted_up_to_its_rate(
    kept: Callable[[], int], clock: Clock
) -> None:
    answers = crowd(f"/t/o/{sign(1).pixel}.gif", 1000)
    assert answers == ["200 OK"] * 60 + ["429 Too Many Requests"] * 940 and kept() == 60
    assert ask(f"/t/o/{sign(1).pixel.upper()}.gif") == "429 Too Many Requests"  # the same letter
    assert ask(f"/t/o/{sign(2).pixel}.gif") == "200 OK"  # another one
    clock.now = 1.0
    assert crowd(f"/t/o/{sign(1).pixel}.gif", 3) == ["200 OK"] * 2 + ["429 Too Many Requests"]


def test_who_floods_a_letters_picture_keeps_nobody_from_its_pages_and_opting_out(clock: Clock) -> None:
    crowd(f"/t/o/{sign(1).pixel}.gif", 1000)
    crowd(f"/t/u/{sign(1).optout}", 1000)
    assert ask(f"/t/u/{sign(1).optout}") == "429 Too Many Requests"
    assert ask(f"/t/u/{sign(1).optout}", method="POST") == ask(f"/t/m/{sign(1).mirror}") == "behind"


def test_a_guard_that_fetches_five_hundred_links_leaves_the_reader_their_click(clock: Clock) -> None:
    assert all(collect.is_welcome(f"/t/c/{sign(1).link}/{n}", "GET") for n in range(500))
    assert ask(f"/t/c/{sign(1).link}/3") == "behind"
    assert crowd(f"/t/c/{sign(1).link}/3", 200)[-1] == "429 Too Many Requests"


def test_a_million_letters_take_no_more_memory_than_some(clock: Clock) -> None:
    for number in range(3 * token_bucket.MOST):
        collect.is_welcome(f"/t/o/{number}.gif", "GET")
    assert len(collect.letters._left) <= token_bucket.MOST


def test_a_proofs_page_has_a_rate_of_its_address_and_of_its_token(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "letters", Buckets(1, 3, lambda: 0.0))
    answers = [client.get("/proof/x/", REMOTE_ADDR=f"198.51.100.{n}").status_code for n in range(5)]
    assert answers == [404, 404, 404, 429, 429]
    monkeypatch.setattr(pages, "visits", Buckets(1, 30, lambda: 0.0))
    assert [client.get(f"/proof/{n}/").status_code for n in range(4)] == [404, 404, 429, 429]


def test_a_services_secret_has_a_rate_of_its_own(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FEEDBACK_SECRET = "s" * 24
    monkeypatch.setattr(esp_webhooks, "services", Buckets(1, 3, lambda: 0.0))
    url = f"/feedback/postmark/{'s' * 24}/"
    answers = [client.post(url, "{}", "application/json", REMOTE_ADDR=f"198.51.100.{n}").status_code for n in range(5)]
    assert 429 not in answers[:3] and answers[3:] == [429, 429]
    assert client.post(f"/feedback/mailgun/{'s' * 24}/", "{}", "application/json").status_code != 429
