"""The set-based rooms on PostgreSQL: their own tests, run again on a server made for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.postgres import running_postgres

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "tracking/test_ingest",
    "tracking/test_collect",
    "figures/test_kept_figures",
    "reports/test_tables",
    "jobs/test_retention",
    "admin/test_masked_rows",
)


@pytest.mark.slow
@pytest.mark.postgres
def test_folding_and_figures_do_the_same_on_postgresql(service: Callable[[str], str]) -> None:
    rooms = [f"tests/reporting/{room}.py" for room in ROOMS]
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
