"""Many at one button: a delivery is started once, everybody else is told so, and no edit slips in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import running_postgres

ROOT = Path(__file__).parents[3]


def raced(url: str, confirms: int, edits: int) -> dict[str, Any]:
    """The report of tests/faults/races/racing.py, in a process of its own."""
    command = [sys.executable, "-m", "tests.faults.races.racing", "--confirms", str(confirms), "--edits", str(edits)]
    environment = os.environ | {"DATABASE_URL": url, "UNDO_SECONDS": "600"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def postgres(service: Callable[[str], str]) -> Iterator[str]:
    """A server for the races."""
    with running_postgres(service("postgres")) as url:
        yield url


def assert_once(report: dict[str, Any], confirms: int) -> None:
    assert report["faults"] == []
    assert (report["confirmed_events"], report["tasks"], report["state"]) == (1, 1, "Start pending")
    won = report["answers"].pop("confirmed", 0) + report["answers"].pop("200", 0)
    assert won == 1
    assert sum(report["answers"].values()) == confirms - 1
    assert set(report["answers"]) <= {"409 ['already_confirmed']", "Already confirmed"}


def assert_sealed(report: dict[str, Any]) -> None:
    assert (report["slipped"], report["unlocked"], report["neither"]) == (0, 0, 0)
    assert report["confirmed"] + report["edited"] == report["rounds"]


@pytest.mark.slow
@pytest.mark.postgres
def test_forty_confirm_at_once_and_edits_race_with_confirms_on_postgresql(postgres: str) -> None:
    report = raced(f"{postgres}postgres", 40, 10)
    assert_once(report, 40)
    assert_sealed(report)


@pytest.mark.slow
@pytest.mark.postgres
def test_two_hundred_confirm_at_once_on_postgresql(postgres: str) -> None:
    import psycopg

    with psycopg.connect(f"{postgres.replace('postgres:', 'postgresql:', 1)}postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE two_hundred")
    report = raced(f"{postgres}two_hundred", 200, 40)
    assert_once(report, 200)
    assert_sealed(report)


@pytest.mark.slow
def test_forty_confirm_at_once_on_sqlite(tmp_path: Path) -> None:
    report = raced(f"sqlite:///{tmp_path}/race.sqlite3", 40, 10)
    assert_once(report, 40)
    assert_sealed(report)
