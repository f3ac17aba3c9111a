"""A private PostgreSQL for the tests: its own data directory, a socket and a free port, gone at the end."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FAST = (  # nothing here outlives the test, so nothing needs to reach the disk
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=128MB",
    "max_wal_size=2GB",
    "unix_socket_directories=",
    "max_connections=50",
)
_PR_SET_PDEATHSIG = 1
_QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def free_port() -> int:
    """A TCP port on the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postgres:
    """A server made from scratch in the directory `place`; it runs, by `command`, between `start` and `stop`."""

    def __init__(self, server: str, place: Path, *, durable: bool = False, listen: str = "localhost") -> None:
        """As running_postgres; `listen`: the addresses that it answers on."""
        # PostgreSQL refuses to run as root.
        self._user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        self._place, self.data, self.port = place, place / "data", free_port()
        if self._user:
            shutil.chown(place, **self._user)
        initdb = [str(Path(server).with_name("initdb")), "-D", str(self.data), "-U", "tests", "-A", "trust"]
        locale = ["-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        subprocess.run([*initdb, *locale], check=True, cwd=place, **_QUIET, **self._user)
        given = (*(() if durable else _FAST[:3]), *_FAST[3:], f"listen_addresses={listen}")
        self.command = [server, "-D", str(self.data), "-p", str(self.port)]
        self.command += [option for name in given for option in ("-c", name)]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The database URL, without the database's name."""
        return f"postgres://tests@127.0.0.1:{self.port}/"

    def start(self, environment: dict[str, str] | None = None) -> None:
        """Start, and wait until it answers. Raises RuntimeError."""
        self.process = subprocess.Popen(
            self.command, cwd=self._place, preexec_fn=_end_with_parent, env=environment, **_QUIET, **self._user
        )
        _wait_for(self.port, self.process)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: a fast shutdown, open connections are cut. SIGQUIT: at once, as in a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None


@contextmanager
def running_postgres(server: str, *, durable: bool = False) -> Iterator[str]:
    """A server made from scratch. In: the path of `postgres` (`initdb` lies beside it); `durable` keeps fsync on, for
    measurements. Out: its database URL, without the database's name: append one, like "postgres"."""
    place = Path(tempfile.mkdtemp(prefix="deliveries-postgres-"))
    made = Postgres(server, place, durable=durable)
    try:
        made.start()
        yield made.url
    finally:
        made.stop()
        shutil.rmtree(place, ignore_errors=True)


def _end_with_parent() -> None:
    """A test process that is killed leaves no server behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    import psycopg

    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"postgres ended with {process.returncode}")
        try:
            psycopg.connect(f"postgresql://tests@127.0.0.1:{port}/postgres", connect_timeout=1).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise RuntimeError("postgres did not answer within 15 s")
