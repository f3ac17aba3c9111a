"""What ends with a password, an account or a second factor: every token and session, whichever road it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from campaigns.accounts import second_factor, totp
from campaigns.accounts.api_tokens import give
from campaigns.models import AuditEntry
from campaigns.models.api import ApiToken

from .test_api_tokens import program

pytestmark = pytest.mark.django_db
NEW = "another-word-9"


@pytest.fixture
def anna(make_user: Any) -> Any:
    """With a second factor."""
    user = make_user("anna", "Start deliveries")
    factor = second_factor.begin(user)
    secret = second_factor.secret(factor) or b""
    assert second_factor.confirm(user, totp.code_at(secret, int(time.time()) // 30))
    return user


def own_page(anna: Any) -> None:
    client = Client()
    client.force_login(anna)
    client.post("/admin/password_change/", {"old_password": "pass-word-9", "new_password1": NEW, "new_password2": NEW})
    assert client.get("/admin/").status_code == 200  # who changes it stays


def administrator(anna: Any) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root", "root@example.com", "pass-word-9"))
    client.post(
        f"/admin/auth/user/{anna.pk}/password/", {"password1": NEW, "password2": NEW, "usable_password": "true"}
    )


def command_line(anna: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.contrib.auth.management.commands import changepassword

    monkeypatch.setattr(changepassword.getpass, "getpass", lambda prompt="": NEW)
    call_command("changepassword", "anna", stdout=StringIO())


def reset_link(anna: Any) -> None:
    from django.contrib.auth.forms import SetPasswordForm

    form = SetPasswordForm(anna, {"new_password1": NEW, "new_password2": NEW})
    assert form.is_valid()
    form.save()


def program_of_their_own(anna: Any) -> None:
    User.objects.get(pk=anna.pk).set_password(NEW)  # not saved yet
    user = User.objects.get(pk=anna.pk)
    user.password = make_password(NEW)
    user.save(update_fields=["password"])


def switched_off(anna: Any) -> None:
    anna.is_active = False
    anna.save()
    anna.is_active = True  # and on again: what was there does not come back
    anna.save()


def phone_lost(anna: Any) -> None:
    call_command("remove_second_factor", "anna", stdout=StringIO())


ROADS: list[Callable[..., None]] = [
    own_page,
    administrator,
    command_line,
    reset_link,
    program_of_their_own,
    switched_off,
    phone_lost,
]


@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.__name__)
def test_whichever_road_it_was_all_tokens_and_sessions_end(
    anna: Any, make_user: Any, road: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, others = Client(), Client()
    elsewhere.force_login(anna)
    others.force_login(make_user("ben"))
    secret, kept = give(anna, "CMS", ["start"])[1], give(make_user("cleo"), "CMS", [])[1]
    road(anna, monkeypatch) if road is command_line else road(anna)
    assert program(secret).get("/api/messages/").status_code == 401
    assert elsewhere.get("/admin/").status_code == 302
    assert others.get("/admin/").status_code == 200 and program(kept).get("/api/messages/").status_code == 200
    assert [row.subject for row in AuditEntry.objects.filter(act="access.ended")].count("anna") == 1


def test_who_removes_their_own_second_factor_stays_in_that_browser_alone(anna: Any) -> None:
    here, elsewhere = Client(), Client()
    here.force_login(anna), elsewhere.force_login(anna)
    codes = second_factor.renew_codes(anna)
    here.post("/admin/second-factor/", {"act": "remove", "code": codes[0]})
    assert second_factor.of(anna) is None
    assert (here.get("/admin/").status_code, elsewhere.get("/admin/").status_code) == (200, 302)


@pytest.mark.parametrize(
    "act",
    [
        lambda user: user.check_password("pass-word-9"),  # hashed anew, since the hasher has become stronger
        lambda user: user.save(),
        lambda user: User.objects.filter(pk=user.pk).update(first_name="Anna"),
        lambda user: second_factor.renew_codes(user),
        lambda user: Client().login(username="anna", password="pass-word-9"),
    ],
)
def test_what_changes_no_secret_ends_nothing(anna: Any, settings: Any, act: Any) -> None:
    give(anna, "CMS", [])
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    act(User.objects.get(pk=anna.pk))
    assert ApiToken.objects.count() == 1


def test_an_account_that_is_deleted_takes_all_with_it(anna: Any) -> None:
    give(anna, "CMS", [])
    anna.delete()
    assert not ApiToken.objects.exists() and not AuditEntry.objects.filter(act="access.ended").exists()
