"""The rooms that write set-based SQL, tested again on a real PostgreSQL."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.postgres import running_postgres

HERE = Path(__file__).parent
ROOMS = (
    "ledger/test_statuses",
    "sending/test_leases",
    "sending/test_recovery",
    "sending/test_work_on_batch",
    "workers/test_sweeper",
    "preparation/test_typologies",
    "lifecycle/proofs/test_limits",
    "preparation/unattended/test_unasked",
    "preparation/unattended/test_series_seal",
    "lifecycle/recurrence/test_aggregation",
)


@pytest.mark.slow
@pytest.mark.postgres
def test_the_sending_rooms_work_on_postgresql(service):
    with running_postgres(service("postgres")) as url:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--create-db"]
        files = [str(HERE / f"{room}.py") for room in ROOMS]
        environment = os.environ | {"DATABASE_URL": f"{url}postgres"}
        done = subprocess.run(
            [*command, *files], env=environment, cwd=HERE.parents[1], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout[-4000:]
