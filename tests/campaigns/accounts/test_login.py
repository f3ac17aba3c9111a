"""Guessing passwords is slow, and locks nobody else out; a second factor opens with a code that serves once."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from campaigns.accounts import login_throttle, permissions, second_factor, totp
from campaigns.models import Campaign, LoginTries, SecondFactor
from campaigns.models.audit.entries import AuditEntry

pytestmark = pytest.mark.django_db
HERE, OFFICE, AWAY = "192.0.2.1", "198.51.100.7", "203.0.113.9"


@pytest.fixture
def anna(make_user: Callable[..., User]) -> User:
    return make_user("anna", "Start deliveries")


def log_in(client: Client, name: str, password: str = "pass-word-9", address: str = HERE, code: str = "") -> Any:
    return client.post("/admin/login/", {"username": name, "password": password, "code": code}, REMOTE_ADDR=address)


def is_in(answer: Any) -> bool:
    return answer.status_code == 302


def guess(times: int, name: str = "anna", address: str = HERE, client: Client | None = None) -> Any:
    client = client or Client()
    for _ in range(times):
        answer = log_in(client, name, "wrong", address)
    return answer


def tried(name: str, address: str) -> None:
    """A try, without the page."""
    login_throttle.begin(login_throttle.keys_of(RequestFactory().post("/", REMOTE_ADDR=address), name))


# --- throttling -------------------------------------------------------------------------------------


def test_after_five_wrong_passwords_even_the_right_one_must_wait_and_the_page_says_how_long(anna: User) -> None:
    guess(5)
    answer = log_in(Client(), "anna")
    assert not is_in(answer) and "Too many log-ins have failed. Try again in 1 minute" in answer.text


def test_four_wrong_passwords_do_no_harm_and_are_forgotten(anna: User) -> None:
    for _ in range(3):
        guess(4)
        assert is_in(log_in(Client(), "anna"))


def test_waiting_is_over_after_its_time_doubles_and_ends_at_a_quarter_of_an_hour(anna: User) -> None:
    with time_machine.travel(0, tick=False) as clock:
        guess(5)
        for wait in (30, 60, 120, 240, 480, 900, 900):
            clock.shift(wait - 1)
            assert "Too many" in guess(1).text
            clock.shift(2)
            assert "Too many" not in guess(1).text
        clock.shift(901)
        assert is_in(log_in(Client(), "anna"))


def test_a_company_behind_one_address_goes_on_when_one_of_it_mistypes(anna: User, make_user: Any) -> None:
    make_user("bert")
    guess(6, "bert", OFFICE)
    assert is_in(log_in(Client(), "anna", address=OFFICE))


def test_a_guesser_elsewhere_does_not_lock_the_person_out(anna: User) -> None:
    guess(6, "anna", AWAY)
    assert is_in(log_in(Client(), "anna", address=HERE))


def test_a_thousand_addresses_cannot_lock_people_out_of_a_browser_that_they_have_used(anna: User) -> None:
    own = Client()
    assert is_in(log_in(own, "anna"))
    own.post("/admin/logout/")
    for number in range(40):
        tried("anna", f"203.0.113.{number}")
    assert "Too many" in log_in(Client(), "anna").text  # a stranger's browser waits
    assert is_in(log_in(own, "anna"))


def test_the_cookie_of_one_person_does_not_help_to_guess_anothers_password(anna: User, make_user: Any) -> None:
    make_user("mallory")
    client = Client()
    assert is_in(log_in(client, "mallory"))
    client.post("/admin/logout/")
    assert "Too many" in guess(6, "anna", HERE, client).text


def test_a_known_browser_is_limited_too_and_a_forged_one_is_none(anna: User) -> None:
    own = Client()
    log_in(own, "anna")
    own.post("/admin/logout/")
    assert "Too many" in guess(11, client=own).text
    own.cookies[login_throttle.COOKIE] = "number:whose:" + "x" * 40
    assert is_in(log_in(own, "anna", address=AWAY))


def test_trying_one_password_on_many_names_ends_too(anna: User) -> None:
    for number in range(100):
        tried(f"name{number}", AWAY)
    assert "Too many" in log_in(Client(), "anna", address=AWAY).text


def test_whatever_a_network_hands_out_by_ipv6_counts_as_one_place(anna: User) -> None:
    for number in range(5):
        tried("anna", f"2001:db8::{number}")
    assert "Too many" in log_in(Client(), "anna", address="2001:db8::99").text


def test_no_name_is_kept_in_the_table_and_old_tries_go(anna: User) -> None:
    guess(1)
    assert all(len(row.key) == 64 for row in LoginTries.objects.all())
    with time_machine.travel(time.time() + 2 * 86400):
        login_throttle.clean_up()
    assert not LoginTries.objects.exists()


def test_a_program_gets_429_and_when_to_come_again(anna: User, client: Client) -> None:
    for _ in range(5):
        assert token(client, "wrong").status_code == 401
    answer = token(client)
    assert answer.status_code == 429 and int(answer["Retry-After"]) <= 31


def test_tries_that_come_too_soon_do_not_fill_the_audit(anna: User) -> None:
    guess(7)
    assert AuditEntry.objects.filter(act="login.failed").count() == 5


def token(client: Client, password: str = "pass-word-9", **headers: str) -> Any:
    basic = "Basic " + base64.b64encode(f"anna:{password}".encode()).decode()
    return client.post("/api/token/", HTTP_AUTHORIZATION=basic, REMOTE_ADDR=HERE, **headers)


# --- the second factor ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_the_codes_are_those_of_rfc_6238_appendix_b(at: int, code: str) -> None:
    assert totp.code_at(b"12345678901234567890", at // 30, digits=8) == code


@given(secret=st.binary(min_size=20, max_size=20), now=st.integers(10**6, 10**10), off=st.integers(-5, 5))
def test_a_clock_may_be_off_by_one_step_and_no_code_serves_twice(secret: bytes, now: int, off: int) -> None:
    step = now // 30 + off
    code = totp.code_at(secret, step)
    around = {totp.code_at(secret, now // 30 + near) for near in (-1, 0, 1)}
    assert (totp.step_of(secret, code, now, 0) is not None) == (code in around)
    assert totp.step_of(secret, code, now, now // 30 + 1) is None


@pytest.mark.parametrize("code", ["", "0", "a" * 6, "\uff11\uff12\uff13\uff14\uff15\uff16", "1" * 500, "\0"])
def test_nonsense_is_no_code(code: str) -> None:
    assert totp.step_of(b"s" * 20, code, 10**9, 0) is None


def code_now(user: User, later: int = 0) -> str:
    return totp.code_at(second_factor.secret(SecondFactor.objects.get(user=user)), int(time.time()) // 30 + later)


@pytest.fixture
def with_factor(anna: User) -> list[str]:
    """anna has a second factor. Out: the recovery codes."""
    second_factor.begin(anna)
    codes = second_factor.confirm(anna, code_now(anna, -1))
    assert codes
    return codes


def test_who_has_one_gets_in_by_password_and_code_and_not_by_the_password_alone(
    anna: User, with_factor: list[str]
) -> None:
    answer = log_in(Client(), "anna")
    assert not is_in(answer) and "authenticator app" in answer.text
    assert is_in(log_in(Client(), "anna", code=code_now(anna)))


def test_a_code_serves_once(anna: User, with_factor: list[str]) -> None:
    code = code_now(anna)
    assert is_in(log_in(Client(), "anna", code=code))
    assert not is_in(log_in(Client(), "anna", code=code))


def test_a_recovery_code_serves_once_and_is_kept_as_a_digest(anna: User, with_factor: list[str]) -> None:
    assert with_factor[0] not in str(SecondFactor.objects.get(user=anna).recovery)
    assert is_in(log_in(Client(), "anna", code=with_factor[0].upper()))
    assert not is_in(log_in(Client(), "anna", code=with_factor[0]))


def test_guessing_codes_is_slowed_down_like_guessing_passwords(anna: User, with_factor: list[str]) -> None:
    for _ in range(5):
        log_in(Client(), "anna", code="000000")
    assert "Too many" in log_in(Client(), "anna", code=code_now(anna)).text


def test_a_token_needs_the_code_too(anna: User, with_factor: list[str], client: Client) -> None:
    assert token(client).status_code == 401
    assert token(client, HTTP_X_OTP=code_now(anna)).status_code == 200


def test_the_page_sets_it_up_shows_the_codes_once_and_removes_it(anna: User, client: Client) -> None:
    client.force_login(anna)
    page = "/admin/second-factor/"
    assert "Set it up" in client.get(page).text
    client.post(page, {"act": "begin"})
    secret = totp.in_base32(second_factor.secret(SecondFactor.objects.get(user=anna)))
    assert secret[:4] in client.get(page).text and second_factor.of(anna) is None
    assert "not the code" in client.post(page, {"act": "set-up", "code": "000000"}, follow=True).text
    answer = client.post(page, {"act": "set-up", "code": code_now(anna, -1)})
    assert "Your recovery codes" in answer.text and second_factor.of(anna)
    assert secret[:4] not in client.get(page).text.replace(" ", "")
    assert "not the code" in client.post(page, {"act": "remove", "code": ""}, follow=True).text
    client.post(page, {"act": "remove", "code": code_now(anna)})
    assert second_factor.of(anna) is None
    acts = list(AuditEntry.objects.filter(act__startswith="totp").values_list("act", flat=True))
    assert acts == ["totp.added", "totp.removed"]


def test_where_it_is_required_nobody_starts_without_one(anna: User, settings: Any) -> None:
    campaign = Campaign.objects.create(label="Spring")
    permissions.require_start(anna, campaign)
    settings.TOTP_TO_START = True
    with pytest.raises(PermissionDenied, match="second factor"):
        permissions.require_start(anna, campaign)
    second_factor.begin(anna)
    second_factor.confirm(anna, code_now(anna))
    permissions.require_start(anna, campaign)


def test_a_lost_phone_is_helped_from_the_command_line(anna: User, with_factor: list[str]) -> None:
    call_command("remove_second_factor", "anna")
    assert is_in(log_in(Client(), "anna"))
    with pytest.raises(CommandError):
        call_command("remove_second_factor", "anna")


def test_the_log_in_page_asks_for_a_code_only_if_somebody_has_one(anna: User, client: Client) -> None:
    assert 'name="code"' not in client.get("/admin/login/").text
    second_factor.begin(anna)
    second_factor.confirm(anna, code_now(anna))
    assert 'name="code"' in client.get("/admin/login/").text
