"""pgbouncer for the tests, in transaction mode."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from .postgres import free_port

SESSIONS = 3  # of the pooler with the server
_SETTINGS = """
[databases]
office = host=127.0.0.1 port={server} dbname=postgres user=tests
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
server_round_robin = 1
"""


@contextmanager
def pgbouncer(program: str, server: str) -> Iterator[str]:
    """A pooler before a server (its URL, as running_postgres gives it); it gives each transaction another session than
    the one before. Out: the database URL."""
    port = free_port()
    user: dict[str, Any] = (
        {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    )  # it refuses to run as root
    place = Path(tempfile.mkdtemp(prefix="deliveries-pooler-"))
    file = place / "pgbouncer.ini"
    file.write_text(_SETTINGS.format(server=server.rsplit(":", 1)[1].strip("/"), port=port, sessions=SESSIONS))
    if user:
        shutil.chown(place, **user)
    process = subprocess.Popen([program, "-q", str(file)], cwd=place, stderr=subprocess.DEVNULL, **user)
    try:
        _wait_for(port)
        yield f"postgres://tests@127.0.0.1:{port}/office"
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(place, ignore_errors=True)


def _wait_for(port: int) -> None:
    for _ in range(100):
        try:
            _open_all(f"postgresql://tests@127.0.0.1:{port}/office")
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise RuntimeError("pgbouncer did not answer within 5 s")


def _open_all(url: str) -> None:
    """So many transactions at once that the pooler opens all its sessions."""
    with ExitStack() as clients:
        for _ in range(SESSIONS):
            clients.enter_context(psycopg.connect(url, connect_timeout=1)).execute("SELECT 1")
