"""One connection to the server: its login, then transactions with at most one body awaiting its final reply.

With PIPELINING a transaction's commands leave as one group (RFC 2920), and the next group rides behind the dot of the
body before it. Without, each command waits for its answer.
"""

from __future__ import annotations

import ssl
from collections.abc import Generator
from ipaddress import ip_address
from math import inf
from selectors import BaseSelector
from typing import Protocol

from .protocol import Answer, Endpoint, Features, Outcome, ProtocolError, Reply, ReplyReader, explain, outcome_of
from .session_setup import NOTHING, LoginFailed, Step, login
from .socket_channel import Address, Channel

RSET, MAIL, RCPT, DATA, FINAL, LONE_DOT = range(6)  # which answer a transaction awaits
STAGES = ("mail", "mail", "rcpt", "data", "final", "rcpt")


class Transaction:
    """One envelope on its way: which answer is awaited, and the refusal seen so far."""

    __slots__ = ("body", "commands", "hollow", "key", "last", "refusal", "stage")

    def __init__(self, key: int, body: bytes, commands: list[bytes], last: int) -> None:
        self.key = key
        self.body = body
        self.commands = commands  # what is not written yet, piece by piece
        self.last = last  # the last of the commands: DATA, or RCPT in a rehearsal
        self.stage = MAIL
        self.refusal: Reply | None = None
        self.hollow = False  # the recipient was refused: a message sent now would reach nobody


class Hub(Protocol):
    """What a connection needs of the transport that owns it."""

    endpoint: Endpoint
    now: float  # seconds of the monotonic clock at the start of this round

    def context(self) -> ssl.SSLContext:
        """The settings of TLS. Raises LoginFailed."""

    def take(self, features: Features) -> Transaction | None:
        """The next envelope for a server with these features."""

    def may_begin(self, key: int) -> bool:
        """Whether this key's body may leave now; if so, the intent is noted."""

    def report(self, reply: Reply) -> None:
        """This is the answer for an envelope."""

    def free(self, connection: Connection) -> None:
        """It can take an envelope."""

    def proved(self) -> None:
        """A connection gave its first orderly answer to an envelope."""

    def lost(self, connection: Connection, failure: LoginFailed | None) -> None:
        """It is closed; `failure` if it came to nothing."""


class Connection(Channel):
    """Give it envelopes with `begin`, its events with `handle`; call `expire` when its deadline has passed."""

    __slots__ = (
        "behind",
        "body_at",
        "deadline",
        "dirty",
        "dot_at",
        "features",
        "head",
        "hub",
        "latest",
        "proved",
        "reader",
        "script",
        "standing",
    )

    def __init__(self, hub: Hub, selector: BaseSelector, addresses: list[Address]) -> None:
        """Begin to connect to the first of `addresses` that answers. Raises OSError if no socket can be had."""
        self.hub = hub
        self.features = Features()
        self.reader = ReplyReader()
        self.latest: Answer = NOTHING  # the last answer of what was read last
        self.script: Generator[Step, Answer, Features] | None = None  # the login, as long as it lasts
        self.head: Transaction | None = None  # whose answer comes next
        self.behind: Transaction | None = None  # whose group rides behind the head's dot
        self.body_at = self.dot_at = 0  # values of `taken` before the head's body and after its dot
        self.dirty = False  # the server may hold a transaction open: RSET comes first
        self.standing = False  # the login is done
        self.proved = False  # it gave an orderly answer to an envelope
        self.deadline = hub.now + hub.endpoint.connect_timeout
        super().__init__(selector, addresses)

    # Login

    def opened(self) -> None:
        """TCP or TLS stands: go on with the login."""
        if self.script is None:
            self.script = login(self.hub.endpoint, loopback=ip_address(self.address[0].partition("%")[0]).is_loopback)
            self._log_in(None)
        else:
            self._log_in(NOTHING)

    def _log_in(self, answer: Answer | None) -> None:
        assert self.script is not None
        try:
            step = self.script.send(answer)  # type: ignore[arg-type]  # None starts a generator
            self._take_step(step)
        except StopIteration as done:
            self.features, self.script, self.standing = done.value, None, True
            self._rest()
        except LoginFailed as failure:
            self._end(failure.text, lasting=failure.lasting)

    def _take_step(self, step: Step) -> None:
        endpoint = self.hub.endpoint
        if step is not None:
            self.deadline = self.hub.now + endpoint.reply_timeout
            if step:
                self.write(step)
            return
        self.deadline = self.hub.now + endpoint.connect_timeout
        self.reader = ReplyReader()  # what came in clear behind the answer to STARTTLS is dropped (RFC 3207 §4.2)
        self.start_tls(self.hub.context(), endpoint.host)

    # Transactions

    def begin(self, transaction: Transaction) -> None:
        """Start with an envelope; the connection must be free."""
        self.head = transaction
        self.deadline = self.hub.now + self.hub.endpoint.reply_timeout
        commands = transaction.commands
        if self.dirty:
            self.dirty = False
            transaction.stage = RSET
            commands[:1] = [b"RSET\r\n" + commands[0]] if self.features.pipelining else [b"RSET\r\n", commands[0]]
        self.write(commands.pop(0))

    def received(self, data: bytes) -> None:
        """Go through the answers that are complete now."""
        reader = self.reader
        try:
            answers = reader.feed(data)
            if answers:
                self.latest = answers[-1]
                self.deadline = self.hub.now + self.hub.endpoint.reply_timeout
            for answer in answers:
                head = self.head
                if head is not None and head.stage < head.last and answer[0] < 300 and not head.commands:
                    head.stage += 1  # nearly always: the group is out, and all goes well
                    continue
                self._answered(answer)
                if self.closed or self.reader is not reader:
                    return
            if reader.error:
                raise reader.error
        except ProtocolError as error:
            self._end(str(error))

    def _answered(self, answer: Answer) -> None:
        head = self.head
        if self.script is not None:
            self._log_in(answer)
        elif head is None or answer[0] == 421:
            self._farewell(answer)
        elif head.stage < DATA:
            self._command_answered(head, answer)
        elif head.stage == DATA:
            self._data_answered(head, answer)
        elif head.stage == FINAL:
            self._final_answered(head, answer)
        else:
            self._finish(head)

    def _command_answered(self, head: Transaction, answer: Answer) -> None:
        """To RSET, MAIL or RCPT."""
        code = answer[0]
        if 300 <= code < 400 or (code >= 400 and head.stage == RSET):
            raise ProtocolError(f"The server answered {code} to a command.")
        if code >= 400:
            head.hollow |= head.stage == RCPT
            self._refused(head, answer)
            return
        if head.stage == head.last:
            head.refusal = head.refusal or Reply(head.key, Outcome.ACCEPTED, code, *explain(answer), "rcpt")
            self._finish(head)
            return
        head.stage += 1
        if head.commands:
            self.write(head.commands.pop(0))

    def _refused(self, head: Transaction, answer: Answer) -> None:
        """The first refusal counts; answers to the rest of the group are still to come."""
        code = answer[0]
        if head.refusal is None:
            head.refusal = Reply(head.key, outcome_of(code), code, *explain(answer), STAGES[head.stage])
        if head.commands or head.stage == head.last:
            self._finish(head)
        else:
            head.stage += 1

    def _data_answered(self, head: Transaction, answer: Answer) -> None:
        code = answer[0]
        if code == 354:
            if self.out or self.reader.rest or answer is not self.latest:
                raise ProtocolError("The server did not wait for the message.")  # its next answer would be taken for it
            if head.refusal is None:
                self._send_body(head)
            elif head.hollow:  # RFC 2920 §3.1: only a dot
                head.stage = LONE_DOT
                self.write(b".\r\n")
            else:  # a recipient stands though MAIL was refused: even a dot alone would reach them
                self._end("The server asked for the message of a sender that it had refused.")
        elif code >= 400:
            self._refused(head, answer)
        else:
            raise ProtocolError(f"The server answered {code} to DATA.")

    def _send_body(self, head: Transaction) -> None:
        """The body, its dot, and the next group behind it; the lease is asked and the intent noted just before."""
        behind = self.hub.take(self.features) if self.features.pipelining else None
        self.behind = behind
        if not self.hub.may_begin(head.key):
            self._end("The lease has ended.", fault=False)
            return
        head.stage = FINAL
        dot = b".\r\n" if head.body.endswith(b"\r\n") or not head.body else b"\r\n.\r\n"
        self.body_at = self.taken
        self.dot_at = self.body_at + len(head.body) + len(dot)
        if behind is None:
            self.write(head.body, dot)
        else:
            self.write(head.body, dot, behind.commands.pop(0))

    def _final_answered(self, head: Transaction, answer: Answer) -> None:
        code = answer[0]
        if 300 <= code < 400:
            raise ProtocolError(f"The server answered {code} to the message.")
        if self.taken < self.dot_at and code < 300:
            raise ProtocolError("The server accepted a message before its end.")
        outcome = Outcome.ACCEPTED if code < 300 else outcome_of(code)
        self._settle(head, Reply(head.key, outcome, code, *explain(answer), "final"))
        if self.taken < self.dot_at:  # what is left of the body would be taken for commands
            self.head = None
            self._end("The server refused a message before its end.")
        else:
            self._go_on()

    def _finish(self, head: Transaction) -> None:
        """A transaction without a body is over."""
        assert head.refusal is not None
        self.dirty = True
        self._settle(head, head.refusal)
        self._go_on()

    def _settle(self, head: Transaction, reply: Reply) -> None:
        if not self.proved:
            self.proved = True
            self.hub.proved()
        self.hub.report(reply)

    def _go_on(self) -> None:
        self.head, self.behind = self.behind, None
        if self.head is None:
            self._rest()

    def _rest(self) -> None:
        self.deadline = inf
        self.hub.free(self)

    # The end

    def quit(self) -> None:
        """Take leave; the connection must be free. It closes when the server has answered."""
        self.write(b"QUIT\r\n")

    def expire(self) -> None:
        """The deadline has passed."""
        if self.connecting:
            self.deadline = self.hub.now + self.hub.endpoint.connect_timeout
            self.try_next("no connection in time")
        else:
            self._end("The server did not answer in time.")

    def progressed(self) -> None:
        """The server reads on, if slowly."""
        self.deadline = self.hub.now + self.hub.endpoint.reply_timeout

    def broken(self, text: str, *, lasting: bool = False) -> None:
        """The socket is gone."""
        self._end(text, lasting=lasting)

    def _farewell(self, answer: Answer) -> None:
        """The server closes (421 at any time, RFC 5321 §3.8) or speaks unasked."""
        head, (enhanced, text) = self.head, explain(answer)
        if head is not None and self._touched(head):  # the answer to this body, and no acceptance
            self._settle(head, Reply(head.key, Outcome.TEMPORARY, 421, enhanced, text, "final"))
            self.head = None
        self._end(text, answer[0], enhanced)

    def _touched(self, head: Transaction) -> bool:
        """An octet of the body may have left: what TLS refused to take may be in the socket all the same."""
        return head.stage == FINAL and (self.secure or self.taken > self.body_at)

    def _end(self, text: str, code: int = 0, enhanced: str = "", *, lasting: bool = False, fault: bool = True) -> None:
        """Close, and say of each envelope under way what can be said."""
        failed = fault and not self.proved and (self.head is not None or not self.standing)
        self.close()
        if self.head is not None:
            self.hub.report(self._verdict(self.head, code, enhanced, text))
        if self.behind is not None:
            self.hub.report(Reply(self.behind.key, Outcome.RETURNED, code, enhanced, text, "mail"))
        self.head = self.behind = None
        self.hub.lost(self, LoginFailed(text, lasting=lasting) if failed else None)

    def _verdict(self, head: Transaction, code: int, enhanced: str, text: str) -> Reply:
        if head.refusal is not None:
            return head.refusal
        if not self._touched(head):
            stage = "body" if head.stage == FINAL else STAGES[head.stage]
            return Reply(head.key, Outcome.RETURNED, code, enhanced, text, stage)
        stage = "final" if self.taken >= self.dot_at else "body"
        return Reply(head.key, Outcome.IN_DOUBT, code, enhanced, text, stage)
