"""Sends envelopes over a few persistent connections to one mail server, and reports each answer. Decides nothing.

A pipelined event loop: at most one body per connection awaits its final reply, and the next envelope's commands ride
behind its dot (RFC 2920). What is said of an envelope whose connection fails depends on one thing alone: whether a
byte of its body may have left (in doubt) or not (returned).
"""

from __future__ import annotations

import selectors
import socket
import ssl
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TypeAlias

from .connection import DATA, RCPT, Connection, Transaction
from .protocol import (
    DsnRequest,
    Endpoint,
    Envelope,
    Features,
    NotNow,
    Outcome,
    Reply,
    body_refusal,
    commands,
    local_refusal,
    printable,
)
from .session_setup import LoginFailed
from .socket_channel import Address

__all__ = ["DsnRequest", "Endpoint", "Envelope", "Outcome", "Reply", "ServerUnavailable", "Transport"]

Source: TypeAlias = Callable[[], Envelope | None]
Tick: TypeAlias = Callable[[list[Reply]], bool]

BEAT = 0.1  # seconds between two ticks at most
PATIENCE = 32  # envelopes refused here in a row before the loop goes on: ticks must not wait
FAREWELL = 2.0  # seconds for the server to answer QUIT
LAST_CHANCE = 2.0  # seconds; after a longer delay the server counts as unavailable if there is no other connection
SLOWEST_REOPEN = 60.0
SLOWEST_RETRY = 300.0


class ServerUnavailable(Exception):
    """No connection can be had. `retry_after`: seconds; `lasting`: it will not heal by itself (settings, password)."""

    def __init__(self, text: str, retry_after: float, *, lasting: bool = False) -> None:
        super().__init__(text)
        self.text = text
        self.retry_after = retry_after
        self.lasting = lasting


class Transport:
    """Keeps up to `connections` connections to `endpoint`, between runs too; close() takes leave of the server.

    `body(key)` gives the message for the wire: CRLF lines, dot-stuffed, without the final dot. What it raises becomes
    that key's permanent reply, stage "build"; NotNow a temporary one. `may_send()` is asked right before
    `on_intent(key)`, and that is called before the body's first byte may leave; `on_accept(key)` at its 2xx. These four
    may be replaced between runs.
    With `rehearsal` each transaction ends after RCPT: nothing is delivered, no intent or acceptance is noted, and a
    recipient that the server would take is ACCEPTED at stage "rcpt".
    """

    def __init__(
        self,
        endpoint: Endpoint,
        connections: int,
        body: Callable[[int], bytes],
        on_intent: Callable[[int], None],
        on_accept: Callable[[int], None],
        *,
        may_send: Callable[[], bool] = lambda: True,
        rehearsal: bool = False,
    ) -> None:
        self.endpoint = endpoint
        self.body, self.on_intent, self.on_accept, self.may_send = body, on_intent, on_accept, may_send
        self.rehearsal = rehearsal
        self.now = monotonic()
        self._size = max(1, connections)
        self._selector = selectors.DefaultSelector()
        self._connections: set[Connection] = set()
        self._free: list[Connection] = []
        self._addresses: list[Address] = []
        self._tls: ssl.SSLContext | None = None
        self._waiting: deque[Envelope] = deque()  # taken for connections that are being opened
        self._source: Source = lambda: None
        self._stopping = self._dry = False  # dry: the source had nothing when last asked
        self._replies: list[Reply] = []
        self._failure: LoginFailed | None = None  # why there is no connection at all
        self._failed_runs = 0
        self._delay = self._reopen_at = self._expire_at = 0.0

    def run(self, next_envelope: Source, tick: Tick) -> None:
        """Send what `next_envelope` gives until it has nothing and all is answered.

        It may give None for now and more later: it is asked again while others are under way. `tick` gets the replies
        since the last call, at least every 100 ms, each key once; when it returns False no new envelope is begun.
        Raises ServerUnavailable, after the envelopes not begun were reported RETURNED. Whatever a callback raises
        comes through with all connections cut: what was under way is then known to the journal alone.
        """
        self._source, self._stopping, self._failure = next_envelope, False, None
        try:
            self._turn(0.0)  # idle connections that died meanwhile
            while self._fill():
                self._turn(0.0 if self._free and not self._dry else BEAT)
                self._tell(tick)
                if self._failure is not None:
                    self._give_up(self._failure, tick)
            self._drop_unready()
            self._tell(tick)
        except BaseException:
            self.abort()
            raise

    def close(self) -> None:
        """QUIT on each connection, wait up to two seconds for the answers, give up the sockets."""
        self._drop_unready()
        for connection in list(self._free):
            connection.quit()
        end = monotonic() + FAREWELL
        while self._connections and self.now < end:
            self._turn(BEAT)
        self.abort()
        self._selector.close()

    def abort(self) -> None:
        """Cut all connections without a word; nothing more is reported of what was under way."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._free.clear()
        self._waiting.clear()
        self._replies = []

    # The loop

    def _turn(self, timeout: float) -> None:
        """Wait for the network once."""
        events = self._selector.select(timeout)
        self.now = monotonic()
        for key, mask in events:
            if not key.data.closed:
                key.data.handle(mask)
        if self.now >= self._expire_at:
            self._expire_at = self.now + BEAT
            for connection in [c for c in self._connections if c.deadline < self.now]:
                connection.expire()

    def _fill(self) -> bool:
        """Give the free connections envelopes and open those that are missing; whether anything is under way."""
        if not self._free and len(self._connections) == self._size:
            return True
        self._dry = self._stopping
        while self._free and (transaction := self.take(self._free[-1].features)):
            self._free.pop().begin(transaction)
        while self._has_room() and self._wanted() and self._may_open():
            self._open()
        return bool(self._waiting) or not self._dry or any(c.head for c in self._connections)

    def _tell(self, tick: Tick) -> None:
        replies, self._replies = self._replies, []
        if not tick(replies) and not self._stopping:
            self._stop()

    def _stop(self) -> None:
        """Begin nothing more."""
        self._stopping = self._dry = True
        for envelope in self._waiting:
            self._replies.append(Reply(envelope.key, Outcome.RETURNED, 0, "", "Not begun.", "connect"))
        self._waiting.clear()
        self._drop_unready()

    def _give_up(self, failure: LoginFailed, tick: Tick) -> None:
        if self._stopping:
            return
        self._stop()
        self._tell(tick)
        retry_after = SLOWEST_RETRY if failure.lasting else min(SLOWEST_RETRY, 5.0 * 2**self._failed_runs)
        self._failed_runs = min(self._failed_runs + 1, 10)
        self._reopen_at = 0.0  # who comes back has waited
        raise ServerUnavailable(failure.text, retry_after, lasting=failure.lasting)

    # Opening

    def _has_room(self) -> bool:
        return not self._free and self._failure is None and len(self._connections) < self._size

    def _wanted(self) -> bool:
        """An envelope waits for the connection to be opened now."""
        opening = sum(not c.standing for c in self._connections)
        if len(self._waiting) <= opening and (envelope := self._ask()) is not None:
            self._waiting.append(envelope)
        return len(self._waiting) > opening

    def _may_open(self) -> bool:
        """While the server serves nobody, one at a time and ever more seldom."""
        return not self._delay or (self.now >= self._reopen_at and all(c.standing for c in self._connections))

    def _open(self) -> None:
        try:
            if not self._connections:  # a name is looked up only while nothing is under way: that blocks
                self._addresses = _resolve(self.endpoint)
            self._connections.add(Connection(self, self._selector, self._addresses))
        except OSError as error:
            self._missed(LoginFailed(f"{self.endpoint.host}: {error.strerror or error}"))

    def _missed(self, failure: LoginFailed, *, stood: bool = False) -> None:
        """A connection served nobody. If it stood, a message may be at fault: others get their chance."""
        if self.now >= self._reopen_at:
            self._delay = min(SLOWEST_REOPEN, max(1.0, self._delay * 2))
            self._reopen_at = self.now + self._delay
        if not self._connections and (not stood or self._delay > LAST_CHANCE):
            self._failure = failure

    def _drop_unready(self) -> None:
        for connection in [c for c in self._connections if not c.standing]:
            connection.close()
            self._connections.discard(connection)

    # What the connections ask and tell (smtp_connection.Hub)

    def context(self) -> ssl.SSLContext:
        """The settings of TLS, read once. Raises LoginFailed when the authorities' file cannot be read."""
        if self._tls is None:
            try:
                self._tls = ssl.create_default_context(cafile=self.endpoint.ca_file or None)
            except OSError as error:
                raise LoginFailed(f"{self.endpoint.ca_file}: {error.strerror or error}", lasting=True) from error
            if not self.endpoint.verify:
                self._tls.check_hostname = False
                self._tls.verify_mode = ssl.CERT_NONE
        return self._tls

    def take(self, features: Features) -> Transaction | None:
        """The next envelope that may go to a server with these features; those that may not are answered here."""
        for _ in range(PATIENCE):
            envelope = self._waiting.popleft() if self._waiting else self._ask()
            if envelope is None:
                break
            transaction = self._build(envelope, features)
            if transaction is not None:
                return transaction
            if monotonic() - self.now > BEAT:  # each may have taken long to be found wanting
                break
        return None

    def _ask(self) -> Envelope | None:
        envelope = None if self._stopping else self._source()
        self._dry = envelope is None
        return envelope

    def _build(self, envelope: Envelope, features: Features) -> Transaction | None:
        refusal = local_refusal(envelope, features)
        if refusal is None:
            try:
                body = self.body(envelope.key)
            except Exception as error:  # one recipient's message must not stop the others
                text = printable((str(error) or type(error).__name__).encode("utf-8", "replace"))
                outcome = Outcome.TEMPORARY if isinstance(error, NotNow) else Outcome.PERMANENT
                refusal = Reply(envelope.key, outcome, 0, "", text, "build")
            else:
                eightbit = not body.isascii()
                refusal = body_refusal(envelope.key, body, eightbit, features)
        if refusal is not None:
            self._replies.append(refusal)
            return None
        pieces = commands(envelope, len(body), eightbit, features, rehearsal=self.rehearsal)
        return Transaction(envelope.key, body, pieces, RCPT if self.rehearsal else DATA)

    def may_begin(self, key: int) -> bool:
        """Ask for the lease, then note the intent."""
        if not self.may_send():
            self._stop()
            return False
        self.on_intent(key)
        return True

    def report(self, reply: Reply) -> None:
        """Keep the reply for the next tick; an acceptance is noted at once."""
        if reply.outcome is Outcome.ACCEPTED and not self.rehearsal:
            self.on_accept(reply.key)
        self._replies.append(reply)

    def free(self, connection: Connection) -> None:
        """It can take an envelope."""
        self._free.append(connection)

    def proved(self) -> None:
        """The server serves: what it refused before counts no more."""
        self._delay = self._reopen_at = 0.0
        self._failed_runs = 0

    def lost(self, connection: Connection, failure: LoginFailed | None) -> None:
        """A connection is closed; `failure` if it served nobody."""
        self._connections.discard(connection)
        if connection in self._free:
            self._free.remove(connection)
        if failure is not None:
            self._missed(failure, stood=connection.standing)


def _resolve(endpoint: Endpoint) -> list[Address]:
    found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _type, _protocol, _name, address in found]
