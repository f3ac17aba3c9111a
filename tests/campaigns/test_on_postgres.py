"""The rooms that write people in sets, tested again on a real PostgreSQL."""

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
    "campaigns/consent/test_changes.py",
    "campaigns/targeting/test_import_profiles.py",
    "reporting/tracking/test_opt_out.py",
)


@pytest.mark.slow
@pytest.mark.postgres
def test_consent_and_imports_do_the_same_on_postgresql(service: Callable[[str], str]) -> None:
    with running_postgres(service("postgres")) as url:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--create-db", "--maxfail=5"]
        run = subprocess.run(
            [*command, *(f"tests/{room}" for room in ROOMS)],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": f"{url}postgres"},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
