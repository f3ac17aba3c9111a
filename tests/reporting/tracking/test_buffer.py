"""The buffer of tracking events: complete lines, one writer a file, nothing lost to kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from reporting.tracking.buffer import Buffer, Event, decode, encode, files, read, remove_if_abandoned

EVENT = Event(1_700_000_000_000, 7, 2, -1, False, "203.0.113.0/24", "Mozilla/5.0 (X11)")


@given(st.text())
def test_any_program_name_stays_within_its_line(agent: str) -> None:
    line = encode(EVENT._replace(agent=agent))
    back = decode(line[:-1])
    assert line.count(b"\n") == 1
    assert back is not None
    assert back[:6] == EVENT[:6]


def test_a_line_without_its_end_waits(tmp_path: Path) -> None:
    file = tmp_path / "h.1.1.events"
    file.write_bytes(encode(EVENT) + encode(EVENT)[:-5])
    assert read(file, 0, 10) == ([EVENT], len(encode(EVENT)), 0)


def test_a_damaged_line_is_counted_and_left_out(tmp_path: Path) -> None:
    file = tmp_path / "h.1.1.events"
    file.write_bytes(b"nonsense\n" + encode(EVENT))
    assert read(file, 0, 10)[::2] == ([EVENT], 1)


def test_a_file_is_removed_only_when_its_writer_is_gone_and_all_is_read(tmp_path: Path) -> None:
    buffer = Buffer(tmp_path, "h")
    buffer.append(EVENT)
    (file,) = files(tmp_path)
    size = len(encode(EVENT))
    assert not remove_if_abandoned(file, size)
    buffer.close()
    assert not remove_if_abandoned(file, 0)
    assert remove_if_abandoned(file, size)
    assert files(tmp_path) == []


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from reporting.tracking.buffer import Buffer, Event\n"
        "b = Buffer(Path(sys.argv[1]), 'h'); n = 0\n"
        "while True:\n"
        "    b.append(Event(1, n, 2, -1, False, '', 'x')); n += 1\n"
        "    sys.stdout.write(f'{n}\\n'); sys.stdout.flush()\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path.cwd())
    assert writer.stdout
    for _ in range(500):
        acknowledged = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.stdout.read().split(b"\n")[:-1]
    acknowledged = int(rest[-1]) if rest else acknowledged
    writer.wait()
    (file,) = files(tmp_path)
    assert len(read(file, 0, 10**9)[0]) >= acknowledged
    assert remove_if_abandoned(file, file.stat().st_size)
