"""Workers killed in the middle of a delivery: nobody is forgotten, nobody gets a message twice, doubt is bounded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .worker import POINTS, TORN

ROOT = Path(__file__).parents[3]
EVERY_POINT = len(POINTS) + 1


def tortured(*flags: object) -> dict:
    """The report of one torture, in a process of its own."""
    command = [sys.executable, "-m", "tests.faults.kills.torture", "--json", *map(str, flags)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def assert_clean(report: dict) -> None:
    wrong = ("lost", "duplicates", "mixed_up", "unlisted", "unbalanced", "poisoned", "journals_left")
    assert {name: report[name] for name in wrong if report[name]} == {}
    assert report["in_doubt"] <= 8 * report["kills"]
    assert report["state"] == "Finished"


def test_three_kills_at_random_lose_and_double_nothing():
    report = tortured("--recipients", 3000, "--batch", 500, "--kills", 3)
    assert_clean(report)
    assert report["kills"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_ten_kills_of_two_workers_at_random(database, service):
    if database == "postgres":
        service("postgres")
    report = tortured("--recipients", 20_000, "--kills", 10, "--workers", 2, "--database", database)
    assert_clean(report)
    assert report["kills"] == 10


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_kill_at_every_chosen_point_of_the_code(database, service):
    if database == "postgres":
        service("postgres")
    report = tortured(
        "--recipients", 12_000, "--batch", 200, "--kills", EVERY_POINT, "--points", "--database", database
    )
    assert_clean(report)
    assert set(report["points"]) == {*POINTS, TORN}


@pytest.mark.slow
def test_kills_while_the_server_refuses_defers_and_drops_lines():
    moods = "temporary=4,temporary-dot=3,refuse=2,refuse-dot=1,drop-before=300,drop-after=250,lose=270,storm=190"
    report = tortured("--recipients", 8000, "--batch", 500, "--kills", 6, "--behaviour", moods)
    wrong = ("lost", "duplicates", "mixed_up", "unlisted", "unbalanced", "poisoned", "journals_left")
    assert {name: report[name] for name in wrong if report[name]} == {}
    assert report["in_doubt"] <= 8 * report["kills"] + report["broken_lines"]
    assert report["refused"] > 100


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_two_hosts_take_over_from_each_other_and_from_sleepers(database, service):
    if database == "postgres":
        service("postgres")
    flags = ("--hosts", 2, "--stops", "--behaviour", "slow=8", "--seed", 3)
    report = tortured("--recipients", 12_000, "--batch", 500, "--kills", 5, *flags, "--database", database)
    report["kills"] += report["stops"]
    assert_clean(report)


@pytest.mark.slow
def test_lost_database_connections_leave_no_doubt(service):
    service("postgres")
    report = tortured("--recipients", 8000, "--batch", 500, "--kills", 8, "--database", "postgres", "--outages")
    assert_clean(report)
    assert report["in_doubt"] == 0
