"""What each recipient's letter says about himself: every address in it leads where the URL table has it."""

from __future__ import annotations

from email import message_from_bytes, policy
from typing import Any

import pytest
from django.conf import settings
from django.urls import reverse

from deliveries import envelopes, tokens
from deliveries.batches import Claimed
from tests.deliveries.sending_rows import CONTENT, sending_delivery

pytestmark = pytest.mark.django_db

HTML = """<html><body><p><a href="https://example.com/one">One</a> <a href="https://example.com/two">Two</a>
<a href="{{ mirror_url }}">On the web</a> <a href="{{ unsubscribe_url }}">Stop</a></p></body></html>"""


@pytest.fixture
def mailing(message: Any, routing: Any) -> envelopes.Mailing:
    content = CONTENT | {"html": HTML, "text": "https://example.com/three {{ mirror_url }} {{ unsubscribe_url }}"}
    return envelopes.Mailing(sending_delivery(message, routing, 1, content=content))


def written(mailing: envelopes.Mailing, log_id: int) -> dict[str, str]:
    """The parts of a recipient's message, by subtype; his List-Unsubscribe under that name."""
    row = Claimed(
        log_id,
        "ann@example.org",
        0,
        0,
        None,
        False,
        False,
        False,
        ("Ann", "Lee", 0, *("" for _ in mailing.columns[3:])),
    )
    mail = message_from_bytes(mailing.letter(row).write(), policy=policy.default)
    parts = {part.get_content_subtype(): part.get_content() for part in mail.iter_parts()}
    return parts | {"List-Unsubscribe": mail["List-Unsubscribe"]}


@pytest.mark.parametrize("log_id", [1, 2**40])
def test_each_address_is_the_recipients_own_and_leads_to_its_page(mailing: envelopes.Mailing, log_id: int) -> None:
    token = tokens.sign(log_id)

    def url(name: str, *index: int) -> str:
        return settings.PUBLIC_URL + reverse(f"tracking-{name}", args=[token, *index])

    found = written(mailing, log_id)
    links = {link.url: link.index for link in mailing.compiled.links if link.kind == "tracked"}
    for number, page in (("one", "One"), ("two", "Two")):
        assert f'href="{url("click", links[f"https://example.com/{number}"])}">{page}<' in found["html"]
    assert f'href="{url("mirror")}">On the web<' in found["html"]
    assert f'href="{url("optout")}">Stop<' in found["html"]
    assert f'src="{url("open")}"' in found["html"]
    third = url("click", links["https://example.com/three"])
    assert found["plain"].split() == [third, url("mirror"), url("optout")]
    assert url("optout") in found["List-Unsubscribe"]


def test_they_are_laid_out_once_and_not_put_together_for_each(
    mailing: envelopes.Mailing, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = written(mailing, 7)
    monkeypatch.setattr(envelopes.RecipientUrls, "link", lambda self, index: pytest.fail("put together"))
    monkeypatch.setattr(envelopes.RecipientUrls, "mirror_url", property(lambda self: pytest.fail("put together")))
    assert written(mailing, 7) == whole
