"""Amazon SES by SNS: a post is taken if SNS signed it, with a certificate of its own host, for a topic of ours."""

import base64
import json
import subprocess

import pytest
from django.test import Client

from campaigns.core.web import safe_http
from deliveries.feedback import sns_signatures
from deliveries.ledger.message_tokens import tokens
from deliveries.models.states import LogStatus
from tests.deliveries.reported import relay
from tests.deliveries.sending.sending_rows import sending_delivery

pytestmark = pytest.mark.django_db
SECRET = "only-for-tests-0123456789"
PEM = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:bounces"


@pytest.fixture(scope="module")
def signer(tmp_path_factory, service):
    """signer(kind) makes a key and its certificate. Out: (the certificate, sign(text, hash) in base64)."""
    openssl = service("openssl")

    def make(kind="rsa:2048"):
        folder = tmp_path_factory.mktemp("sns")
        key, pem = folder / "key.pem", folder / "cert.pem"
        more = ("-pkeyopt", "ec_paramgen_curve:P-256") if kind == "ec" else ()
        subprocess.run(
            [
                openssl,
                "req",
                "-x509",
                "-newkey",
                kind,
                *more,
                "-nodes",
                "-keyout",
                key,
                "-out",
                pem,
                "-subj",
                "/CN=sns.amazonaws.com",
            ],
            check=True,
            capture_output=True,
        )

        def sign(text, name):
            command = [openssl, "dgst", f"-{name}", "-sign", key]
            return base64.b64encode(subprocess.run(command, input=text.encode(), capture_output=True).stdout).decode()

        return pem.read_text(), sign

    return make


@pytest.fixture(scope="module")
def amazon(signer):
    """SNS's own certificate and signature."""
    return signer()


@pytest.fixture(autouse=True)
def asked(amazon, settings, monkeypatch):
    """What was fetched; SNS's host gives its certificate."""
    settings.FEEDBACK_SECRET, settings.ANYMAIL, found = SECRET, {}, []

    def request(method, url, **_):
        found.append((method, url))
        return safe_http.Answer(200, {}, amazon[0].encode())

    monkeypatch.setattr(sns_signatures.safe_http, "request", request)
    sns_signatures._keys.clear()
    return found


@pytest.fixture
def log(message, routing):
    [log] = relay(sending_delivery(message, routing, 1, feedback_service=True))
    return log


def envelope(log, amazon, version="2", **other):
    """A notification as SNS posts it; `other` is what somebody changed after it was signed."""
    inner = {
        "eventType": "Delivery",
        "mail": {
            "messageId": "m1",
            "timestamp": "2026-03-01T12:00:00Z",
            "headers": [{"name": "Message-ID", "value": f"<{tokens.sign(log.pk).message_id}.DM1@example.com>"}],
        },
        "delivery": {"timestamp": "2026-03-01T12:00:00Z", "recipients": ["user0@example.net"]},
    }
    body = {
        "Type": "Notification",
        "MessageId": "n1",
        "TopicArn": TOPIC,
        "Subject": "SES",
        "Message": json.dumps(inner),
        "Timestamp": "2026-03-01T12:00:01.000Z",
        "SignatureVersion": version,
        "SigningCertURL": PEM,
    }
    body["Signature"] = amazon[1](sns_signatures.signed_text(body), {"1": "sha1", "2": "sha256"}[version])
    return body | other


def post(body, path=f"{SECRET}/"):
    sns = {"HTTP_X_AMZ_SNS_MESSAGE_TYPE": body.get("Type"), "HTTP_X_AMZ_SNS_MESSAGE_ID": body.get("MessageId")}
    client = Client(raise_request_exception=False)
    return client.post(f"/feedback/amazon_ses/{path}", json.dumps(body), "text/plain; charset=UTF-8", **sns)


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_sns_signed_is_applied_and_its_certificate_fetched_once(log, amazon, asked, version):
    assert [post(envelope(log, amazon, version)).status_code for _ in range(2)] == [200, 200]
    log.refresh_from_db()
    assert (log.status, asked) == (LogStatus.SENT, [("GET", PEM)])


@pytest.mark.parametrize(
    "other",
    [
        {"Message": "{}"},
        {"Timestamp": "2026-03-01T12:00:02.000Z"},
        {"TopicArn": f"{TOPIC}2"},
        {"Subject": None},
        {"SignatureVersion": "1"},
        {"SignatureVersion": "3"},
        {"Signature": ""},
        {"Signature": "?"},
        {"Signature": "AAAA"},
        {"Type": "Notice"},
        {"SigningCertURL": None},
    ],
)
def test_what_was_changed_after_it_was_signed_is_refused(log, amazon, other):
    assert post(envelope(log, amazon, **other)).status_code == 400
    log.refresh_from_db()
    assert log.status == LogStatus.PENDING


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-a.pem",
        "https://sns.eu-west-1.amazonaws.com/evil.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-a.pem",
        "https://evil.example/sns.eu-west-1.amazonaws.com/SimpleNotificationService-a.pem",
        "https://bucket.s3.amazonaws.com/SimpleNotificationService-a.pem",
        f"{PEM}?x=1",
        f"{PEM}\n",
        "https://sns.x@evil.example/.amazonaws.com/SimpleNotificationService-a.pem",
    ],
)
def test_a_certificate_elsewhere_is_not_even_fetched(log, amazon, asked, url):
    assert post(envelope(log, amazon, SigningCertURL=url)).status_code == 400
    assert not asked


def test_another_key_proves_nothing(log, signer):
    assert post(envelope(log, signer())).status_code == 400


def test_a_key_that_is_none_of_rsa_and_what_is_no_certificate_are_refused(signer):
    pem, _sign = signer("ec")
    for text in (pem, "", pem[:300], "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"):
        with pytest.raises(sns_signatures.Unproved):
            sns_signatures.key_of(text)


def test_a_topic_that_is_not_ours_is_refused_though_sns_signed_it(log, amazon, settings):
    settings.SNS_TOPICS = ["arn:aws:sns:eu-west-1:123456789012:other"]
    assert post(envelope(log, amazon)).status_code == 400
    settings.SNS_TOPICS.append(TOPIC)
    assert post(envelope(log, amazon)).status_code == 200


def test_without_the_certificate_it_is_to_be_posted_again(log, amazon, monkeypatch):
    def silent(*_args, **_more):
        raise safe_http.NoAnswer("no way out")

    monkeypatch.setattr(sns_signatures.safe_http, "request", silent)
    assert post(envelope(log, amazon)).status_code == 503


def test_sns_is_asked_for_the_password_since_it_sends_none_before(log, amazon, settings):
    settings.ANYMAIL = {"WEBHOOK_SECRET": "user:pass"}
    answer = post(envelope(log, amazon), path="")
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Basic realm="feedback"')


def test_a_forged_padding_is_no_signature():
    """With the exponent 3 a lax reader takes the cube root of what only begins well (Bleichenbacher, 2006)."""
    size, digest = 256, sns_signatures._HASHES["2"][1] + b"\x11" * 32
    wanted = int.from_bytes((b"\0\1\xff\xff\xff\xff\xff\xff\xff\xff\0" + digest).ljust(size, b"\0"), "big")
    low, high = 0, 1 << 700
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**3 < wanted else (low, middle)
    modulus = (1 << (8 * size)) - 1
    assert pow(low, 3, modulus).to_bytes(size, "big").startswith(b"\0\1\xff\xff\xff\xff\xff\xff\xff\xff\0" + digest)
    assert not sns_signatures.fits((modulus, 3), low.to_bytes(size, "big"), digest)
