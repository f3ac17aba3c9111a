"""Twenty pauses while 40,000 messages leave lose and double nothing; after Stopped nothing leaves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow


def reported(*flags):
    command = [sys.executable, "-m", "tests.faults.kills.pausing", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, service):
    if request.param == "postgres":
        service("postgres")
    return request.param


def test_twenty_pauses_lose_nobody_and_send_nobody_twice(database):
    report = reported("--database", database)
    assert (report["paused"], report["while_paused"]) == (20, 0)
    assert (report["lost"], report["duplicates"], report["in_doubt"], report["unbalanced"]) == (0, 0, 0, [])
    assert (report["state"], report["sent"], report["accepted"]) == ("Finished", 40_000, 40_000)


def test_after_the_page_says_stopped_nothing_leaves(database):
    report = reported("--database", database, "--stop")
    assert report["after"] == 0 and report["state"] == "Stopped"
    assert (report["lost"], report["duplicates"], report["in_doubt"], report["unbalanced"]) == (0, 0, 0, [])
    assert report["sent"] == report["accepted"] == report["counted"] < 40_000
    assert report["sent"] + report["cancelled"] == 40_000
