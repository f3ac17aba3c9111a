"""The child processes of `up`: restarted, given up on, and none of them left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.dev import supervisor
from config.dev.supervisor import TAG, GaveUp, Program, Supervisor

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes through /proc")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    """started("sh text", …) gives a supervisor of those programs; all are ended afterwards."""

    def start(*texts: str) -> Supervisor:
        programs = [Program(f"p{n}", ["sh", "-c", text], tmp_path / f"p{n}.log") for n, text in enumerate(texts)]
        return Supervisor(programs, {**os.environ, TAG: str(tmp_path)}, said.append)

    said: list[str] = []
    yield start
    supervisor.end_all(str(tmp_path), 0)


def _until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _tick_until(supervised: Supervisor, condition: Callable[[], object]) -> None:
    _until(lambda: (supervised.tick(), condition())[1])


def test_a_child_that_died_is_started_again(started: Callable[..., Supervisor]) -> None:
    supervised = started("sleep 60")
    first = supervised.children[0].process
    first.kill()
    _tick_until(supervised, lambda: supervised.children[0].process is not first)
    supervised.stop()


def test_a_restart_is_said_with_the_reason(tmp_path: Path) -> None:
    said: list[str] = []
    programs = [Program("web", ["sh", "-c", "sleep 60"], tmp_path / "web.log")]
    supervised = Supervisor(programs, {**os.environ, TAG: str(tmp_path)}, said.append)
    supervised.children[0].process.kill()
    _tick_until(supervised, lambda: said)
    supervised.stop()
    assert said[0].startswith("web ended (SIGKILL); starting it again.")


@pytest.mark.slow
def test_a_child_that_keeps_dying_is_given_up_with_the_end_of_its_log(started: Callable[..., Supervisor]) -> None:
    supervised = started("echo the reason; exit 3")
    with pytest.raises(GaveUp, match=r"exit 3\) 5 times(.|\n)*the reason"):
        _tick_until(supervised, lambda: False)
    supervised.stop()


def test_stopping_leaves_nothing_not_even_what_left_its_session(
    started: Callable[..., Supervisor], tmp_path: Path
) -> None:
    supervised = started("setsid sleep 60 & trap '' TERM; while :; do sleep 0.1; done", "sleep 60")
    _until(lambda: len(supervisor.tagged(str(tmp_path))) >= 4)
    supervised.stop(hurried=lambda: True)
    assert supervisor.tagged(str(tmp_path)) == []


def test_what_others_talk_to_is_stopped_after_them(tmp_path: Path) -> None:
    order = tmp_path / "order"
    order.touch()
    text = f"trap 'sleep 0.2; echo $0 >> {order}; exit' TERM; echo >> {order}; while :; do sleep 0.05; done"
    programs = [
        Program(name, ["sh", "-c", text, name], tmp_path / name, serves=serves)
        for name, serves in [("server", True), ("client", False)]
    ]
    supervised = Supervisor(programs, {**os.environ, TAG: str(tmp_path)}, print)
    _until(lambda: order.read_text() == "\n\n")
    supervised.stop()
    assert order.read_text().split() == ["client", "server"]


def test_killing_the_supervisor_outright_ends_its_children(tmp_path: Path) -> None:
    text = (
        "import os, sys, time\nfrom pathlib import Path\nfrom config.dev.supervisor import *\n"
        "folder = Path(sys.argv[1])\n"
        "Supervisor([Program('p', ['sleep', '60'], folder / 'log')], {**os.environ, TAG: str(folder)}, print)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", text, str(tmp_path)])
    _until(lambda: supervisor.tagged(str(tmp_path)))
    process.send_signal(signal.SIGKILL)
    process.wait()
    _until(lambda: not supervisor.tagged(str(tmp_path)))
