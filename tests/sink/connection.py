"""One client's line at the sink: bytes in, answers and notes out; it touches no socket."""

from __future__ import annotations

import re
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .server import Sink

_LINE_LIMIT = 65_536
_MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.I | re.M)
_TO = re.compile(rb"^to:((?:[^\r]|\r\n[ \t])*)", re.I | re.M)
_NONSENSE = (
    b"\xff\xfe\x00 hello\r\n",
    b"999 9.9.9 No such code\r\n",
    b"2x0 OK\r\n",
    b"\r\n",
    b"25\r\n",
    b"220 I greet you\r\n",
    b"354 Go on\r\n",
    b"250" + b"x" * 200_000 + b"\r\n",
    b"250-and\r\n550 so\r\n",
)


class Connection:
    """Feed it with `received`; then `answers` may leave once the sink's notes are written.

    `end` tells what follows the answers: "" nothing, "half" no more answers but the client's EOF is
    awaited, "cut" the line closes at once. `asleep_until` is a monotonic time or 0.
    """

    __slots__ = ("_body", "_buffer", "_late", "_recipients", "_searched", "_sink", "answers", "asleep_until", "end")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._body = False
        self._searched = 0
        self._recipients: list[bytes] = []
        self._late = b""
        self.answers = bytearray()
        self.asleep_until = 0.0
        self.end = ""
        if sink.behaviour.storm == 1:
            self._close(b"421 4.3.2 Storm\r\n", "half")
        else:
            self.answers += b"220 sink ESMTP\r\n"

    def received(self, data: memoryview) -> None:
        if not self.end:
            self._buffer += data
            self._parse()

    def wake(self) -> None:
        """Give the answer that was held back, and go on."""
        self.asleep_until = 0.0
        self.answers += self._late
        self._parse()

    def _parse(self) -> None:
        while not (self.end or self.asleep_until) and (self._read_body() if self._body else self._read_line()):
            pass

    def _close(self, answer: bytes, end: str) -> None:
        self.answers += answer
        self.end = end

    def _read_line(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > _LINE_LIMIT:
                self._close(b"500 5.5.2 Line too long\r\n", "half")
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._command(line)
        return True

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if self._sink.behaviour.storm == 1:
            self._close(b"421 4.3.2 Storm\r\n", "half")
        elif verb == b"RCPT":
            self._rcpt(line)
        elif verb == b"MAIL":
            self._mail()
        elif verb == b"DATA":
            self._data()
        elif verb == b"EHLO":
            self.answers += self._sink.greeting
        elif verb in (b"HELO", b"RSET", b"NOOP"):
            self._recipients.clear()
            self.answers += b"250 2.0.0 Ok\r\n"
        elif verb == b"QUIT":
            self._close(b"221 2.0.0 Bye\r\n", "half")
        else:
            self.answers += b"500 5.5.1 Unknown command\r\n"

    def _mail(self) -> None:
        self._sink.mails += 1
        self._recipients.clear()
        if self._sink.each(self._sink.behaviour.storm, self._sink.mails):
            self._close(b"421 4.3.2 Storm\r\n", "half")
        else:
            self.answers += b"250 2.1.0 Ok\r\n"

    def _rcpt(self, line: bytes) -> None:
        behaviour, chance = self._sink.behaviour, self._sink.chance
        if chance(behaviour.temporary):
            self.answers += b"451 4.3.0 Try later\r\n"
        elif chance(behaviour.full):
            self.answers += b"452 4.3.1 Insufficient system storage\r\n"
        elif chance(behaviour.refuse):
            self.answers += b"550 5.1.1 No such mailbox\r\n"
        else:
            self._recipients.append(line[line.find(b"<") + 1 : line.find(b">")])
            self.answers += b"250 2.1.5 Ok\r\n"

    def _data(self) -> None:
        if self._recipients:
            self._body = True
            self._searched = 0
            self.answers += b"354 Go on\r\n"
        else:
            self.answers += b"554 5.5.1 No valid recipients\r\n"

    def _read_body(self) -> bool:
        buffer = self._buffer
        if buffer.startswith(b".\r\n"):
            end = -2  # the CR LF before the dot is the one behind DATA
        else:
            end = buffer.find(b"\r\n.\r\n", self._searched)
            if end < 0:
                self._searched = max(0, len(buffer) - 4)
                return False
        self._body = False
        empty_line = buffer.find(b"\r\n\r\n", 0, max(0, end))
        head = bytes(buffer[: max(0, end) if empty_line < 0 else empty_line + 2])
        del buffer[: end + 5]
        self._end_of_message(head)
        return True

    def _end_of_message(self, head: bytes) -> None:
        sink, behaviour = self._sink, self._sink.behaviour
        sink.messages += 1
        number = sink.messages
        if sink.chance(behaviour.temporary_dot):
            self.answers += b"451 4.3.0 Try later\r\n"
        elif sink.chance(behaviour.refuse_dot):
            self.answers += b"554 5.7.1 Refused\r\n"
        elif sink.each(behaviour.lose, number):
            self.end = "cut"
        else:
            self._note(head)
            self._answer(number)
        self._recipients.clear()

    def _answer(self, number: int) -> None:
        sink, behaviour = self._sink, self._sink.behaviour
        if sink.each(behaviour.drop_before, number):
            self.end = "cut"
        elif sink.each(behaviour.hang, number):
            self.asleep_until = inf
        elif sink.each(behaviour.nonsense, number):
            self.answers += _NONSENSE[number // behaviour.nonsense % len(_NONSENSE)]
        elif sink.each(behaviour.drop_after, number):
            self._close(b"250 2.0.0 Noted\r\n", "half")
        elif behaviour.slow:
            self.asleep_until = sink.now() + behaviour.slow / 1000
            sink.holding_back = True
            self._late = b"250 2.0.0 Noted\r\n"
        else:
            self.answers += b"250 2.0.0 Noted\r\n"

    def _note(self, head: bytes) -> None:
        """Message-ID, envelope's recipient and the To header's address, by tabs, a line each."""
        message_id, to = _message_id(head), _to(head)
        for recipient in self._recipients:
            self._sink.notes.append(b"%s\t%s\t%s\n" % (message_id, recipient, to))


def _message_id(head: bytes) -> bytes:
    begin = head.find(b"\r\nMessage-ID: <")
    if begin >= 0:  # the usual spelling, found ten times faster
        return head[begin + 14 : head.find(b">", begin) + 1]
    found = _MESSAGE_ID.search(head)
    return found[1] if found else b"-"


def _to(head: bytes) -> bytes:
    begin = head.find(b"\r\nTo: ")
    end = head.find(b"\r\n", begin + 2)
    if begin >= 0 and head[end + 2 : end + 3] not in (b" ", b"\t"):
        value = head[begin + 6 : end]
    else:
        found = _TO.search(head)
        value = found[1] if found else b"-"
    return value[value.rfind(b"<") + 1 :].strip().rstrip(b">").replace(b"\t", b" ")
