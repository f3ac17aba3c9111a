"""Feedback on PostgreSQL: the tests of its rooms, run again on a server made for them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.postgres import running_postgres

ROOT = Path(__file__).resolve().parents[3]
NAMES = (
    "feedback/test_apply_events",
    "ledger/test_reports",
    "feedback/test_quarantine",
    "lifecycle/test_complete_missing",
    "feedback/test_raw_mail",
)
ROOMS = [f"tests/deliveries/{name}.py" for name in NAMES]


@pytest.mark.slow
@pytest.mark.postgres
def test_feedback_does_the_same_on_postgresql(service: Callable[[str], str]) -> None:
    with running_postgres(service("postgres")) as url:
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--maxfail=5", *ROOMS],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": f"{url}postgres"},
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
