"""What all tests share: people with their roles, a campaign with its message, and the services of the machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Passwords are hashed fast here: the real hasher would cost more than all else."""
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


_PLACES = ("/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/15/bin")


def find_program(name: str) -> str | None:
    """Where a service's program is, in the places that Debian puts them; None if it is not installed."""
    return next((str(Path(p) / name) for p in _PLACES if (Path(p) / name).exists()), shutil.which(name))


@pytest.fixture(scope="session")
def service() -> Callable[[str], str]:
    """service("chromium") gives the program's path; without it the test skips, or fails under REQUIRE_SERVICES=1."""

    def need(name: str) -> str:
        found = find_program(name)
        if found is None:
            if os.environ.get("REQUIRE_SERVICES") == "1":
                pytest.fail(f"{name} is not installed, and REQUIRE_SERVICES=1 demands it")
            pytest.skip(f"{name} is not installed")
        return found

    return need


@pytest.fixture(autouse=True)
def _new_process() -> Iterator[None]:
    """What a process remembers by keys that a roll-back lets come again is forgotten after each test."""
    from deliveries.sending import compose
    from reporting.tracking import destinations

    yield
    compose.forget()
    destinations.forget()


@pytest.fixture
def roles(db: None) -> None:
    """The built-in groups."""
    from campaigns.accounts.permissions import sync_roles

    sync_roles()


@pytest.fixture
def make_user(roles: None) -> Callable[..., object]:
    """make_user("anna", "Start deliveries") gives a staff user in those groups, or else with the unit All."""
    from django.contrib.auth.models import Group, User

    from campaigns.models.units import ROOT, PersonUnit

    def make(name: str, *groups: str) -> User:
        user = User.objects.create_user(name, f"{name}@example.com", "pass-word-9", is_staff=True)
        user.groups.set(Group.objects.filter(name__in=groups))
        if not groups:
            PersonUnit.objects.create(user=user, unit_id=ROOT)
        return user

    return make


@pytest.fixture
def starter(make_user: Callable[..., object]) -> object:
    """A user with the role Start deliveries."""
    return make_user("starter", "Start deliveries")


@pytest.fixture
def preparer(make_user: Callable[..., object]) -> object:
    """A user with the role Prepare deliveries."""
    return make_user("preparer", "Prepare deliveries")


@pytest.fixture
def brand(db: None) -> object:
    """The default brand, at example.com."""
    from campaigns.models import Brand

    return Brand.objects.create(
        label="Acme",
        sender_name="Acme News",
        sender_address="news@example.com",
        sender_domains="example.com",
        is_default=True,
    )


@pytest.fixture
def routing(db: None) -> object:
    """The default routing; port 1 answers nobody, tests that send point it at their server."""
    from deliveries.models import Routing

    return Routing.objects.create(label="Loopback", host="127.0.0.1", port=1, security="none", is_default=True)


@pytest.fixture
def message(brand: object) -> object:
    """A message to everybody, correct in all respects."""
    from campaigns.models import Audience, Campaign, Message

    return Message.objects.create(
        label="Spring",
        campaign=Campaign.objects.create(label="Spring campaign"),
        brand=brand,
        audience=Audience.objects.create(label="Everybody", kind="all"),
        subject="Hello {{ first_name }}",
        html='<p>Dear {{ first_name | default: "reader" }}, <a href="https://example.com/news">our news</a>.</p>'
        '<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>',
        text="Dear {{ first_name }}, https://example.com/news\nUnsubscribe: {{ unsubscribe_url }}",
    )
