"""The acceptance journal: what was about to leave and what the server took, in a file that survives kill -9.

One append-only file per batch and fence, `<batch>.<fence>.journal`, of fixed-size records, one write(2) each; beside
it `<batch>.lock`, on which whoever works on the batch on this host holds an flock. A journal is never truncated; it
goes when its batch is done and that is committed. Nothing here is synced to disk: after a restart of the machine
the end of a journal may be missing, so a journal from before it no longer proves that a body had not left.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from errno import ENOSPC
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Self
from zlib import crc32

_FIELDS = Struct("<4sQ")  # kind, key
_RECORD = Struct("<4sQI")  # the same and their checksum
RECORD_SIZE = _RECORD.size
_OPENED, _INTENT, _ACCEPTED, _REFUSED = b"DJo1", b"DJi1", b"DJa1", b"DJr1"


class JournalFailed(Exception):
    """The journal could not be written, or not wholly: no further body may leave."""


class Trace(Enum):
    """What a journal says of one key."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # or given back before a byte left: not in doubt
    OPEN = "intent without an answer"  # in doubt
    NOTHING = "no intent"  # no byte of the body left
    UNKNOWN = "no proof"  # no whole journal: in doubt


@dataclass(frozen=True, slots=True)
class Replay:
    """What the journal of one fence proves.

    `missing` is "" for a whole journal, be it empty; otherwise why a key's absence proves nothing: "missing",
    "damaged", or "restarted" (the machine, since the journal was opened). The sets hold in all cases.
    """

    missing: str = ""
    accepted: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    open_intents: set[int] = field(default_factory=set)

    def of(self, key: int) -> Trace:
        """What is known of this key."""
        if key in self.accepted:
            return Trace.ACCEPTED
        if key in self.open_intents:
            return Trace.OPEN
        if self.missing:
            return Trace.UNKNOWN
        return Trace.REFUSED if key in self.refused else Trace.NOTHING


class Journal:
    """Open for appending by the one holder of the batch's lock and fence. Each method raises JournalFailed."""

    __slots__ = ("_broken", "_fd", "_seed", "path")

    def __init__(self, fd: int, path: Path, seed: int) -> None:
        """`Journal.open` makes one."""
        self._fd = fd
        self.path = path
        self._seed = seed
        self._broken = False

    @classmethod
    def open(cls, directory: Path, batch: int, fence: int) -> Journal:
        """Open or begin the journal of this batch and fence; the directory is made if need be."""
        path, seed = _path(directory, batch, fence), _seed(batch, fence)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                _begin(path, seed)
            fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            raise JournalFailed(f"{path}: {error.strerror}") from error
        journal = cls(fd, path, seed)
        if os.fstat(fd).st_size % RECORD_SIZE:
            journal.close()
            raise JournalFailed(f"{path} ends within a record: take a new fence.")
        return journal

    def intent(self, key: int) -> None:
        """This key's body is about to leave. The key is 0 to 2^64 - 1."""
        self._append(_INTENT, key)

    def accepted(self, key: int) -> None:
        """The server took it."""
        self._append(_ACCEPTED, key)

    def refused(self, key: int) -> None:
        """The server refused it after all, or no byte of it left: the intent is void."""
        self._append(_REFUSED, key)

    def close(self) -> None:
        """Close the file; it stays on disk. A second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._broken = -1, True

    def _append(self, kind: bytes, key: int) -> None:
        if self._broken:
            raise JournalFailed(f"{self.path} is closed or has failed before.")
        try:
            _write(self._fd, kind, key, self._seed)
        except OSError as error:
            self._broken = True
            raise JournalFailed(f"{self.path}: {error.strerror}") from error


def _begin(path: Path, seed: int) -> None:
    """Make the file with its first record in it at once: a kill leaves a whole journal or none."""
    fresh = path.with_suffix(".journal-new")
    fd = os.open(fresh, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write(fd, _OPENED, _this_start(), seed)
        fresh.rename(path)
    finally:
        os.close(fd)


def _write(fd: int, kind: bytes, key: int, seed: int) -> None:
    """One write(2); a short one is an error like any other."""
    fields = _FIELDS.pack(kind, key)
    written = os.write(fd, fields + crc32(fields, seed).to_bytes(4, "little"))
    if written != RECORD_SIZE:
        raise OSError(ENOSPC, f"only {written} octets of a record could be written")


def replay(directory: Path, batch: int, fence: int) -> Replay:
    """Read the journal of this batch and fence; it applies to rows still claimed with that fence only.

    A torn last record is ignored: its write never returned, so what it announces never happened. A whole record with
    a wrong checksum makes the journal "damaged", as does a file without its first record. Raises JournalFailed if the
    file is there and cannot be read.
    """
    path = _path(directory, batch, fence)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return Replay(missing="missing")
    except OSError as error:
        raise JournalFailed(f"{path}: {error.strerror}") from error
    return _read(raw[: len(raw) - len(raw) % RECORD_SIZE], _seed(batch, fence))


def _read(raw: bytes, seed: int) -> Replay:
    last: dict[int, bytes] = {}
    missing = "" if raw[:4] == _OPENED else "damaged"
    for kind, key, checksum in _RECORD.iter_unpack(raw):
        if checksum != crc32(_FIELDS.pack(kind, key), seed):
            missing = "damaged"
        elif kind == _OPENED:
            missing = missing or ("" if key == _this_start() else "restarted")
        elif last.get(key) != _ACCEPTED:  # accepted is for ever
            last[key] = kind
    groups: dict[bytes, set[int]] = {_ACCEPTED: set(), _REFUSED: set(), _INTENT: set()}
    for key, kind in last.items():
        groups[kind].add(key)
    return Replay(missing, groups[_ACCEPTED], groups[_REFUSED], groups[_INTENT])


def leftovers(directory: Path, done: Callable[[Collection[int]], Collection[int]]) -> list[int]:
    """The batches that left files here though they are done, as `done` says of the batches it is given.

    A kill between a batch's done-commit and `BatchLock.unlink_journals` leaves them. To collect one, take its lock.
    """
    batches = {int(path.name.partition(".")[0]) for path in directory.glob("*.lock") if path.stem.isdecimal()}
    batches |= {names[0] for names in map(_parse, directory.glob("*.journal")) if names}
    return sorted(done(batches)) if batches else []


class BatchLock:
    """The flock of one batch on this host: it ends with the process, so that the next may take over at once."""

    __slots__ = ("_fd", "batch", "directory")

    def __init__(self, directory: Path, batch: int, fd: int) -> None:
        """`BatchLock.acquire` makes one."""
        self.directory, self.batch, self._fd = directory, batch, fd

    @classmethod
    def acquire(cls, directory: Path, batch: int) -> BatchLock | None:
        """The lock, or None while somebody else on this host holds it. Raises OSError if no file can be made."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / f"{batch}.lock"
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return None
            if _is_at(fd, path):
                return cls(directory, batch, fd)
            os.close(fd)  # its holder unlinked it while we waited: lock the file that is there now

    def unlink_journals(self) -> None:
        """Remove the batch's journals of all fences and the lock's file; only after its done-commit."""
        for path in [*self.directory.glob(f"{self.batch}.*.journal*"), self.directory / f"{self.batch}.lock"]:
            path.unlink(missing_ok=True)

    def release(self) -> None:
        """Let others take it; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


def _is_at(fd: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.stat())
    return False


def _path(directory: Path, batch: int, fence: int) -> Path:
    return directory / f"{batch}.{fence}.journal"


def _parse(path: Path) -> tuple[int, int] | None:
    """(batch, fence) of a journal's name, or None if it is none of ours."""
    batch, _, fence = path.stem.partition(".")
    return (int(batch), int(fence)) if batch.isdecimal() and fence.isdecimal() else None


def _seed(batch: int, fence: int) -> int:
    """Start of the checksums: a record of another batch or fence is not taken for ours."""
    return crc32(b"%d.%d" % (batch, fence))


def _this_start() -> int:
    """A number for this start of the machine; 0 where the system has none (then a restart goes unnoticed)."""
    with suppress(OSError):
        return int.from_bytes(Path("/proc/sys/kernel/random/boot_id").read_bytes()[:8])
    return 0
