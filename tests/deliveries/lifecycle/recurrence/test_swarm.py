"""Four schedulers with jumping clocks over six nights of change: each slot is executed once, none is left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import running_postgres

ROOT = Path(__file__).resolve().parents[4]
pytestmark = pytest.mark.slow


def swarm(url, *arguments):
    environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.deliveries.lifecycle.recurrence.swarm", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)


def outcome(url):
    assert swarm(url, "make").wait(120) == 0
    schedulers = [swarm(url, "run", str(seed)) for seed in range(4)]
    assert [scheduler.wait(300) for scheduler in schedulers] == [0] * 4
    return json.loads(swarm(url, "check").communicate(timeout=60)[0])


def test_on_sqlite(tmp_path):
    found = outcome(f"sqlite:///{tmp_path}/db.sqlite3")
    assert (found["missing"], found["strange"], found["twice"]) == ([], [], [])
    assert int(found["made"][0]) > 200


@pytest.mark.postgres
def test_on_postgresql(service):
    with running_postgres(service("postgres")) as url:
        found = outcome(f"{url}postgres")
    assert (found["missing"], found["strange"], found["twice"]) == ([], [], [])
    assert int(found["made"][0]) > 200


@pytest.mark.postgres
def test_scheduling_does_the_same_on_postgresql(service):
    rooms = [
        "tests/deliveries/lifecycle/test_scheduling.py",
        "tests/deliveries/lifecycle/recurrence/test_executions.py",
    ]
    with running_postgres(service("postgres")) as url:
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--maxfail=5", *rooms],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": f"{url}postgres"},
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
