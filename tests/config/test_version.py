"""One version, wherever it is said."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from io import StringIO
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client

from config.version import VERSION


def told(**options: Any) -> str:
    out = StringIO()
    call_command("version", stdout=out, **options)
    return out.getvalue()


def test_the_package_has_the_version_of_the_product() -> None:
    project = tomllib.loads((Path(settings.BASE_DIR) / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION


@pytest.mark.django_db
def test_the_command_says_what_runs_and_that_nothing_is_pending() -> None:
    lines = told().splitlines()
    assert lines[0] == f"Deliveries back office {VERSION}" and f"Django {django.get_version()}" in lines
    assert lines[-1] == "Migrations: none pending"


@pytest.mark.django_db
def test_programs_get_it_as_json() -> None:
    found = json.loads(told(json=True))
    assert found["product"] == VERSION and found["python"] == sys.version.split()[0]
    assert (found["database"], found["pending_migrations"]) == (connection.vendor, [])
    assert found["database_version"][0].isdigit()


def test_a_database_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OperationalError("nobody is there")

    monkeypatch.setattr(connection, "get_database_version", refuse)
    found = json.loads(told(json=True))
    assert found["pending_migrations"] is None and found["problem"] == "nobody is there"
    assert told().endswith("Migrations: unknown, since the database does not answer: nobody is there\n")


def test_the_command_line_says_ours_and_not_djangos(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "version", "--json"]
    place = {"DATA_DIR": str(tmp_path), "SECRET_KEY": "", "DATABASE_URL": f"sqlite:///{tmp_path}/none.sqlite3"}
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=place, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["product"] == VERSION and "deliveries.0001_initial" in found["pending_migrations"]


@pytest.mark.django_db
def test_staff_read_it_at_the_foot_of_each_page_and_strangers_do_not(admin_client: Client, client: Client) -> None:
    words = f"Version {VERSION}"
    assert words in admin_client.get("/admin/").content.decode()
    assert words not in client.get("/admin/login/").content.decode()
