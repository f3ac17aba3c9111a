"""Opens are answered, folded and killed at the same time: each that was answered is there, and none is there twice."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.bench.tracking_speed import CODE, ROOT, serve
from tests.journeys.conftest import until

KILLS = 4
CLIENTS = 4


class Client(threading.Thread):
    """Asks for its pixels one after the other, each once; remembers those that were answered."""

    def __init__(self, port: int, logs: dict[str, int]) -> None:
        super().__init__()
        self.port, self.logs = port, logs
        self.answered: set[int] = set()
        self.over = False

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        for token, log_id in self.logs.items():
            if self.over:
                return
            try:
                connection.request("GET", f"/t/o/{token}.gif", headers={"User-Agent": "Mozilla/5.0 (X11)"})
                answer = connection.getresponse()
                if answer.read() and answer.status == 200:
                    self.answered.add(log_id)
            except (OSError, http.client.HTTPException):
                connection.close()
                time.sleep(0.02)


def fold(environment: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "manage.py", "fold_tracking", *options]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_kills_of_server_and_folder_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    environment = os.environ | {
        "DATA_DIR": str(tmp_path),
        "TRACKING_DIR": str(tmp_path / "tracking"),
        "HTTPS": "0",
        "TRACKING_PER_SECOND": "0",
        "LETTER_PER_SECOND": "0",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
    }
    said = subprocess.check_output([sys.executable, "-c", CODE], env=environment, cwd=ROOT, text=True)
    tokens = said.splitlines()[0].split()
    with contextlib.closing(sqlite3.connect(tmp_path / "db.sqlite3")) as database:
        ids = [row[0] for row in database.execute("SELECT id FROM deliveries_sendinglog ORDER BY id")]
    logs = list(zip(tokens, ids, strict=True))
    server, port = serve(environment, "config.wsgi")
    folder = fold(environment, "--loop", "--every", "0.05")
    clients = [Client(port, dict(logs[n::CLIENTS])) for n in range(CLIENTS)]
    for client in clients:
        client.start()
    chance = random.Random(5)
    for kill in range(1, KILLS + 1):
        until(lambda goal=60 * kill: sum(len(client.answered) for client in clients) >= goal, "answers")
        time.sleep(chance.uniform(0, 0.2))
        workers = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        with contextlib.suppress(ProcessLookupError):  # gunicorn starts another
            os.kill(int(chance.choice(workers)), signal.SIGKILL)
        folder.kill()
        folder.wait()
        folder = fold(environment, "--loop", "--every", "0.05")
    for client in clients:
        client.over = True
    for client in clients:
        client.join()
    folder.kill()
    folder.wait()
    server.terminate()
    server.wait(20)
    assert fold(environment).wait(60) == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "db.sqlite3")) as database:
        recorded = [row[0] for row in database.execute("SELECT sending_log_id FROM reporting_trackinglog")]
    answered = set[int]().union(*(client.answered for client in clients))
    assert len(answered) > 200
    assert answered <= set(recorded)
    assert len(recorded) == len(set(recorded))
    assert not list((tmp_path / "tracking").iterdir())
