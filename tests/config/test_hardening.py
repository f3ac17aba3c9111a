"""What browsers, strangers and the start itself are told: headers, cookies, refusals."""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import translation

from campaigns.accounts import second_factor, totp
from campaigns.audit import chain
from campaigns.models.accounts import SecondFactor
from config import api_document
from config.api_document import DocumentView
from config.version import VERSION
from deliveries.feedback import sns_signatures
from deliveries.ledger.message_tokens import old_tokens, tokens

PRODUCTION = {
    "DEMO": "0",
    "HTTPS": "1",
    "ALLOWED_HOSTS": "office.example",
    "SECRET_KEY": secrets.token_urlsafe(50),
    "DEBUG": "0",
}
LOG_IN = """
import json, os
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django; django.setup()
from django.core.management import call_command
from django.contrib.auth.models import User
from django.test import Client
call_command("migrate", verbosity=0)
User.objects.create_superuser("root", "root@example.com", "pass-word-9")
client = Client(headers={"host": "office.example"})
plain = client.get("/admin/login/")
client.get("/admin/login/", secure=True)
page = client.post("/admin/login/", {"username": "root", "password": "pass-word-9"}, secure=True, follow=False)
print(json.dumps({"plain": [plain.status_code, plain.get("Location")], "headers": dict(page.headers),
    "cookies": {name: [bool(c["secure"]), bool(c["httponly"]), c["samesite"]] for name, c in client.cookies.items()}}))
"""


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    everything = {**os.environ, **PRODUCTION, **environment}
    return subprocess.run(command, env=everything, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_check_for_deployment_finds_nothing() -> None:
    done = run(sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0 and "no issues" in done.stdout + done.stderr


@pytest.mark.slow
def test_in_production_all_is_https_and_cookies_are_kept_from_scripts_and_other_sites(tmp_path: Any) -> None:
    done = run(sys.executable, "-c", LOG_IN, DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3", DATA_DIR=str(tmp_path))
    told = json.loads(done.stdout.splitlines()[-1]) if done.stdout else pytest.fail(done.stderr[-2000:])
    assert told["plain"] == [301, "https://office.example/admin/login/"]
    assert told["headers"]["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"
    assert {"deliveries_session", "csrftoken", "known_browser"} <= set(told["cookies"])
    assert set(map(tuple, told["cookies"].values())) == {(True, True, "Lax")}
    assert "upgrade-insecure-requests" in told["headers"]["Content-Security-Policy"]


@pytest.mark.django_db
def test_no_page_lets_a_script_or_a_style_in_that_is_not_a_file_of_ours(client: Client) -> None:
    answer = client.get("/admin/login/")
    policy = dict(part.partition(" ")[::2] for part in answer["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert {policy[name] for name in ("object-src", "base-uri", "frame-ancestors", "script-src-attr")} == {"'none'"}
    assert "unsafe" not in answer["Content-Security-Policy"] and answer["X-Frame-Options"] == "DENY"
    assert (answer["X-Content-Type-Options"], answer["Referrer-Policy"]) == ("nosniff", "same-origin")


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["/admin/login/", "/t/u/nobody", "/api/messages/", "/api/docs/", "/healthz", "/none"])
def test_no_page_may_ask_the_browser_for_a_device(client: Client, page: str) -> None:
    policy = client.get(page)["Permissions-Policy"]
    assert {"camera=()", "microphone=()", "geolocation=()", "payment=()", "usb=()"} <= set(policy.split(", "))
    assert "=*" not in policy and "self" not in policy


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("messages/", 200),
        ("profiles/", 200),
        ("users/", 200),
        ("profiles/0/", 404),
        ("nothing/", 404),
        ("deliveries/?state=none", 400),
    ],
)
def test_no_cache_keeps_what_the_api_tells(admin_client: Client, path: str, status: int) -> None:
    answer = admin_client.get(f"/api/{path}")
    assert (answer.status_code, answer["Cache-Control"]) == (status, "no-store, private")
    refused = Client().get(f"/api/{path}")
    assert refused["Cache-Control"] == "no-store, private"


@pytest.mark.django_db
def test_the_document_of_the_api_is_made_once_for_a_language_and_format_whoever_asks_how(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real = DocumentView.generator_class.get_schema
    monkeypatch.setattr(api_document, "_made", {})
    monkeypatch.setattr(
        DocumentView.generator_class,
        "get_schema",
        lambda self, **how: made.append(translation.get_language()) or real(self, **how),
    )
    for number in range(5):
        for query in (f"version={number}", f"lang=xx{number}", "lang=fr", f"nothing={number}"):
            answer = client.get(f"/api/schema/?{query}")
            assert answer.status_code == 200 and answer.content.startswith(b"openapi: 3.1")
    assert client.get("/api/schema/?format=json").json()["info"]["version"] == VERSION
    assert sorted(made) == ["en", "en", "fr"]


@pytest.mark.django_db
def test_a_page_that_asks_for_a_nonce_gets_a_fresh_one_each_time(rf: Any) -> None:
    from csp.middleware import CSPMiddleware
    from django.http import HttpResponse

    def page(request: Any) -> HttpResponse:
        return HttpResponse(str(request.csp_nonce))

    answers = [CSPMiddleware(page)(rf.get("/")) for _ in range(2)]
    nonces = [answer.content.decode() for answer in answers]
    assert nonces[0] != nonces[1]
    assert all(f"'nonce-{nonce}'" in a["Content-Security-Policy"] for nonce, a in zip(nonces, answers, strict=True))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("METRICS_TOKEN", "short", "20 or more"),
        ("METRICS_ALLOW", "10.0.0.300/8", "must list networks"),
        ("OUTGOING_ALLOW", "everything", "must list networks"),
        ("AUDIT_KEY", "short", "20 or more random"),
        ("SECRET_KEY_FALLBACKS", "short", "20 or more characters"),
        ("HTTPS", "perhaps", "write 1 or 0"),
        ("SESSION_HOURS", "0", "between"),
    ],
)
def test_a_malformed_switch_stops_the_start_with_its_name_and_the_remedy(name: str, value: str, says: str) -> None:
    done = run(sys.executable, "-c", "import config.settings", **{name: value})
    assert done.returncode and name in done.stderr and says in done.stderr


def test_without_a_secret_key_nothing_is_served(tmp_path: Any) -> None:
    done = run(sys.executable, "-c", "import config.wsgi", SECRET_KEY="", DATA_DIR=str(tmp_path))
    assert done.returncode and "SECRET_KEY is not set" in done.stderr


def test_a_demo_for_other_machines_is_not_served() -> None:
    done = run(sys.executable, "-c", "import config.wsgi", DEMO="1")
    assert done.returncode and "ALLOWED_HOSTS names office.example" in done.stderr and "DEMO=0" in done.stderr


@pytest.mark.django_db
def test_a_form_larger_than_the_limit_is_refused_before_it_is_read(client: Client, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    assert client.post("/admin/login/", {"username": "x" * 2000}).status_code == 400


@pytest.mark.django_db
def test_every_frame_with_a_messages_html_is_sandboxed_and_so_is_the_page_within(
    client: Client, message: Any, routing: Any, starter: Any
) -> None:
    from deliveries.lifecycle import commands

    client.force_login(starter)
    message.html = "<p>Dear <script>alert(1)</script> reader"
    message.save()
    delivery = commands.create_delivery(message, starter)
    pages = (f"campaigns/message/{message.pk}/preview/", f"deliveries/delivery/{delivery.pk}/change/")
    for page in pages:
        frames = re.findall(r"<iframe[^>]*>", client.get(f"/admin/{page}").content.decode())
        assert frames and all('sandbox=""' in frame for frame in frames), page
    within = client.get(f"/admin/{pages[0]}page/")
    policy = within["Content-Security-Policy"].split("; ")
    assert {"sandbox", "default-src 'none'", "frame-ancestors 'self'"} <= set(policy)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "prove",
    [
        lambda client: totp.step_of(b"secret", "000000", 0.0, -1),
        lambda client: second_factor._is_recovery(SecondFactor(recovery=["a"]), "b"),
        lambda client: chain.signed("text", "digest"),
        lambda client: tokens.unsign(tokens.sign(1).link, "link"),
        lambda client: old_tokens.unsign(old_tokens.sign(1, "key").link),
        lambda client: sns_signatures.fits((1 << 2047 | 1, 3), bytes(256), b"digest"),
        lambda client: client.post("/feedback/sendgrid/guess/"),
        lambda client: client.get("/metrics", headers={"authorization": "Bearer guess"}),
    ],
)
def test_what_proves_somebody_is_compared_in_constant_time(
    prove: Callable[[Client], object], client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FEEDBACK_SECRET = settings.METRICS_TOKEN = "only-for-tests-0123456789"
    compared: list[object] = []
    for module in (hmac, secrets):
        real = module.compare_digest
        monkeypatch.setattr(module, "compare_digest", lambda *two, real=real: compared.append(two) or real(*two))
    prove(client)
    assert compared
