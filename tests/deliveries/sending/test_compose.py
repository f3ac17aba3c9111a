"""What each message says of its recipient: every address in it leads where the URL table has it."""

from __future__ import annotations

from email import message_from_bytes, policy
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from deliveries.ledger.message_tokens import old_tokens, tokens
from deliveries.models import Delivery, SendingLog
from deliveries.sending import compose
from deliveries.sending.leases import Claimed

from .sending_rows import CONTENT, sending_delivery

pytestmark = pytest.mark.django_db

HTML = """<html><body><p><a href="https://example.com/one">One</a> <a href="https://example.com/two">Two</a>
<a href="{{ mirror_url }}">On the web</a> <a href="{{ unsubscribe_url }}">Stop</a></p></body></html>"""


@pytest.fixture
def composer(message: Any, routing: Any) -> compose.Composer:
    content = CONTENT | {"html": HTML, "text": "https://example.com/three {{ mirror_url }} {{ unsubscribe_url }}"}
    return compose.Composer(sending_delivery(message, routing, 1, content=content))


def written(composer: compose.Composer, log_id: int) -> dict[str, str]:
    """The parts of a recipient's message, by subtype; their List-Unsubscribe under that name."""
    row = Claimed(
        log_id,
        "ann@example.org",
        0,
        0,
        None,
        False,
        False,
        False,
        ("Ann", "Lee", 0, *("" for _ in composer.columns[3:])),
    )
    mail = message_from_bytes(composer.compose(row).write(), policy=policy.default)
    parts = {part.get_content_subtype(): part.get_content() for part in mail.iter_parts()}
    return parts | {"List-Unsubscribe": mail["List-Unsubscribe"]}


@pytest.mark.parametrize("log_id", [1, 2**40])
def test_each_address_is_the_recipients_own_and_leads_to_its_page(composer: compose.Composer, log_id: int) -> None:
    signed = tokens.sign(log_id)

    def url(name: str, *index: int) -> str:
        token = getattr(signed, {"open": "pixel", "click": "link"}.get(name, name))
        return settings.PUBLIC_URL + reverse(f"tracking-{name}", args=[token, *index])

    found = written(composer, log_id)
    links = {link.url: link.index for link in composer.compiled.links if link.kind == "tracked"}
    for number, page in (("one", "One"), ("two", "Two")):
        assert f'href="{url("click", links[f"https://example.com/{number}"])}">{page}<' in found["html"]
    assert f'href="{url("mirror")}">On the web<' in found["html"]
    assert f'href="{url("optout")}">Stop<' in found["html"]
    assert f'src="{url("open")}"' in found["html"]
    third = url("click", links["https://example.com/three"])
    assert found["plain"].split() == [third, url("mirror"), url("optout")]
    assert url("optout") in found["List-Unsubscribe"]


def test_they_are_laid_out_once_and_not_put_together_for_each(
    composer: compose.Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = written(composer, 7)
    monkeypatch.setattr(compose.RecipientUrls, "link", lambda self, index: pytest.fail("put together"))
    monkeypatch.setattr(compose.RecipientUrls, "mirror_url", property(lambda self: pytest.fail("put together")))
    assert written(composer, 7) == whole


def test_whoever_sees_what_servers_see_reads_nothing_and_opts_nobody_out(
    composer: compose.Composer, client: Client
) -> None:
    row = SendingLog.objects.get()
    claimed = Claimed(
        row.pk, row.address, 0, 0, None, False, False, False, ("Ann", "Lee", 0, *("" for _ in composer.columns[3:]))
    )
    message = composer.compose(claimed)
    mail = message_from_bytes(message.write(), policy=policy.default)
    seen = {mail["Message-ID"][1:].partition(".")[0], message.envelope.sender.decode()[2:].partition("@")[0]}
    assert len(seen) == 2
    for token in seen:
        for page in ("t/o/{}.gif", "t/c/{}/0", "t/m/{}", "t/u/{}"):
            assert client.get(f"/{page.format(token)}").status_code == 404
        assert client.post(f"/t/u/{token}", {"List-Unsubscribe": "One-Click"}).status_code == 404
    assert not SendingLog.objects.get().opted_out_at


@pytest.mark.parametrize("purpose", ["link", "pixel", "optout", "mirror"])
def test_the_address_of_one_page_opens_no_other(composer: compose.Composer, client: Client, purpose: str) -> None:
    token = getattr(tokens.sign(SendingLog.objects.get().pk), purpose)
    pages = {
        "pixel": f"/t/o/{token}.gif",
        "link": f"/t/c/{token}/0",
        "mirror": f"/t/m/{token}",
        "optout": f"/t/u/{token}",
    }
    assert {name for name, page in pages.items() if client.get(page).status_code != 404} == {purpose}


def test_a_delivery_from_before_the_upgrade_ends_as_it_began(composer: compose.Composer) -> None:
    delivery = Delivery.objects.get()
    Delivery.objects.update(token_key="")
    delivery.refresh_from_db()
    old = compose.Composer(delivery)
    assert set(old.sign(7)) == {old_tokens.sign(7, settings.SECRET_KEY).link}


def test_a_key_that_is_gone_is_told_and_stops_nothing(composer: compose.Composer, caplog: Any) -> None:
    delivery = Delivery.objects.get()
    delivery.token_key = "0" * 12
    assert compose.Composer(delivery).sign(7) == tokens.sign(7)
    assert "not in SECRET_KEY_FALLBACKS" in caplog.text
