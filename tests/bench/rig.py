"""What a run of the bench stands on: PostgreSQL with fsync, Postfix's smtp-sink, databases, processes with a limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import find_program
from tests.postgres import free_port, running_postgres

ROOT = Path(__file__).parents[2]


class Failed(Exception):
    """A measurement did not come to its end; the text says why."""


class Rig:
    """The services of one run, and the time that it has."""

    def __init__(self, url: str, port: int, directory: Path, minutes: float) -> None:
        """`url` of the database server, without a database's name; `port` of smtp-sink."""
        self.url, self.port, self.directory = url, port, directory
        self.until = time.monotonic() + 60 * minutes
        self._numbers = iter(range(1, 1_000_000))
        self.environment = os.environ | {
            "SECRET_KEY": "only-for-measuring-" + "0123456789" * 4,
            "DATA_DIR": str(directory),
            "HTTPS": "0",
            "LOG_LEVEL": "ERROR",
            "TASK_BUDGET_SECONDS": "100",
            "UNDO_SECONDS": "0",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        self.run([sys.executable, "manage.py", "migrate", "-v0"], self.fresh("product"))

    @property
    def left(self) -> float:
        """Seconds that this run still has."""
        return self.until - time.monotonic()

    def fresh(self, name: str, template: str = "template1") -> str:
        """The URL of a new, empty database, or of a copy of `template`."""
        import psycopg

        with psycopg.connect(f"{self.url}postgres".replace("postgres://", "postgresql://"), autocommit=True) as server:
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            server.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return f"{self.url}{name}"

    def product(self, *arguments: object) -> dict[str, Any]:
        """What an act of tests/bench/product.py tells, on a database of its own. Raises Failed."""
        command = [sys.executable, "-m", "tests.bench.product", *map(str, arguments)]
        return json.loads(self.run(command, self.fresh("run", "product")).splitlines()[-1])

    def run(self, command: list[str], database: str = "", at_most: float = 1e9) -> str:
        """What a command prints; it gets the time that is left. Raises Failed."""
        environment = self.environment | ({"DATABASE_URL": database} if database else {})
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=max(1.0, min(self.left, at_most)),
            )
        except subprocess.TimeoutExpired as error:
            raise Failed("it took longer than there was time") from error
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise Failed(lines[-1])
        return done.stdout


@contextmanager
def rig(minutes: float) -> Iterator[Rig]:
    """All services, gone at the end. Raises Failed when one is not installed."""
    server, sink = find_program("postgres"), find_program("smtp-sink")
    if server is None or sink is None:
        raise Failed("PostgreSQL's server and Postfix's smtp-sink are needed: packages postgresql and postfix")
    as_user, port = ["-u", "nobody"] if os.geteuid() == 0 else [], free_port()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as directory,
        running_postgres(server, durable=True) as url,
        subprocess.Popen([sink, *as_user, f"127.0.0.1:{port}", "1024"], cwd="/tmp") as process,
    ):
        time.sleep(0.3)
        try:
            yield Rig(url, port, Path(directory), minutes)
        finally:
            process.terminate()
