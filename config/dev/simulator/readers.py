"""The simulator's recipients at work: they ask for what a message links to, and each request goes into a record.

    with reading(Readers("http://127.0.0.1:8000", directory / "readers.jsonl")) as readers:
        ...  # Personality(after_acceptance=(readers,))

Nothing is asked for but addresses under the base that was given, and no redirect is followed: whatever mail comes,
these readers disturb nobody else. The record says what was answered, so it is what figures must equal.
"""

from __future__ import annotations

import heapq
import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from . import reader_behaviour
from .reader_behaviour import Act
from .stored_mail import read
from .verdicts import Entry

_HANDS = 8  # requests at once
_TRIES = 3
_SECONDS = 10.0  # for an answer


class Readers:
    """Plans at each acceptance what will happen, and does it in time. `haste`: see simulator_people.acts.

    The record's lines: who, kind, link, method, agent, machine as in Act, `address`, `time` (ISO 8601, of the answer)
    and `status` (HTTP's, 0 without an answer). What was planned and not yet done is lost with the process.
    """

    def __init__(self, base: str, record: Path, *, seed: int = 7, haste: float = 1.0) -> None:
        self.base, self.seed, self.haste = base.rstrip("/"), seed, haste
        self._record = record
        self._plan: list[tuple[float, int, str, Act]] = []
        self._number = 0
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._over = False

    def __call__(self, entry: Entry, message: bytes) -> None:
        """A message was accepted: think of what its recipient will do, and return at once."""
        what = reader_behaviour.letter(read(message).html or "")
        if what.base != self.base:
            return
        now = time.monotonic()
        with self._changed:
            for act in reader_behaviour.acts(entry.recipient, what, self.seed, self.haste):
                self._number += 1  # equal times keep their order
                heapq.heappush(self._plan, (now + act.after, self._number, entry.recipient, act))
            self._changed.notify()

    def work(self) -> None:
        """Carry out what is due until stop()."""
        while (due := self._next()) is not None:
            address, act = due
            self._note(address, act, self._ask(act))

    def stop(self) -> None:
        """Let the work end."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _next(self) -> tuple[str, Act] | None:
        with self._changed:
            while not self._over:
                wait = self._plan[0][0] - time.monotonic() if self._plan else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._plan)[2:]
                self._changed.wait(wait)
        return None

    def _ask(self, act: Act) -> int:
        for again in range(_TRIES):
            if again and self._over:
                break
            try:
                return self._ask_once(act)
            except (OSError, http.client.HTTPException):
                time.sleep(again)
        return 0

    def _ask_once(self, act: Act) -> int:
        base = urlsplit(self.base)
        kind = http.client.HTTPSConnection if base.scheme == "https" else http.client.HTTPConnection
        connection = kind(base.netloc, timeout=_SECONDS)
        headers = {"X-Forwarded-For": act.origin, "User-Agent": act.agent, "Accept": "*/*"}
        if act.body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(act.method, base.path + act.path, act.body or None, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def _note(self, address: str, act: Act, status: int) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        told = asdict(act) | {"address": address, "time": now, "status": status}
        line = json.dumps({name: value for name, value in told.items() if name not in ("after", "body", "path")})
        with self._writing, self._record.open("a", encoding="utf-8") as record:
            record.write(line + "\n")


@contextmanager
def reading(readers: Readers) -> Iterator[Readers]:
    """Let them work in threads of their own between entry and exit."""
    hands = [threading.Thread(target=readers.work, name=f"reader-{n}", daemon=True) for n in range(_HANDS)]
    for hand in hands:
        hand.start()
    try:
        yield readers
    finally:
        readers.stop()
        for hand in hands:
            hand.join(_SECONDS)
