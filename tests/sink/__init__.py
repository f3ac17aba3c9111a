"""A counting mail sink for tests of loss and duplication: it notes each message before it says 250.

It is a measuring instrument: it shares no code with the product or its simulator, so that it can bear witness against
them, and one loop without threads keeps up with the workers that are being killed. What a test wants to hear word by
word, or to say itself, goes to the scripted server (tests/fakes/smtp_server.py); the bench sends into Postfix's.
One line a recipient goes to `accepted.log` by one O_APPEND write per round of the loop, before any
of the round's answers leaves: what was answered is on record even when the sink is killed.

    with sink(tmp_path, "--behaviour", "drop-before=100") as port:
        ...                                   # send to 127.0.0.1, port
        set_behaviour(tmp_path, "accept")     # returns once it is in force
    assert not tally(tmp_path).duplicates
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .behaviour import Behaviour

LOG = "accepted.log"
WANTED = "behaviour"
IN_FORCE = "behaviour.in-force"
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Tally:
    """What the sink noted. `accepted`: lines. `message_ids` and `recipients` (of the envelope, lower
    case): how often each came. `mismatches`: (Message-ID, envelope's recipient, the To header's
    address) where body and envelope were mixed up."""

    accepted: int
    message_ids: Counter[str]
    recipients: Counter[str]
    mismatches: list[tuple[str, str, str]]

    @property
    def duplicates(self) -> dict[str, int]:
        """The Message-IDs that came more than once, with their number."""
        return {each: count for each, count in self.message_ids.items() if count > 1}


def tally(directory: Path) -> Tally:
    """Read the sink's log, also while it runs; a torn last line was never answered and is ignored."""
    text = (directory / LOG).read_text(errors="replace")
    lines = [line.split("\t") for line in text[: text.rfind("\n") + 1].splitlines()]
    return Tally(
        accepted=len(lines),
        message_ids=Counter(line[0] for line in lines),
        recipients=Counter(line[1].lower() for line in lines),
        mismatches=[(i, to, header) for i, to, header in lines if to.lower() != header.lower()],
    )


def set_behaviour(directory: Path, text: str, *, timeout: float = 10) -> None:
    """Tell the running sink how to behave and wait until it does; see tests/sink/behaviour.py."""
    Behaviour.parse(text)
    new = directory / f"{WANTED}.new"
    new.write_text(text)
    new.replace(directory / WANTED)
    give_up = time.monotonic() + timeout
    while (directory / IN_FORCE).read_text() != text:
        if time.monotonic() > give_up:
            raise TimeoutError(f"the sink of {directory} does not behave as {text!r}")
        time.sleep(0.02)


@contextmanager
def sink(directory: Path, *flags: str) -> Iterator[int]:
    """The port of a sink in a process of its own, which ends with the block."""
    command = [sys.executable, "-m", "tests.sink", "--dir", str(directory), *flags]
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        word, port = process.stdout.readline().split()
        assert word == "ready"
        yield int(port)
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout:
            process.stdout.close()
