"""The secret key can be changed: what the older one signed stays proved, and moves to the new one where it is used."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.test import Client

from campaigns.accounts import second_factor, totp
from campaigns.core import secret_keys
from campaigns.models import SecondFactor
from tests.campaigns.accounts.test_login import is_in, log_in

pytestmark = pytest.mark.django_db
NEWER = "the-newer-key-" * 4


@pytest.fixture
def older(settings: Any) -> str:
    """The key that all was signed with when the test began."""
    return str(settings.SECRET_KEY)


@pytest.fixture
def change(settings: Any, older: str) -> Any:
    """change() puts a newer key before the older one; change(forget=True) takes the older one away."""

    def put(*, forget: bool = False) -> None:
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEWER, [] if forget else [older]

    return put


def code_of(secret: bytes | None, later: int = 0) -> str:
    assert secret is not None
    return totp.code_at(secret, int(time.time()) // 30 + later)


@pytest.fixture
def anna(make_user: Any) -> Any:
    """With a second factor."""
    user = make_user("anna", "Start deliveries")
    factor = second_factor.begin(user)
    assert second_factor.confirm(user, code_of(second_factor.secret(factor), -1))
    return user


def test_each_purpose_has_a_key_of_its_own_and_names_tell_nothing() -> None:
    made = {secret_keys.derived("key", purpose) for purpose in (b"one", b"two")} | {
        secret_keys.derived("other", b"one")
    }
    assert len(made) == 3 and len(secret_keys.name_of("key")) == secret_keys.NAME_LENGTH
    assert secret_keys.name_of("key").encode().hex() not in {one.hex() for one in made}


def test_a_key_is_found_by_its_name_as_long_as_it_is_listed(older: str, change: Any) -> None:
    change()
    assert (secret_keys.named(secret_keys.name_of(older)), secret_keys.named(secret_keys.name_of(NEWER))) == (
        older,
        NEWER,
    )
    assert secret_keys.named("") == older  # what noted none was made before names were noted
    change(forget=True)
    assert secret_keys.named(secret_keys.name_of(older)) is None


@pytest.mark.parametrize("noted", [True, False])
def test_an_app_that_was_set_up_with_the_older_key_outlives_it_once_it_was_used(
    anna: Any, change: Any, noted: bool
) -> None:
    if not noted:
        SecondFactor.objects.update(key="")  # set up before names were noted
    before = second_factor.secret(SecondFactor.objects.get())
    change()
    assert is_in(log_in(Client(), "anna", code=code_of(before)))
    change(forget=True)
    factor = SecondFactor.objects.get()
    assert second_factor.secret(factor) == before
    assert before is not None and before.hex() not in factor.enciphered
    assert is_in(log_in(Client(), "anna", code=code_of(before, 1)))


def test_an_app_whose_key_is_gone_lets_nobody_in_and_a_recovery_code_does(anna: Any, change: Any) -> None:
    before, codes = second_factor.secret(SecondFactor.objects.get()), second_factor.renew_codes(anna)
    change(forget=True)
    assert second_factor.secret(SecondFactor.objects.get()) is None
    assert not is_in(log_in(Client(), "anna", code=code_of(before)))
    assert is_in(log_in(Client(), "anna", code=codes[0]))


def test_setting_up_begins_anew_if_its_key_is_gone(make_user: Any, change: Any, client: Client) -> None:
    user = make_user("ben")
    begun = second_factor.begin(user).salt
    change(forget=True)
    client.force_login(user)
    assert "Set it up" in client.get("/admin/second-factor/").text
    assert second_factor.begin(user).salt != begun


def test_who_is_logged_in_stays_and_known_browsers_stay_known(make_user: Any, change: Any) -> None:
    make_user("ben", "Start deliveries")
    client = Client()
    assert is_in(log_in(client, "ben"))
    change()
    assert client.get("/admin/").status_code == 200
    client.post("/admin/logout/")
    for _ in range(6):
        log_in(Client(), "ben", "wrong")
    assert is_in(log_in(client, "ben"))  # a stranger's browser waits


def test_a_link_that_sets_a_password_stays_good(make_user: Any, change: Any) -> None:
    user = make_user("ben")
    token = default_token_generator.make_token(user)
    change()
    assert default_token_generator.check_token(user, token)
    change(forget=True)
    assert not default_token_generator.check_token(user, token)
