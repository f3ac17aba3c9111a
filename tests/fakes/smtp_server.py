"""A scripted SMTP server on a real loopback socket: polite unless told otherwise, strict about the commands' order."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Rule = Any  # a reply without CRLF, None for silence, DROP, or a function (peer, line) -> one of these
DROP = "drop the connection"
DEFAULTS = {
    "GREETING": "220 mx.example.com ready",
    "HELO": "250 mx.example.com",
    "STARTTLS": "220 go on",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 End with a dot",
    "BODY": "250 2.0.0 Ok: queued as 4Y",
    "RSET": "250 2.0.0 Ok",
    "AUTH": "235 2.7.0 Welcome",
    "QUIT": "221 2.0.0 Bye",
}


class Server:
    """`says` maps a command ("GREETING" and "BODY" too) to its Rule; `offers` are the words of EHLO's answer."""

    def __init__(
        self,
        says: dict[str, Rule] | None = None,
        offers: tuple[str, ...] = ("PIPELINING",),
        *,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        at: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self.says, self.offers, self.tls, self.implicit = says or {}, offers, tls, implicit
        self.lines: list[str] = []  # all commands, of all connections
        self.messages: list[tuple[str, str, bytes]] = []  # sender, recipient, body
        self.peers: list[Peer] = []
        self.socket = socket.create_server(at)
        self.port: int = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer = Peer(self, self.socket.accept()[0])
                self.peers.append(peer)
                peer.start()

    def stop(self) -> None:
        """Close the door and all connections."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes accept
        self.socket.close()
        for peer in self.peers:
            peer.hang_up()


class Peer(threading.Thread):
    """One connection, seen from the server."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        super().__init__(daemon=True)
        self.server, self.sock, self.buffer = server, sock, b""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sender: str | None = None
        self.recipient: str | None = None
        self.number = len(server.peers)
        self.took = 0  # messages

    def run(self) -> None:
        with suppress(OSError, EOFError):
            if self.server.implicit:
                self.start_tls()
            self.answer("GREETING")
            while True:
                line = self.read_line()
                self.server.lines.append(line)
                self.obey(line)
        self.hang_up()

    def obey(self, line: str) -> None:
        verb = line.partition(" ")[0].upper()
        reply = self.answer(verb, line)
        if verb == "STARTTLS" and reply == DEFAULTS["STARTTLS"]:
            self.start_tls()
        elif verb == "RSET":
            self.sender = self.recipient = None
        elif verb == "DATA" and reply.startswith("354"):
            self.take_message()
        elif verb == "QUIT":
            raise EOFError

    def answer(self, verb: str, line: str = "") -> str:
        rule = self.server.says.get(verb, self.default(verb, line))
        if callable(rule):
            rule = rule(self, line)
        if rule == DROP:
            raise EOFError
        if rule is not None:
            self.say(rule)
            self.remember(verb, line, rule)
        return rule or ""

    def default(self, verb: str, line: str) -> str:
        if verb == "EHLO":
            words = ["mx.example.com", *self.server.offers]
            return "\r\n".join(f"250{' ' if w is words[-1] else '-'}{w}" for w in words)
        if verb == "MAIL" and self.sender is not None:
            return "503 5.5.1 nested MAIL"
        if (verb == "RCPT" and self.sender is None) or (verb == "DATA" and self.recipient is None):
            return "503 5.5.1 out of order"
        return DEFAULTS.get(verb, "500 5.5.2 unknown")

    def remember(self, verb: str, line: str, rule: str) -> None:
        if verb == "MAIL" and rule.startswith("2"):
            self.sender = line[line.index("<") + 1 : line.index(">")]
        if verb == "RCPT" and rule.startswith("2"):
            self.recipient = line[line.index("<") + 1 : line.index(">")]

    def take_message(self) -> None:
        body = self.read_until(b".\r\n") if self.peek(3) == b".\r\n" else self.read_until(b"\r\n.\r\n")
        self.server.messages.append((self.sender or "", self.recipient or "", body))
        self.took += 1
        self.answer("BODY", self.recipient or "")
        self.sender = self.recipient = None

    def say(self, text: str) -> None:
        self.sock.sendall(text.encode() + b"\r\n")

    def start_tls(self) -> None:
        assert self.server.tls is not None
        self.sock = self.server.tls.wrap_socket(self.sock, server_side=True)

    def peek(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._more()
        return self.buffer[:size]

    def read_line(self) -> str:
        return self.read_until(b"\r\n")[:-2].decode("utf-8", "surrogateescape")

    def read_until(self, mark: bytes) -> bytes:
        """What came up to and with `mark`."""
        start = 0
        while (found := self.buffer.find(mark, start)) < 0:
            start = max(0, len(self.buffer) - len(mark))
            self._more()
        cut = found + len(mark)
        taken, self.buffer = self.buffer[:cut], self.buffer[cut:]
        return taken

    def _more(self) -> None:
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError
        self.buffer += data

    def reset(self) -> None:
        """Tear the connection down without a farewell, so that the next write on the other side fails."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def hang_up(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def stall(peer: Peer, line: str) -> str:
    """A rule: say nothing and read nothing more."""
    threading.Event().wait(20)
    return DROP


def after(count: int, then: Rule, before: Rule) -> Callable[[Peer, str], Rule]:
    """A rule that is `before` for the first `count` times, `then` from there on; functions are called."""
    seen = 0

    def rule(peer: Peer, line: str) -> Rule:
        nonlocal seen
        seen += 1
        chosen = before if seen <= count else then
        return chosen(peer, line) if callable(chosen) else chosen

    return rule
