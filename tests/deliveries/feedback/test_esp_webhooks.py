"""Mail services' posts: proved, read by django-anymail, matched by token, applied."""

import json
import random
import time

import pytest
from anymail.signals import AnymailTrackingEvent
from django.test import Client

from deliveries.feedback import esp_webhooks
from deliveries.ledger.message_tokens import tokens
from deliveries.models import QuarantinedAddress
from deliveries.models.feedback import FeedbackEvent
from deliveries.models.states import FailureType, LogStatus, Reason
from tests.deliveries.reported import relay
from tests.deliveries.sending.sending_rows import figures, sending_delivery
from tests.hostile import spent

pytestmark = pytest.mark.django_db
SECRET = "only-for-tests-0123456789"


@pytest.fixture(autouse=True)
def secret(settings):
    settings.FEEDBACK_SECRET = SECRET
    settings.ANYMAIL = {}


@pytest.fixture
def log(message, routing):
    [log] = relay(sending_delivery(message, routing, 1, feedback_service=True))
    return log


def post(provider, body, path=f"{SECRET}/", **headers):
    return Client(raise_request_exception=False, enforce_csrf_checks=True).post(
        f"/feedback/{provider}/{path}", json.dumps(body), content_type="application/json", **headers
    )


def sendgrid(log_id, event="bounce", **more):
    return [
        {
            "email": "user0@example.net",
            "timestamp": int(time.time()),
            "event": event,
            "sg_event_id": "abc",
            "smtp-id": f"<{tokens.sign(log_id).message_id}.DM1@example.com>",
            "sg_message_id": "xyz.filter",
            **more,
        }
    ]


def postmark(log_id, **more):
    return {
        "RecordType": "Bounce",
        "Type": "HardBounce",
        "TypeCode": 1,
        "ID": 42,
        "MessageID": "00000000-0000",
        "Email": "user0@example.net",
        "BouncedAt": "2026-03-01T12:00:00Z",
        "Details": "smtp;550 5.1.1 The email account that you tried to reach does not exist",
        "Metadata": {"token": tokens.sign(log_id).message_id},
        **more,
    }


def test_every_service_that_anymail_reads_has_a_door():
    assert {
        "amazon_ses",
        "brevo",
        "mailersend",
        "mailgun",
        "mailjet",
        "mailtrap",
        "mandrill",
        "postal",
        "postmark",
        "resend",
        "sendgrid",
        "sparkpost",
        "unisender_go",
    } <= set(esp_webhooks.providers())


def test_a_bounce_decides_its_row(log):
    body = sendgrid(log.pk, reason="550 5.1.1 user unknown", status="5.1.1", type="bounce")
    assert post("sendgrid", body).status_code == 200
    log.refresh_from_db()
    assert (log.status, log.failure_type, log.reason) == (LogStatus.FAILED, FailureType.HARD, Reason.USER_UNKNOWN)


@pytest.mark.parametrize("event, status", [("delivered", LogStatus.SENT), ("deferred", LogStatus.FAILED)])
def test_other_outcomes_do_too(log, event, status):
    post("sendgrid", sendgrid(log.pk, event, response="451 4.7.1 try later"))
    log.refresh_from_db()
    assert log.status == status


def test_a_complaint_counts(log):
    post("sendgrid", sendgrid(log.pk, "spamreport"))
    assert QuarantinedAddress.objects.get().status == QuarantinedAddress.Status.DENYLIST


def test_metadata_may_carry_the_token(log):
    assert post("postmark", postmark(log.pk)).status_code == 200
    log.refresh_from_db()
    assert log.status == LogStatus.FAILED


def test_a_service_whose_key_is_missing_says_so(log):
    assert post("mailersend", {}).status_code == 501


def test_the_same_post_again_changes_nothing(log):
    for _ in range(2):
        post("sendgrid", sendgrid(log.pk, reason="550 5.1.1 user unknown"))
    assert FeedbackEvent.objects.count() == 1


def test_openings_are_not_ours_to_count(log):
    post("sendgrid", sendgrid(log.pk, "open"))
    assert not FeedbackEvent.objects.exists()


def test_an_event_without_a_valid_token_is_kept_and_changes_nothing(log):
    before = figures(log.delivery)
    post("sendgrid", sendgrid(log.pk, **{"smtp-id": f"<{'a' * 24}.DM1@example.com>"}))
    assert FeedbackEvent.objects.get().log_id is None
    assert figures(log.delivery) == before


@pytest.mark.parametrize("path", ["", "wrong-secret/", "only-for-tests-012345678/"])
def test_without_the_secret_there_is_no_door(log, path):
    assert post("sendgrid", sendgrid(log.pk), path=path).status_code == 404
    assert not FeedbackEvent.objects.exists()


def test_an_empty_secret_opens_nothing(log, settings):
    settings.FEEDBACK_SECRET = ""
    assert post("sendgrid", sendgrid(log.pk), path="x/").status_code == 404


def test_basic_authentication_serves_where_it_is_configured(log, settings):
    settings.ANYMAIL = {"WEBHOOK_SECRET": "user:pass"}
    assert post("sendgrid", sendgrid(log.pk), path="").status_code == 400
    right = {"HTTP_AUTHORIZATION": "Basic dXNlcjpwYXNz"}
    assert post("sendgrid", sendgrid(log.pk), path="", **right).status_code == 200


def test_a_signature_is_checked_where_its_key_is_configured(log, settings):
    settings.ANYMAIL = {"MAILGUN_WEBHOOK_SIGNING_KEY": "key"}
    body = {"signature": {"token": "t", "timestamp": "1", "signature": "wrong"}, "event-data": {"event": "delivered"}}
    assert post("mailgun", body).status_code == 400


def test_what_the_recipients_of_one_post_share_is_read_once(log):
    whole = {"recipients": [f"user{n}@example.net" for n in range(4_000)], "header": "x" * 50_000}
    events = [
        AnymailTrackingEvent(
            event_type="bounced",
            recipient=address,
            mta_response="550 " + "mailbox recipient user " * 150,
            message_id="",
            event_id="1",
            timestamp=None,
            esp_event=whole,
            metadata={"token": tokens.sign(log.pk)},
        )
        for address in whole["recipients"]
    ]
    for event in events:
        event.metadata = events[0].metadata
    assert spent(lambda: esp_webhooks.events_of("Amazon SES", events)) < 2.0
    made = esp_webhooks.events_of("Amazon SES", events)
    assert {event.log_id for event in made} == {log.pk} and len({event.key for event in made}) == 4_000


def test_an_unknown_service_has_no_door():
    assert post("carrier-pigeon", {}).status_code == 404


def test_a_get_is_not_a_post(log):
    assert Client().get(f"/feedback/sendgrid/{SECRET}/").status_code == 405


def mangled(body, chance):
    """A post to which something happened."""
    text = json.dumps(body)
    kind, place = chance.randrange(6), chance.randrange(len(text))
    if kind == 0:
        return text[:place]
    if kind == 1:
        return text[:place] + chance.choice(['"', "{", "[]", "\\u0000", "1e999", "null", "\\ud800"]) + text[place:]
    if kind == 2:
        return "[" * chance.randrange(2000) + text
    if kind == 3:
        return json.dumps({key: chance.choice([None, 7, [], {}, "x" * 9, True]) for key in _keys(body)})
    if kind == 4:
        return json.dumps([chance.choice([None, 7, [], {}, "x", body]) for _ in range(5)])
    return text.replace("2", chance.choice(["", "\x00", "é", '"']))


def _keys(body):
    return body if isinstance(body, dict) else body[0]


def fuzz(log, rounds):
    chance, before = random.Random(5), figures(log.delivery)
    token, names = tokens.sign(log.pk).message_id, sorted(esp_webhooks.providers())
    client = Client(raise_request_exception=False)
    for number in range(rounds):
        body = mangled(chance.choice([sendgrid, postmark])(log.pk), chance).replace(token, "a" * 24)
        kind = chance.choice(["application/json", "application/x-www-form-urlencoded", "text/plain"])
        door = f"/feedback/{names[number % len(names)]}/{SECRET}/"
        many = {"REMOTE_ADDR": f"198.51.{number // 200 % 256}.{number % 200}"}  # none of whom asks too often
        answer = client.post(door, body.encode(errors="replace"), kind, **many)
        assert answer.status_code in (200, 400, 501), (names[number % len(names)], body[:300])
    assert figures(log.delivery) == before
    assert not FeedbackEvent.objects.exclude(log_id=None).exists()


def test_mangled_posts_move_nothing(log):
    fuzz(log, 300)


@pytest.mark.slow
def test_ten_thousand_mangled_posts_move_nothing(log):
    fuzz(log, 10_000)
