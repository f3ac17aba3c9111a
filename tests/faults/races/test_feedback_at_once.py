"""Several processes apply the same reports in orders of their own while a worker still records: as if one had."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.postgres import running_postgres

pytestmark = [pytest.mark.postgres, pytest.mark.slow]
RECIPIENTS = 1500


def run(url, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.races.feedback_at_once", *map(str, arguments)],
        env=os.environ | {"DATABASE_URL": url},
        stdout=subprocess.PIPE,
    )


def outcome(url, *at_once):
    assert run(url, "prepare", RECIPIENTS).wait(120) == 0
    for process in [run(url, *arguments) for arguments in at_once]:
        assert process.wait(240) == 0
    return json.loads(run(url, "tell").communicate(timeout=120)[0])


def test_four_at_once_with_a_worker_are_as_one(service):
    with running_postgres(service("postgres")) as server:
        subprocess.run(
            ["psql", "-q", f"{server}postgres".replace("postgres:", "postgresql:", 1), "-c", "CREATE DATABASE many"],
            check=True,
        )
        one = outcome(f"{server}postgres", ("apply", 0))
        many = outcome(f"{server}many", *(("apply", seed) for seed in range(1, 5)), ("send",))
    assert many["events"] == one["events"] == 2 * RECIPIENTS
    assert many["rows"] == one["rows"]
    assert many["standings"] == one["standings"]
    assert many["figures"] == many["counted"]
