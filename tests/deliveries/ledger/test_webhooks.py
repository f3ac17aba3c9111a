"""Webhooks that leave: written with the event, signed, tried again, replayed; against a real receiver."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import ipaddress
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns.models.audit.entries import AuditEntry, AuditValue
from deliveries.ledger import webhooks
from deliveries.ledger.errors import Refused
from deliveries.ledger.events import log_event
from deliveries.lifecycle import commands
from deliveries.models import Delivery, Proof
from deliveries.models.states import State
from deliveries.models.webhooks import WebhookCall, WebhookEndpoint, WebhookTry
from deliveries.preparation.sealing import current_seal

pytestmark = pytest.mark.django_db
Call = WebhookCall.State


class Receiver(http.server.ThreadingHTTPServer):
    """Takes posts on the loopback, keeps them, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """A receiver that may be reached."""
    settings.OUTGOING_ALLOW = [ipaddress.ip_network("127.0.0.0/8")]
    server = Receiver()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def endpoint(receiver: Receiver) -> WebhookEndpoint:
    """An endpoint that wants to hear of everything."""
    return WebhookEndpoint.objects.create(label="CRM", url=receiver.url)


@pytest.fixture
def ready(message: Any, routing: Any, starter: Any) -> Delivery:
    """A delivery as a preparation leaves it."""
    delivery = commands.create_delivery(message, starter)
    Delivery.objects.filter(pk=delivery.pk).update(state=State.READY, fingerprint=current_seal(message), to_deliver=2)
    delivery.refresh_from_db()
    return delivery


def verify(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """What config/docs/api.md tells a receiver to do."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mine = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(mine, given) for given in headers["webhook-signature"].split())


def test_a_confirmation_is_told_and_signed(endpoint: Any, receiver: Receiver, ready: Delivery, starter: Any) -> None:
    commands.confirm(ready, starter)
    assert webhooks.post_due() == 1
    (headers, body), told = receiver.got[0], json.loads(receiver.got[0][1])
    assert (told["type"], told["data"]["delivery"]["code"]) == ("delivery.confirmed", ready.code)
    assert told["data"]["delivery"]["state"] == "start_pending"
    assert verify(webhooks.secret(endpoint), headers, body)
    assert not verify(webhooks.secret(endpoint), headers, body + b" ")
    assert WebhookCall.objects.get().state == Call.DELIVERED


def test_what_is_rolled_back_is_not_told(endpoint: Any, receiver: Receiver, ready: Delivery) -> None:
    with transaction.atomic():
        log_event(ready, "finished", "Finished.")
        transaction.set_rollback(True)
    assert not WebhookCall.objects.exists()


def test_only_what_an_endpoint_wants_is_told(endpoint: Any, ready: Delivery) -> None:
    WebhookEndpoint.objects.update(kinds=["delivery.finished"])
    WebhookEndpoint.objects.create(label="Off", url="https://hooks.example/", enabled=False)
    log_event(ready, "started", "Started.")
    log_event(ready, "finished", "Finished.")
    assert list(WebhookCall.objects.values_list("kind", flat=True)) == ["delivery.finished"]


def test_no_recipient_stands_in_it(endpoint: Any, ready: Delivery, starter: Any) -> None:
    commands.confirm(ready, starter)
    assert "@" not in json.dumps(WebhookCall.objects.get().payload)


def test_a_failed_try_waits_longer_each_time_and_keeps_its_id(
    endpoint: Any, receiver: Receiver, ready: Delivery
) -> None:
    receiver.status = 500
    log_event(ready, "finished", "Finished.")
    for made, wait in enumerate(webhooks.WAITS[:3], 1):
        assert webhooks.post_due() == 0
        call = WebhookCall.objects.get()
        assert (call.state, call.tries_made) == (Call.WAITING, made)
        assert wait - timedelta(seconds=5) < call.due_at - timezone.now() <= wait
        WebhookCall.objects.update(due_at=timezone.now())
    receiver.status = 200
    assert webhooks.post_due() == 1
    assert len({headers["webhook-id"] for headers, _body in receiver.got}) == 1
    assert list(WebhookTry.objects.values_list("status", flat=True)) == [500, 500, 500, 200]


def test_after_days_it_is_given_up_and_can_be_replayed(endpoint: Any, receiver: Receiver, ready: Delivery) -> None:
    receiver.status = 503
    log_event(ready, "finished", "Finished.")
    WebhookCall.objects.update(tries_made=len(webhooks.WAITS))
    webhooks.post_due()
    assert WebhookCall.objects.get().state == Call.GIVEN_UP
    receiver.status = 200
    webhooks.replay(WebhookCall.objects.get())
    assert webhooks.post_due() == 1


def test_a_redirect_is_no_arrival(endpoint: Any, receiver: Receiver, ready: Delivery) -> None:
    receiver.status = 302
    log_event(ready, "finished", "Finished.")
    assert webhooks.post_due() == 0


def test_an_endpoint_that_is_gone_hears_no_more(endpoint: Any, receiver: Receiver, ready: Delivery) -> None:
    receiver.status = 410
    log_event(ready, "finished", "Finished.")
    webhooks.post_due()
    endpoint.refresh_from_db()
    assert not endpoint.enabled


def test_nothing_of_our_own_network_is_asked(settings: Any, receiver: Receiver, endpoint: Any, ready: Delivery) -> None:
    settings.OUTGOING_ALLOW = []
    log_event(ready, "finished", "Finished.")
    assert webhooks.post_due() == 0
    assert not receiver.got
    assert "OUTGOING_ALLOW" in WebhookTry.objects.get().words or "https" in WebhookTry.objects.get().words


def test_a_call_that_another_worker_has_is_left_to_it(endpoint: Any, receiver: Receiver, ready: Delivery) -> None:
    log_event(ready, "finished", "Finished.")
    assert webhooks._take(set())
    assert webhooks.post_due() == 0
    assert not receiver.got


def test_a_call_whose_worker_died_is_posted_by_the_next(endpoint: Any, receiver: Receiver, ready: Delivery) -> None:
    log_event(ready, "finished", "Finished.")
    webhooks._take(set())
    WebhookCall.objects.update(due_at=timezone.now() - webhooks.LEASE)
    assert webhooks.waiting()
    assert webhooks.post_due() == 1


def test_a_silent_endpoint_keeps_nobody_waiting(endpoint: Any, receiver: Receiver, ready: Delivery) -> None:
    WebhookEndpoint.objects.create(label="Dead", url="http://127.0.0.1:1024/")
    for _ in range(3):
        log_event(ready, "finished", "Finished.")
    assert webhooks.post_due() == 3
    assert WebhookTry.objects.filter(call__endpoint__label="Dead").count() == 1


def test_for_a_day_both_secrets_sign(endpoint: WebhookEndpoint) -> None:
    old = webhooks.secret(endpoint)
    new = webhooks.rotate(endpoint)
    endpoint.refresh_from_db()
    headers = webhooks.headers(endpoint, "1", b"{}")
    assert new != old
    assert verify(old, headers, b"{}") and verify(new, headers, b"{}")
    endpoint.rotated_at -= timedelta(hours=25)
    endpoint.save()
    assert not verify(old, webhooks.headers(endpoint, "1", b"{}"), b"{}")
    webhooks.clean_up()
    assert set(WebhookEndpoint.objects.values_list("old_secret", "secret")) == {("", endpoint.secret)}


def test_each_endpoint_has_a_secret_of_chance_that_outlives_the_key_of_the_installation(
    endpoint: WebhookEndpoint, settings: Any
) -> None:
    told = webhooks.secret(endpoint)
    other = WebhookEndpoint.objects.create(label="ERP", url=endpoint.url)
    assert len(base64.b64decode(told.removeprefix("whsec_"))) == 32 and webhooks.secret(other) != told
    settings.SECRET_KEY = "another-key"
    endpoint.refresh_from_db()
    assert webhooks.secret(endpoint) == told


def test_a_secret_is_shown_to_its_maker_once_and_stands_nowhere_else(receiver: Receiver, make_user: Any) -> None:
    office, once = APIClient(), {"HTTP_IDEMPOTENCY_KEY": "one"}
    office.force_authenticate(make_user("chief", "Administrators"))
    asked = {"label": "CRM", "url": receiver.url}
    made = office.post("/api/webhooks/", asked, **once)
    assert made["Cache-Control"] == "no-store"
    kept = WebhookEndpoint.objects.get()
    assert made.json()["secret"] == webhooks.secret(kept)
    renewed = office.post(f"/api/webhooks/{kept.pk}/rotate/").json()["secret"]
    later = [
        office.post("/api/webhooks/", asked, **once),
        office.get("/api/webhooks/"),
        office.patch(f"/api/webhooks/{kept.pk}/", {"label": "ERP"}),
    ]
    told = [
        *(answer.content.decode() for answer in later),
        *AuditEntry.objects.values_list("content", flat=True),
        *map(str, AuditValue.objects.values_list("before", "after")),
    ]
    for secret in (made.json()["secret"], renewed):
        assert not [text for text in told if secret.removeprefix("whsec_") in text]


def test_an_alert_is_told(endpoint: Any) -> None:
    webhooks.write_alert("[Board] 2 failed", "Two failed.", [4, 3, 4])
    assert WebhookCall.objects.get().payload["data"]["deliveries"] == [3, 4]


def test_programs_keep_endpoints_test_them_and_replay(receiver: Receiver, make_user: Any) -> None:
    office = APIClient()
    office.force_authenticate(make_user("chief", "Administrators"))
    made = office.post("/api/webhooks/", {"label": "CRM", "url": receiver.url, "kinds": ["alert"]})
    assert made.status_code == 201
    path = f"/api/webhooks/{made.json()['id']}/"
    secret = office.post(f"{path}rotate/").json()["secret"]
    call = office.post(f"{path}test/").json()
    webhooks.post_due()
    assert verify(secret, *receiver.got[0])
    assert office.get(f"/api/webhook-calls/{call['id']}/").json()["tries"][0]["status"] == 204
    assert office.post(f"/api/webhook-calls/{call['id']}/replay/").json()["state"] == "waiting"
    assert office.post(f"/api/webhook-calls/{call['id']}/replay/").json()["code"] == "waiting"


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "http://example.com/", "https://169.254.169.254/", "ftp://x/"])
def test_an_address_that_may_not_be_asked_is_refused_at_once(url: str, make_user: Any) -> None:
    office = APIClient()
    office.force_authenticate(make_user("chief", "Administrators"))
    answer = office.post("/api/webhooks/", {"label": "CRM", "url": url})
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "url")


def test_the_admin_shows_a_secret_once_and_posts_again(endpoint: Any, make_user: Any, client: Client) -> None:
    client.force_login(make_user("chief", "Administrators"))
    page = client.post(f"/admin/deliveries/webhookendpoint/{endpoint.pk}/rotate/")
    endpoint.refresh_from_db()
    assert webhooks.secret(endpoint) in page.content.decode()
    added = client.post("/admin/deliveries/webhookendpoint/add/", {"label": "ERP", "url": endpoint.url})
    assert webhooks.secret(WebhookEndpoint.objects.get(label="ERP")) in added.content.decode()
    assert "no-store" in page["Cache-Control"] and "no-store" in added["Cache-Control"]
    call = webhooks.write_test(endpoint)
    webhooks.post_due()
    client.post("/admin/deliveries/webhookcall/", {"action": "replay", "_selected_action": [call.pk]})
    call.refresh_from_db()
    assert call.state == Call.WAITING
    assert client.get(f"/admin/deliveries/webhookcall/{call.pk}/change/").status_code == 200


def test_what_an_endpoint_that_was_switched_off_waited_for_is_given_up(endpoint: Any, receiver: Receiver) -> None:
    call = webhooks.write_test(endpoint)
    WebhookEndpoint.objects.update(enabled=False)
    endpoint.refresh_from_db()
    assert webhooks.post_due() == 0 and not receiver.got
    assert WebhookCall.objects.get().state == Call.GIVEN_UP
    call.refresh_from_db()
    for act, thing in ((webhooks.write_test, endpoint), (webhooks.replay, call)):
        with pytest.raises(Refused, match="switched off"):
            act(thing)  # type: ignore[operator]


def test_proofs_are_nobodys_news(endpoint: Any, ready: Delivery) -> None:
    ready.proof = Proof.objects.create(delivery=ready, number=1)
    ready.save(update_fields=["proof"])
    log_event(ready, "finished", "Finished.")
    assert not WebhookCall.objects.exists()


def test_old_calls_go(endpoint: Any) -> None:
    webhooks.write_test(endpoint)
    WebhookCall.objects.update(ended_at=timezone.now() - timedelta(days=32))
    webhooks.clean_up()
    assert not WebhookCall.objects.exists()
