"""What the simulator keeps: a log of every recipient's verdict, and the accepted messages.

    <directory>/transactions.jsonl          one line a recipient: who, what was answered, when
    <directory>/mail/00012/00012345.eml     the message that line 12345 accepted

The log is the only truth. In memory are one offset a line, the counts, and the attempts of those
addresses that have not accepted yet; so a million messages cost some 10 MB, and a restart reads
the log once. A message is on disk before its line is, and the line before the answer is sent
(RFC 5321 section 6.1: a 250 takes responsibility).
"""

import fcntl
import json
import os
import threading
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .verdicts import Entry, Verdict

_BLOCK_LINES = 2_000
_FOLDER_FILES = 1_000


class StoreUnusable(Exception):
    """Another simulator keeps its mail in this directory, or its log cannot be read."""


_FIELDS = tuple(each.name for each in fields(Entry))  # asdict() copies deeply: three times slower


class Store:
    """The mail of one directory; one writer at a time, any number of reading threads.

    With `read_only` it shows what is there now, beside a simulator that runs in another process.
    Raises StoreUnusable, or OSError where the directory cannot be written.
    """

    def __init__(self, directory: Path, *, read_only: bool = False) -> None:
        self.directory = directory
        self._ends = array("Q", [0])
        self._counts: Counter[Verdict] = Counter()
        self._attempts: dict[str, int] = {}
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._log = self._open_log(read_only)
        self._read_log()
        if not read_only:
            os.ftruncate(self._log, self._ends[-1])  # a torn last line was never answered

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._log)

    def _open_log(self, read_only: bool) -> int:
        name = self.directory / "transactions.jsonl"
        if read_only:
            return os.open(name, os.O_RDONLY)
        self.directory.mkdir(parents=True, exist_ok=True)
        log = os.open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(log)
            raise StoreUnusable(f"another simulator keeps its mail in {self.directory}") from None
        return log

    def _read_log(self) -> None:
        with os.fdopen(os.dup(self._log), "rb") as lines:
            lines.seek(0)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._index_line(line)

    def _index_line(self, line: bytes) -> None:
        try:
            values = json.loads(line)
            self._index(len(line), Verdict(values["verdict"]), values["recipient"], values["attempt"])
        except (ValueError, KeyError, TypeError) as error:
            where = f"line {len(self) + 1} of {self.directory / 'transactions.jsonl'}"
            raise StoreUnusable(f"{where} cannot be read: {error!r}") from None

    def _index(self, length: int, verdict: Verdict, recipient: str, attempt: int) -> None:
        with self._lock:
            self._ends.append(self._ends[-1] + length)
            self._counts[verdict] += 1
        if verdict is not Verdict.ACCEPTED:
            self._attempts[recipient.lower()] = attempt
        elif attempt > 1:
            del self._attempts[recipient.lower()]

    # Writing: the SMTP thread only.

    def attempt(self, recipient: str) -> int:
        """The number of the coming attempt at `recipient`, from 1, since it last answered 250."""
        return self._attempts.get(recipient.lower(), 0) + 1

    def record(
        self,
        *,
        sender: str,
        recipient: str,
        verdict: Verdict,
        reply: str,
        dsn: Mapping[str, str],
        message: bytes = b"",
        message_id: str = "",
    ) -> Entry:
        """Write one recipient's end; the message too when the verdict keeps it.

        Raises OSError when the disk takes less than all; nothing may then be answered with 250.
        """
        entry = Entry(
            number=len(self),
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            sender=sender,
            recipient=recipient,
            message_id=message_id,
            verdict=verdict,
            reply=reply,
            attempt=self.attempt(recipient),
            size=len(message),
            dsn=dsn,
        )
        if entry.kept:
            self._write_message(entry, message)
        self._append(entry)
        return entry

    def _append(self, entry: Entry) -> None:
        values = {name: getattr(entry, name) for name in _FIELDS}
        line = (json.dumps(values, ensure_ascii=False) + "\n").encode()
        try:
            _write_all(self._log, line)
        except OSError:
            os.ftruncate(self._log, self._ends[-1])  # no later line may follow half a one
            raise
        self._index(len(line), entry.verdict, entry.recipient, entry.attempt)

    def _write_message(self, entry: Entry, message: bytes) -> None:
        """The message as final delivery leaves it (RFC 5321 section 4.4)."""
        head = f"Return-Path: <{entry.sender}>\r\nDelivered-To: {entry.recipient}\r\n".encode()
        path = self._path(entry.number)
        if path.parent != self._folder:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = path.parent
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            _write_all(file, head + message)
        finally:
            os.close(file)

    def _path(self, number: int) -> Path:
        return self.directory / "mail" / f"{number // _FOLDER_FILES:05d}" / f"{number:08d}.eml"

    # Reading: any thread.

    def __len__(self) -> int:
        return len(self._ends) - 1

    def counts(self) -> dict[Verdict, int]:
        """How many recipients ended with each verdict; every verdict is there."""
        with self._lock:
            return {verdict: self._counts[verdict] for verdict in Verdict}

    def entry(self, number: int) -> Entry:
        """The log's line `number`; IndexError when there is none."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self._block(number, number + 1)[0]

    def entries(
        self, *, before: int | None = None, recipient: str = "", verdict: Verdict | None = None
    ) -> Iterator[Entry]:
        """Newest first, those below the key `before` whose recipient contains `recipient`
        (letter case aside) and whose verdict is `verdict`."""
        wanted = recipient.lower()
        stop = len(self) if before is None else max(0, min(before, len(self)))
        while stop > 0:
            start = max(0, stop - _BLOCK_LINES)
            for entry in reversed(self._block(start, stop, wanted)):
                if wanted in entry.recipient.lower() and verdict in (None, entry.verdict):
                    yield entry
            stop = start

    def page(self, limit: int, **which: Any) -> list[Entry]:
        """The first `limit` of `entries(**which)`."""
        return list(islice(self.entries(**which), limit))

    def _block(self, start: int, stop: int, wanted: str = "") -> list[Entry]:
        """The entries of some lines; none are parsed when `wanted` occurs in none of them."""
        begin, end = self._ends[start], self._ends[stop]
        text = os.pread(self._log, end - begin, begin).decode()
        if json.dumps(wanted, ensure_ascii=False)[1:-1] not in text.lower():
            return []
        return [_entry(json.loads(line)) for line in text.split("\n")[:-1]]

    def accepted(self) -> Iterator[str]:
        """The recipients whose message is kept, newest first, as often as it was kept."""
        return (entry.recipient for entry in self.entries() if entry.kept)

    def find(self, recipient: str) -> Path | None:
        """The newest message kept for exactly this address (letter case aside)."""
        for entry in self.entries(recipient=recipient):
            if entry.kept and entry.recipient.lower() == recipient.lower():
                return self._path(entry.number)
        return None

    def message(self, entry: Entry, limit: int = -1) -> bytes | None:
        """The message as it was kept, or its first `limit` bytes; None when it was not kept, or
        its file was deleted since."""
        if not entry.kept:
            return None
        try:
            with self._path(entry.number).open("rb") as file:
                return file.read(limit)
        except FileNotFoundError:
            return None


def _entry(line: dict[str, Any]) -> Entry:
    return Entry(**(line | {"verdict": Verdict(line["verdict"])}))


def _write_all(file: int, content: bytes) -> None:
    if os.write(file, content) != len(content):
        raise OSError(f"the disk took less than {len(content)} bytes")
