"""The sink's loop: read every ready line, write the notes, only then let the answers go."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from random import Random
from typing import Any

from tests.sink import IN_FORCE, LOG, WANTED

from .behaviour import Behaviour
from .connection import Connection

_LOOK_SECONDS = 0.1


class Sink:
    """Listens once made (`port` is known); `run` serves until `stop` is called.

    `directory` gets the log and the control files; it is added to, never emptied. `fsync` makes
    each round's notes durable before its answers. `without`: EHLO keywords that are not offered.
    """

    now = staticmethod(time.monotonic)

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        address: str = "127.0.0.1",
        fsync: bool = False,
        behaviour: str = "accept",
        without: tuple[str, ...] = (),
        seed: int = 7,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._fsync = fsync
        self._random = Random(seed)
        self._log = os.open(directory / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._lines: dict[socket.socket, Connection] = {}
        self._selector = selectors.DefaultSelector()
        self._chunk = memoryview(bytearray(1 << 18))
        self._running = True
        self._looked = 0.0
        self.notes: list[bytes] = []
        self.mails = self.messages = 0
        self.holding_back = False
        self.greeting = _greeting(without)
        (directory / WANTED).write_text(behaviour)
        self._behave_as(behaviour)
        self._listener = socket.create_server((address, port), backlog=1024)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.port: int = self._listener.getsockname()[1]

    def stop(self) -> None:
        self._running = False

    def chance(self, percent: float) -> bool:
        """True in that share of the calls."""
        return bool(percent) and self._random.random() * 100 < percent

    @staticmethod
    def each(every: float, number: int) -> bool:
        """Whether `number` is a multiple of `every`; never for 0."""
        return bool(every) and number % every == 0

    def run(self) -> None:
        while self._running:
            touched = [self._serve(key, events) for key, events in self._selector.select(self._patience())]
            touched += self._wake()
            self._write_notes()
            for line in touched:
                self._send(line)
            self._look()
        for line in list(self._lines):
            self._forget(line)
        self._listener.close()

    def _patience(self) -> float:
        """How long to wait for the next byte: until the control file is due or a held-back answer."""
        if not self.holding_back:
            return _LOOK_SECONDS
        asleep = [each.asleep_until for each in self._lines.values() if each.asleep_until]
        return max(0.0, min([_LOOK_SECONDS, *(until - self.now() for until in asleep)]))

    def _serve(self, key: selectors.SelectorKey, events: int) -> socket.socket:
        line = key.fileobj
        assert isinstance(line, socket.socket)
        if line is self._listener:
            return self._accept()
        if events & selectors.EVENT_READ:
            self._receive(line)
        return line

    def _accept(self) -> socket.socket:
        line, _ = self._listener.accept()
        line.setblocking(False)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines[line] = Connection(self)
        self._selector.register(line, selectors.EVENT_READ)
        return line

    def _receive(self, line: socket.socket) -> None:
        try:
            size = line.recv_into(self._chunk)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if size:
            self._lines[line].received(self._chunk[:size])
        else:
            self._forget(line)

    def _wake(self) -> list[socket.socket]:
        if not self.holding_back:
            return []
        due = [line for line, each in self._lines.items() if 0 < each.asleep_until <= self.now()]
        for line in due:
            self._lines[line].wake()
        self.holding_back = any(0 < each.asleep_until < inf for each in self._lines.values())
        return due

    def _write_notes(self) -> None:
        if not self.notes:
            return
        notes = b"".join(self.notes)
        self.notes.clear()
        if os.write(self._log, notes) != len(notes):
            raise OSError("the sink's log took less than all")
        if self._fsync:
            os.fdatasync(self._log)

    def _send(self, line: socket.socket) -> None:
        each = self._lines.get(line)
        if each is None:
            return
        try:
            if each.answers:
                del each.answers[: line.send(each.answers)]
        except BlockingIOError:
            pass
        except OSError:
            self._forget(line)
            return
        self._wait_for(line, selectors.EVENT_WRITE if each.answers else selectors.EVENT_READ)
        if each.end and not each.answers:
            self._end(line, each.end)

    def _wait_for(self, line: socket.socket, events: int) -> None:
        """A client that takes no answers is read no further."""
        if self._selector.get_key(line).events != events:
            self._selector.modify(line, events)

    def _end(self, line: socket.socket, end: str) -> None:
        if end == "cut":
            self._forget(line)
            return
        try:
            line.shutdown(socket.SHUT_WR)
        except OSError:
            self._forget(line)

    def _forget(self, line: socket.socket) -> None:
        if self._lines.pop(line, None):
            self._selector.unregister(line)
            line.close()

    def _look(self) -> None:
        """Take up the behaviour that the control file asks for."""
        if self.now() - self._looked >= _LOOK_SECONDS:
            self._looked = self.now()
            wanted = (self._directory / WANTED).read_text()
            if wanted != self._in_force:
                self._behave_as(wanted)

    def _behave_as(self, text: str) -> None:
        self.behaviour = Behaviour.parse(text)
        self._in_force = text
        (self._directory / IN_FORCE).write_text(text)


@contextmanager
def in_a_thread(directory: Path, behaviour: str = "accept", **options: Any) -> Iterator[Sink]:
    """A sink for one test, which ends with the block."""
    served = Sink(directory, behaviour=behaviour, **options)
    thread = threading.Thread(target=served.run)
    thread.start()
    try:
        yield served
    finally:
        served.stop()
        thread.join()


def _greeting(without: tuple[str, ...]) -> bytes:
    offered = ["PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"]
    kept = ["sink", *(each for each in offered if each.split()[0] not in without)]
    lines = [f"250-{each}\r\n" for each in kept[:-1]] + [f"250 {kept[-1]}\r\n"]
    return "".join(lines).encode()
