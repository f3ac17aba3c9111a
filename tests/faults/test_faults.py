"""Each fault of the table once, on real clusters: SQLite with its own broker, PostgreSQL with Redis, side by side."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .faults import FAULTS

ROOT = Path(__file__).parents[2]
PAIRS = {"sqlite": "orm", "postgres": "redis"}
QUICK = [fault for fault in FAULTS.values() if fault.quick]


@pytest.fixture(scope="module")
def verdicts(service):
    """{name of the fault: verdict} of all of them, both databases at once."""
    for program in ("postgres", "redis-server"):
        service(program)
    command = [sys.executable, "-m", "tests.faults", "--quick", "--json"]
    running = [
        subprocess.Popen(
            [*command, "--database", database, "--broker", broker], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for database, broker in PAIRS.items()
    ]
    shown = [process.communicate(timeout=900)[0] for process in running]
    return {verdict["fault"]: verdict for lines in shown for verdict in json.loads(lines.splitlines()[-1])}


@pytest.mark.slow
@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.name)
def test_nobody_is_lost_or_gets_it_twice_and_it_recovers_by_itself(fault, verdicts):
    verdict = verdicts[fault.name]
    if verdict["skipped"]:
        pytest.skip(verdict["skipped"])
    assert verdict["clean"], verdict
    assert verdict["state"] == fault.ends


def test_every_fault_has_its_place():
    assert len(FAULTS) >= 17
    assert {fault.quick for fault in FAULTS.values()} == {"sqlite", "postgres", ""}
