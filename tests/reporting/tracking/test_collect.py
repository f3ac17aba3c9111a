"""Opens, clicks, mirror pages and opt-outs, through the addresses that recipients get."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from campaigns.consent import changes
from deliveries.ledger.message_tokens import tokens
from reporting.models import TrackingLog
from reporting.tracking.collect import network_of
from reporting.tracking.wsgi import TrackingFastPath
from tests.reporting.conftest import LINKED, first_log

pytestmark = pytest.mark.django_db
AGENT = {"HTTP_USER_AGENT": "Mozilla/5.0 (X11) Firefox/128.0"}


def url(name: str, log: Any, *args: Any) -> str:
    purpose = {"open": "pixel", "click": "link"}.get(name, name)
    return reverse(f"tracking-{name}", args=[getattr(tokens.sign(log.pk), purpose), *args])


def test_an_open_becomes_a_tracking_log_without_the_database(
    sent: Any, tracked: Any, client: Client, django_assert_num_queries: Any
) -> None:
    log = first_log(sent())
    with django_assert_num_queries(0):
        answer = client.get(url("open", log), **AGENT)
    assert answer["Content-Type"] == "image/gif"
    assert tracked() == 1
    row = TrackingLog.objects.get()
    log.refresh_from_db()
    assert (row.sending_log_id, row.type, row.network, row.machine) == (log.pk, 2, "127.0.0.0/24", False)
    assert log.opened_at == row.at
    assert log.clicked_at is None


def test_a_click_leads_where_the_content_says(sent: Any, tracked: Any, client: Client) -> None:
    log = first_log(sent())
    assert client.get(url("click", log, 0), **AGENT)["Location"] == "https://example.com/news"
    assert client.get(url("click", log, 1), **AGENT)["Location"] == "https://example.com/for/User%200"
    tracked()
    log.refresh_from_db()
    assert list(TrackingLog.objects.values_list("type", "link")) == [(1, 0), (1, 1)]
    assert log.clicked_at is not None
    assert log.opened_at == log.clicked_at


def test_a_click_reads_one_row_once_the_links_are_known(
    sent: Any, tracked: Any, client: Client, django_assert_num_queries: Any
) -> None:
    log = first_log(sent())
    client.get(url("click", log, 0))
    with django_assert_num_queries(1):
        client.get(url("click", log, 2))


@pytest.mark.parametrize("name", ["click", "mirror", "optout"])
def test_a_forged_token_gets_a_page_that_says_what_to_do(client: Client, tracked: Any, name: str) -> None:
    args = ["a" * 24, 0] if name == "click" else ["a" * 24]
    answer = client.get(reverse(f"tracking-{name}", args=args))
    assert answer.status_code == 404
    assert b"This link does not work" in answer.content
    assert tracked() == 0


def test_a_number_that_the_content_does_not_have_leads_to_the_website(sent: Any, tracked: Any, client: Client) -> None:
    answer = client.get(url("click", first_log(sent()), 99))
    assert answer["Location"] == "https://www.example.com/"
    assert tracked() == 0


def test_after_the_validity_links_lead_to_the_website(sent: Any, tracked: Any, client: Client, settings: Any) -> None:
    log = first_log(sent(contact_date=timezone.now() - timedelta(days=settings.TRACKING_DAYS + 1)))
    assert client.get(url("click", log, 0))["Location"] == "https://www.example.com/"
    assert client.get(url("mirror", log)).status_code == 404
    assert tracked() == 0


def test_a_message_has_its_own_validity_and_its_own_address_afterwards(sent: Any, tracked: Any, client: Client) -> None:
    tracking = {"days": 2, "fallback": "https://example.com/over"}
    log = first_log(sent(content=LINKED | {"tracking": tracking}, contact_date=timezone.now() - timedelta(days=3)))
    assert client.get(url("click", log, 0))["Location"] == "https://example.com/over"
    assert tracked() == 0


def test_the_mirror_page_is_the_message_and_nothing_of_it_runs(sent: Any, tracked: Any, client: Client) -> None:
    log = first_log(sent())
    answer = client.get(url("mirror", log), **AGENT)
    assert "Dear User 0" in answer.content.decode()
    assert url("click", log, 0) in answer.content.decode()
    assert "sandbox" in answer["Content-Security-Policy"]
    tracked()
    assert TrackingLog.objects.get().type == 6


def test_looking_at_the_opt_out_page_changes_nothing(sent: Any, client: Client) -> None:
    log = first_log(sent())
    answer = client.get(url("optout", log))
    log.profile.refresh_from_db()
    assert log.address in answer.content.decode()
    assert not log.profile.opt_out_email
    assert not answer.cookies


def test_one_click_opts_out_at_once_without_cookies(sent: Any) -> None:
    log = first_log(sent())
    strict = Client(enforce_csrf_checks=True)
    for _ in range(2):
        answer = strict.post(url("optout", log), {"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
    log.refresh_from_db()
    assert log.profile.opt_out_email
    assert log.opted_out_at is not None
    assert log.opened_at is not None
    assert list(TrackingLog.objects.values_list("type", flat=True)) == [3]


def test_an_opt_out_can_be_undone_from_its_page(sent: Any, client: Client) -> None:
    log = first_log(sent())
    page = client.post(url("optout", log), {"act": "out"}, follow=True)
    assert "You are unsubscribed" in page.content.decode()
    page = client.post(url("optout", log), {"act": "undo"}, follow=True)
    log.refresh_from_db()
    assert not log.profile.opt_out_email
    assert log.opted_out_at is None
    assert "One press is enough" in page.content.decode()


def test_undo_leaves_an_opt_out_that_was_made_elsewhere(sent: Any, client: Client) -> None:
    log = first_log(sent())
    changes.opt_out([log.profile_id], ["opt_out_email"], changes.Origin("form"))
    client.post(url("optout", log), {"act": "undo"})
    log.profile.refresh_from_db()
    assert log.profile.opt_out_email


def test_the_door_answers_what_django_would(sent: Any, tracked: Any) -> None:
    log = first_log(sent())
    said: list[Any] = []
    fast_path = TrackingFastPath(lambda environ, start: [b"django"])

    def ask(path: str, method: str = "GET") -> Any:
        environ = RequestFactory(**AGENT).generic(method, path).environ
        return b"".join(fast_path(environ, lambda *a: said.append(a)))

    assert ask(url("open", log)).startswith(b"GIF89a")
    assert ask(url("click", log, 2)) == b""
    assert dict(said[-1][1])["Location"] == "https://example.com/shop"
    assert ask(url("open", log), "POST") == b"django"
    assert ask("/t/c/" + "a" * 24 + "/0") == b"django"
    assert ask("/admin/") == b"django"
    assert tracked() == 2


@pytest.mark.parametrize(
    ("address", "network"),
    [("203.0.113.77", "203.0.113.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48"), ("", ""), ("unix:", "")],
)
def test_no_whole_address_is_kept(address: str, network: str) -> None:
    assert network_of(address) == network
