"""The buffer of tracking events: what an endpoint was told is in a file before it answers. Pure of Django.

One file for each process, appended to by one write(2) an event: the kernel keeps what was written when the process is
killed. ingest.py moves complete lines into the database. A file appears under its final name only when its writer
holds its lock, so whoever gets the lock of one knows that nothing will be added any more.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

ROTATE_BYTES = 16 * 1024 * 1024
MAX_AGENT = 200
SUFFIX = ".events"


class Event(NamedTuple):
    """One request: milliseconds since 1970, sending log, type (models.TrackingType), link or -1, and who asked how."""

    at: int
    log_id: int
    type: int
    link: int
    head: bool
    network: str
    agent: str


def encode(event: Event) -> bytes:
    """One line of fields between tabs; what could break a line out of the agent becomes spaces."""
    agent = event.agent[:MAX_AGENT]
    if not (agent.isascii() and agent.isprintable()):
        agent = "".join(c if c.isascii() and c.isprintable() else " " for c in agent)
    fields = (event.at, event.log_id, event.type, event.link, int(event.head), event.network, agent)
    return "\t".join(map(str, fields)).encode("ascii", "replace") + b"\n"


def decode(line: bytes) -> Event | None:
    """The event of a line without its end, or None if it is damaged."""
    fields = line.decode("ascii", "replace").split("\t")
    if len(fields) != 7:
        return None
    try:
        at, log_id, kind, link, head = map(int, fields[:5])
    except ValueError:
        return None
    return Event(at, log_id, kind, link, bool(head), fields[5], fields[6])


class Buffer:
    """This process's file in `folder`; opened at the first event, and again after a fork."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder, self.host = folder, host
        self._file = -1
        self._size = 0
        self._process = 0
        self._lock = threading.Lock()

    def append(self, event: Event) -> None:
        """Keep an event: when this returns, killing the process loses nothing. Raises OSError if it was not kept."""
        line = encode(event)
        with self._lock:
            if self._process != os.getpid() or self._size >= ROTATE_BYTES:
                self._open()
            try:
                written = os.write(self._file, line)
            except OSError:
                self._process = 0
                raise
            if written != len(line):  # the disk is full; the torn line must stay the last of its file
                self._process = 0
                raise OSError(f"only {written} of {len(line)} bytes were written to the tracking buffer")
            self._size += written

    def close(self) -> None:
        """Let the file go, so that folding may remove it."""
        with self._lock:
            if self._file >= 0 and self._process == os.getpid():
                os.close(self._file)
            self._file, self._process = -1, 0

    def _open(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"{self.host}.{os.getpid()}.{time.time_ns()}{SUFFIX}"
        unseen = final.with_suffix(".new")
        self._file = os.open(unseen, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unseen.rename(final)
        self._process, self._size = os.getpid(), 0


def files(folder: Path) -> list[Path]:
    """The buffer files of a folder, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.name.rsplit(".", 2)[1]) if folder.is_dir() else []


def read(path: Path, offset: int, most: int) -> tuple[list[Event], int, int]:
    """Up to `most` complete lines from `offset` on. Out: their events, where the next begins, and how many are damaged.

    A line without its end is still being written, or torn: it is left.
    """
    events: list[Event] = []
    damaged = 0
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n") or len(events) + damaged >= most:
                break
            offset += len(line)
            event = decode(line[:-1])
            if event is None:
                damaged += 1
            else:
                events.append(event)
    return events, offset, damaged


def remove_if_abandoned(path: Path, offset: int) -> bool:
    """Delete a file whose writer is gone if nothing complete lies behind `offset`. Out: True if it is gone."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if read(path, offset, 1)[1] != offset:
            return False
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True
