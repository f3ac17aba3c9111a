"""An installation of before 1.0, restored from what make_before.py left; its clock, its mail server."""

from __future__ import annotations

import base64
import errno
import json
import lzma
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.fakes.smtp_server import Server
from tests.faults.cluster import own_clock
from tests.postgres import Postgres

from .make_before import ENVIRONMENT, HOOK, MAIL, offset

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
Made = TypeVar("Made")
SINCE = 30  # seconds from the last moment of before until it runs again


class Installation:
    """`kind`: "sqlite3" or "sql", of the files here. `noted`: what make_before.py could not leave in the database."""

    def __init__(self, kind: str, place: Path, service: Callable[[str], str]) -> None:
        self.kind, self.place, self.service = kind, place, service
        self.noted = json.loads(unpacked("json"))[kind]
        self.data = place / "data"
        for name, content in self.noted["files"].items():
            path = self.data / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(content))
        service("gcc")
        preload = own_clock(place)
        self.set_clock(self.noted["made_at"] + SINCE)
        self.environment = os.environ | ENVIRONMENT | {"DATA_DIR": str(self.data), "AUDIT_TRIGGERS": "1"} | preload
        self.mail = when_free(lambda: Server(at=MAIL))
        self.posts = when_free(Posts)
        self.postgres: Postgres | None = None
        self._restore()

    def set_clock(self, at: float) -> None:
        """It is `at`, in seconds since 1970, for all its processes."""
        (self.place / "clock").write_bytes(offset(datetime.fromtimestamp(at, UTC)))

    def _restore(self) -> None:
        if self.kind == "sqlite3":
            path = self.data / "db.sqlite3"
            path.write_bytes(unpacked(self.kind))
            # It was not copied, as far as it knows: a file that stayed where it was is what is upgraded.
            self.ask(f"UPDATE deliveries_heartbeat SET place = 'file:{path.stat().st_ino}'")
            return
        server = self.place / "server"
        server.mkdir()
        self.postgres = Postgres(self.service("postgres"), server)
        self.postgres.start(self.environment)
        self.environment["DATABASE_URL"] = f"{self.postgres.url}postgres"
        self._psql("-f", "-", "-v", "ON_ERROR_STOP=1", given=unpacked(self.kind))

    def _psql(self, *options: str, given: bytes = b"") -> str:
        address = self.environment["DATABASE_URL"].replace("postgres:", "postgresql:", 1)
        command = [self.service("psql"), "-X", "-q", *options, address]
        return subprocess.run(command, input=given, check=True, capture_output=True).stdout.decode()

    def ask(self, statement: str) -> list[tuple[str, ...]]:
        """What a statement answers, past the product."""
        if self.kind == "sqlite3":
            with closing(sqlite3.connect(self.data / "db.sqlite3", timeout=30)) as database:
                found = database.execute(statement).fetchall()
                database.commit()
            return [tuple(map(str, row)) for row in found]
        return [tuple(line.split("\t")) for line in self._psql("-AtF\t", "-c", statement).splitlines()]

    def run(self, *arguments: str, given: str = "") -> str:
        """manage.py, or a module (-m …) in the installation's environment. Out: what it printed."""
        command = arguments if arguments[0] == "-m" else ("manage.py", *arguments)
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A command of manage.py that serves; SIGTERM ends it."""
        with (self.place / f"{arguments[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def log(self, command: str) -> str:
        """What such a command said."""
        return (self.place / f"{command}.log").read_text()

    def close(self) -> None:
        """End what serves it."""
        self.mail.stop()
        self.posts.close()
        if self.postgres:
            self.postgres.stop()


class Posts:
    """A program's address for webhooks: what was posted there, as (headers, body)."""

    def __init__(self) -> None:
        taken: list[tuple[dict[str, str], bytes]] = []
        self.taken = taken

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """To nobody."""

        there = urlsplit(HOOK)
        self._server = ThreadingHTTPServer((there.hostname or "", there.port or 0), Answer)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


def unpacked(kind: str) -> bytes:
    """One of the files that make_before.py left."""
    return lzma.decompress((HERE / f"before-1.0.{kind}.xz").read_bytes())


@contextmanager
def restored(kind: str, place: Path, service: Callable[[str], str]) -> Iterator[Installation]:
    """The installation as it was a moment before its upgrade. The place is readable for PostgreSQL's user."""
    place.chmod(0o755)
    made = Installation(kind, place, service)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(place, ignore_errors=True)


def when_free(listen: Callable[[], Made], seconds: float = 300) -> Made:
    """What listens at its one address, once another run of these tests has left it. Raises OSError."""
    end = time.monotonic() + seconds
    while True:
        try:
            return listen()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise
        time.sleep(1)


def wait(condition: Callable[[], bool], seconds: float) -> None:
    """Until it is true. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not happen within {seconds:.0f} s")
        time.sleep(0.3)
