"""`manage.py up` from a copy of the project: the page answers, Ctrl-C leaves nothing running, the data stays."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from config import bootstrap
from config.dev import supervisor

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes through /proc"),
]
OURS = ("SECRET_KEY", "DATA_DIR", "HTTPS", "EMAIL_URL", "LOG_LEVEL", "DJANGO_SETTINGS_MODULE")


def _until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


class Up:
    """`manage.py up --port 0` in a session of its own, as a terminal starts it, and what it printed."""

    def __init__(self, project: Path, data: Path, *options: str) -> None:
        self.data, self.output = data, data.with_suffix(".out")
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--port", "0", "--data", str(data), *options],
                cwd=project,
                env={name: value for name, value in os.environ.items() if name not in OURS},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.output.read_text()

    def running(self) -> list[int]:
        return supervisor.tagged(str(self.data))

    def welcomed(self) -> Up:
        _until(lambda: "Ctrl-C stops" in self.said() or self.process.poll() is not None)
        assert self.process.poll() is None, self.said()
        return self

    def address(self) -> str:
        found = re.search(r"http://\S+", self.said())
        assert found, self.said()
        return found.group()

    def page(self) -> str:
        with urllib.request.urlopen(self.address(), timeout=30) as answer:
            return answer.read().decode()

    def interrupt(self) -> int:
        os.killpg(self.process.pid, signal.SIGINT)  # Ctrl-C reaches the terminal's whole foreground group
        return self.process.wait(30)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files under version control, with this .venv where that is what the lock names, else with none."""
    copy = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=bootstrap.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bootstrap.BASE_DIR / name, copy / name)
    if bootstrap.satisfied("run.lock", bootstrap.VENV, copy / "config"):
        (copy / ".venv").symlink_to(bootstrap.VENV)
    return copy


@pytest.fixture
def up(project: Path, tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """up(…options) starts it on this test's data directory; whatever is left is ended afterwards."""
    started: list[Up] = []

    def start(*options: str) -> Up:
        started.append(Up(project, tmp_path / "data #1", *options))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()
    supervisor.end_all(str(tmp_path / "data #1"), 0)


def test_ctrl_c_leaves_nothing_running_and_a_second_start_keeps_the_data(up: Callable[..., Up]) -> None:
    first = up().welcomed()
    assert "Log in" in first.page()
    with closing(sqlite3.connect(first.data / "db.sqlite3")) as database, database:
        accounts = database.execute("SELECT id, username, password FROM auth_user ORDER BY id").fetchall()
        database.execute("INSERT INTO auth_group (name) VALUES ('kept')")
    assert accounts
    assert first.interrupt() == 0
    assert first.running() == []
    second = up().welcomed()
    with closing(sqlite3.connect(second.data / "db.sqlite3")) as database:
        assert database.execute("SELECT id, username, password FROM auth_user ORDER BY id").fetchall() == accounts
        assert database.execute("SELECT count(*) FROM auth_group WHERE name = 'kept'").fetchone() == (1,)
    assert second.interrupt() == 0


def test_without_the_demo_there_are_no_accounts_and_the_way_to_one_is_shown(up: Callable[..., Up]) -> None:
    started = up("--no-demo").welcomed()
    with closing(sqlite3.connect(started.data / "db.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM auth_user").fetchone() == (0,)
    assert "createsuperuser" in started.said()


def test_a_web_server_that_dies_comes_back(up: Callable[..., Up]) -> None:
    started = up("--no-demo").welcomed()
    for pid in started.running():
        if b"gunicorn" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    assert "Log in" in started.page()
    _until(lambda: "web ended (SIGKILL); starting it again." in started.said())


def test_killing_it_outright_leaves_nothing_running(up: Callable[..., Up]) -> None:
    started = up("--no-demo").welcomed()
    started.process.kill()
    started.process.wait()
    _until(lambda: not started.running())


def test_ctrl_c_while_it_starts_leaves_nothing_running(up: Callable[..., Up]) -> None:
    started = up()
    _until(lambda: "Preparing" in started.said())
    assert started.interrupt() == 0
    assert started.running() == []


def test_a_second_one_on_the_same_data_is_one_line(up: Callable[..., Up], project: Path) -> None:
    started = up("--no-demo").welcomed()
    command = [sys.executable, "manage.py", "up", "--port", "0", "--data", str(started.data)]
    second = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert second.returncode == 1
    assert (second.stdout, second.stderr.count("\n")) == ("", 1)
    assert f"already running on {started.data} (process {started.process.pid}, " in second.stderr


def test_a_taken_port_is_one_line(project: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        command = [sys.executable, "manage.py", "up", "--port", port, "--data", str(tmp_path / "data")]
        refused = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr == f"manage.py up: port {port} of 127.0.0.1 is taken; give another with --port.\n"


def test_others_reach_no_account_whose_password_everybody_knows(up: Callable[..., Up]) -> None:
    refused = up("--host", "0.0.0.0")
    assert refused.process.wait(60) == 1
    assert "other machines reach 0.0.0.0" in refused.said() and "--no-demo" in refused.said()
    assert up().welcomed().interrupt() == 0  # on loopback
    again = up("--host", "0.0.0.0", "--no-demo")  # the accounts are there
    assert again.process.wait(60) == 1
    assert "admin, anna, peter" in again.said() and "changepassword" in again.said()
