"""How the settings reach the database: limits of time, the way behind a pooler, a host that vanishes."""

from __future__ import annotations

import runpy
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import ConnectionHandler, OperationalError

from tests.postgres import running_postgres

SETTINGS = Path(__file__).resolve().parents[2] / "config" / "settings.py"
URL, PAST = "postgres://office@pooler/office", "postgres://office@server/office"


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """The settings that an environment gives; `command`: of manage.py."""

    def read(command: str = "check", **environment: str) -> dict[str, Any]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["manage.py", command])
        return runpy.run_path(str(SETTINGS))

    return read


def limits(database: dict[str, Any]) -> list[str]:
    return database["OPTIONS"].get("options", "").removeprefix("-c ").split(" -c ")


def test_each_connection_brings_its_limits_and_a_long_one_none_on_statements(settings_of: Any) -> None:
    found = settings_of(DATABASE_URL=URL, DATABASE_LOCK_SECONDS="7")
    own = ["lock_timeout=7s", "idle_in_transaction_session_timeout=60s", "statement_timeout=60s"]
    assert limits(found["DATABASES"]["default"]) == own
    assert limits(found["DATABASE_SESSION"]) == [*own[:2], "statement_timeout=0s"]
    assert not found["DATABASES"]["default"]["DISABLE_SERVER_SIDE_CURSORS"]


def test_what_stands_in_the_url_counts(settings_of: Any) -> None:
    found = settings_of(DATABASE_URL=f"{URL}?connect_timeout=9&options=-c%20search_path%3Doffice")
    options = found["DATABASES"]["default"]["OPTIONS"]
    assert (int(options["connect_timeout"]), options["keepalives_idle"]) == (9, 15)
    assert limits(found["DATABASES"]["default"])[0] == "search_path=office"


def test_behind_a_pooler_nothing_is_kept_in_a_session(settings_of: Any) -> None:
    found = settings_of(DATABASE_URL=URL, DATABASE_SESSION_URL=PAST)
    assert limits(found["DATABASES"]["default"]) == [""]
    assert found["DATABASES"]["default"]["DISABLE_SERVER_SIDE_CURSORS"]
    assert found["DATABASE_SESSION"]["HOST"] == "server"
    assert limits(found["DATABASE_SESSION"])[-1] == "statement_timeout=0s"


@pytest.mark.parametrize("command, host", [("migrate", "server"), ("partition_logs", "server"), ("guard", "pooler")])
def test_what_changes_whole_tables_goes_past_the_pooler(settings_of: Any, command: str, host: str) -> None:
    found = settings_of(command, DATABASE_URL=URL, DATABASE_SESSION_URL=PAST)
    assert found["DATABASES"]["default"]["HOST"] == host


@pytest.mark.parametrize(
    "name, value",
    [
        ("DATABASE_STATEMENT_SECONDS", "-1"),
        ("DATABASE_IDLE_SECONDS", "soon"),
        ("DATABASE_SESSION_URL", "sqlite:///x"),
    ],
)
def test_a_malformed_one_stops_the_start_with_its_name(settings_of: Any, name: str, value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=name):
        settings_of(DATABASE_URL=URL, **{name: value})


@pytest.fixture
def connected(service: Any, settings_of: Any, django_db_blocker: Any) -> Iterator[Any]:
    """A connection as the settings make it, to a real server."""
    with running_postgres(service("postgres")) as url:
        found = settings_of(DATABASE_URL=f"{url}postgres", DATABASE_STATEMENT_SECONDS="1")
        connection = ConnectionHandler(found["DATABASES"])["default"]
        with django_db_blocker.unblock():
            yield connection
            connection.close()


@pytest.mark.postgres
def test_a_statement_that_hangs_ends_and_a_server_that_vanished_is_noticed(connected: Any) -> None:
    with connected.cursor() as cursor, pytest.raises(OperationalError, match="statement timeout"):
        cursor.execute("SELECT pg_sleep(20)")
    with socket.socket(fileno=connected.connection.fileno()) as line:
        try:
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            idle, gap, probes, unanswered = (
                line.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            )
        finally:
            line.detach()
    assert idle + gap * probes <= 60
    assert 0 < unanswered <= 60_000
