"""Child processes of `manage.py up`: started, restarted when they die, and all of them ended at the end.

Every child leads a session of its own, so that Ctrl-C in the terminal reaches `up` alone, which stops them in order.
All that they start in turn inherits the environment variable TAG; on Linux that finds a process whoever its parent is.
A watcher holds the reading end of a pipe: should `up` be killed outright, the pipe closes and it ends the rest.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TAG = "BACK_OFFICE_UP"
FAST_DEATH_SECONDS = 10.0
FAST_DEATHS = 5
STOP_SECONDS = 3.0  # for those that use others; these get LAST_SECONDS, so that all is over within five
LAST_SECONDS = 0.8


class GaveUp(Exception):
    """A child keeps dying, or a step failed; the text has the last lines of its log."""


@dataclass(frozen=True)
class Program:
    """What to run. `serves` marks one that the others talk to: it is stopped after them."""

    name: str
    command: Sequence[str]
    log: Path
    pass_fds: Sequence[int] = ()
    serves: bool = False


class _Child:
    """One program and its present process."""

    def __init__(self, program: Program, environment: Mapping[str, str]) -> None:
        self.program, self.environment = program, environment
        self.deaths = 0  # fast ones in a row
        self.due: float | None = None
        self.start()

    def start(self) -> None:
        self.started, self.due = time.monotonic(), None
        with self.program.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.program.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=self.program.pass_fds,
                start_new_session=True,
            )

    def tick(self, say: Callable[[str], None]) -> None:
        """Restart the process if it died, a little later each time. Raises GaveUp after FAST_DEATHS in a row."""
        now = time.monotonic()
        if self.due is not None:
            if now >= self.due:
                self.start()
        elif self.process.poll() is not None:
            self.deaths = self.deaths + 1 if now - self.started < FAST_DEATH_SECONDS else 1
            died = f"{self.program.name} ended ({ending(self.process.returncode)})"
            if self.deaths >= FAST_DEATHS:
                raise GaveUp(f"{died} {self.deaths} times in a row. {last_lines(self.program.log)}")
            self.due = now + 0.1 * 2**self.deaths
            say(f"{died}; starting it again. Its log: {self.program.log}")

    def alive(self) -> bool:
        return self.process.poll() is None


class Supervisor:
    """Runs programs until stop(); tick() is to be called several times a second."""

    def __init__(self, programs: Sequence[Program], environment: Mapping[str, str], say: Callable[[str], None]) -> None:
        self.tag = environment[TAG]
        self.say = say
        self.watcher = _start_watcher(self.tag)
        self.children = [_Child(program, environment) for program in programs]

    def tick(self) -> None:
        """Restart what died; raises GaveUp."""
        for child in self.children:
            child.tick(self.say)

    def stop(self, hurried: Callable[[], bool] = lambda: False) -> None:
        """End every process, those that others talk to last; whatever is left after STOP_SECONDS is killed.

        hurried: asked while waiting; once it says yes nothing is waited for any more.
        """
        for serves, seconds in ((False, STOP_SECONDS), (True, LAST_SECONDS)):
            self._ask([child for child in self.children if child.program.serves is serves], seconds, hurried)
        for child in self.children:
            _signal(-child.process.pid, signal.SIGKILL)
            child.process.wait()
        end_all(self.tag, 0.0)
        if self.watcher.stdin:
            self.watcher.stdin.close()
        self.watcher.wait()

    @staticmethod
    def _ask(children: Sequence[_Child], seconds: float, hurried: Callable[[], bool]) -> None:
        for child in children:
            if child.alive():
                _signal(
                    child.process.pid, signal.SIGTERM
                )  # not the group: a cluster hangs when its workers get one too
        end = time.monotonic() + seconds
        while time.monotonic() < end and not hurried() and any(child.alive() for child in children):
            time.sleep(0.02)


def _start_watcher(tag: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "config.dev.supervisor", tag],
        cwd=Path(__file__).resolve().parents[2],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def watch(tag: str) -> None:
    """Wait until standard input closes, that is until `up` is gone, then end all that bears the tag."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end_all(tag, STOP_SECONDS)


def end_all(tag: str, seconds: float) -> int:
    """End every process that bears the tag: asked first, killed after `seconds`. Returns how many there were."""
    found = tagged(tag)
    for pid in found if seconds else ():
        _signal(pid, signal.SIGTERM)
    end = time.monotonic() + seconds
    while time.monotonic() < end and tagged(tag):
        time.sleep(0.05)
    while (left := tagged(tag)) and time.monotonic() < end + 1.0:  # again: one may have started another meanwhile
        for pid in left:
            _signal(pid, signal.SIGKILL)
        time.sleep(0.02)
    return len(found)


def tagged(tag: str) -> list[int]:
    """Process numbers, ours excepted, whose environment holds TAG=tag. Empty where there is no /proc."""
    wanted = f"{TAG}={tag}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue  # another user's, or gone meanwhile
    return [pid for pid in found if pid != os.getpid()]


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def ending(returncode: int) -> str:
    """An exit status in words: `exit 3`, `SIGKILL`."""
    return f"exit {returncode}" if returncode >= 0 else signal.Signals(-returncode).name


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log, indented under its name."""
    with log.open(errors="replace") as lines:
        return f"The end of {log}:\n" + "".join(f"    {line.rstrip()}\n" for line in deque(lines, count))


if __name__ == "__main__":
    watch(sys.argv[1])
