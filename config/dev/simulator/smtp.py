"""The simulator's SMTP side: one connection of a strict, pipelining server (RFC 5321, 2920).

It is stricter than most servers where a sender's mistake would show only in the field: a line
over 998 octets, a bare CR or LF, a parameter that it does not know or an address in UTF-8
without SMTPUTF8 are refused. Lines and bodies are bounded. (aiosmtpd was measured: it refuses
DSN's parameters, does not offer PIPELINING, and hides when a line drops.)
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from .store import Store
from .verdicts import BROKEN, RULE_OF, Personality, Rule, Verdict

_LINE_LIMIT = 2_048  # 512 and what SMTPUTF8, DSN and SIZE add (RFC 5321 section 4.5.3.1.4)
_RECIPIENT_LIMIT = 1_000
_LINGER_SECONDS = 1.0

_PATH = re.compile(r"(?P<path><[^<>\s\x00-\x1f\x7f]*>)(?P<parameters>(?: +[^ ]+)*) *", re.ASCII)
_XTEXT = r"[!-~]{1,500}"
_MAIL_PARAMETERS = {
    "SIZE": re.compile(r"\d{1,20}"),
    "BODY": re.compile(r"7BIT|8BITMIME", re.I),
    "SMTPUTF8": re.compile(r""),
    "RET": re.compile(r"FULL|HDRS", re.I),
    "ENVID": re.compile(_XTEXT),
}
_RECIPIENT_PARAMETERS = {
    "NOTIFY": re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*", re.I),
    "ORCPT": re.compile(r"[A-Za-z0-9-]+;" + _XTEXT),
}
_DSN_PARAMETERS = frozenset({"RET", "ENVID", "NOTIFY", "ORCPT"})
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.I | re.M)
_LONG_LINE = re.compile(rb"\n[^\n]{1000}")  # 998 and the CR that ends it (RFC 5321 4.5.3.1.6)


class _Refused(Exception):
    """A command's answer other than its good one."""


@dataclass(slots=True)
class _Recipient:
    address: str
    rule: Rule
    dsn: dict[str, str]


@dataclass(slots=True)
class _Transaction:
    sender: str
    parameters: dict[str, str]
    recipients: list[_Recipient] = field(default_factory=list)


class Session(asyncio.Protocol):
    """One client's connection. `sessions` is the server's set of the open ones."""

    def __init__(self, personality: Personality, store: Store, sessions: set["Session"], max_size: int) -> None:
        self._personality = personality
        self._store = store
        self._sessions = sessions
        self._max_size = max_size
        self._buffer = bytearray()
        self._replies: list[str] = []
        self._transaction: _Transaction | None = None
        self._greeted = False
        self._open = True
        self._in_body = False
        self._searched = 0
        self._too_big = False
        self._commands: dict[str, Callable[[str], str]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": lambda argument: "250 2.0.0 Ok",
            "VRFY": lambda argument: "252 2.0.0 Send a message and see",
            "QUIT": self._quit,
        }

    # The line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sessions.add(self)
        self._answer("220 simulator ESMTP")
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = False
        self._sessions.discard(self)

    def pause_writing(self) -> None:
        self._transport.pause_reading()  # a client that reads no answers is read no further

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if not self._open:
            return
        self._buffer += data
        while self._open and (self._read_body() if self._in_body else self._read_command()):
            pass
        self._flush()

    def stop(self) -> None:
        """Say 421 where an answer may stand, and hang up."""
        if self._open and not self._in_body:
            self._answer("421 4.3.2 The simulator stops")
            self._flush()
        self._open = False
        self._transport.close()

    def abort(self) -> None:
        """Cut the line, whatever was still to be sent."""
        self._transport.abort()

    def _answer(self, reply: str) -> None:
        self._replies.append(reply)

    def _flush(self) -> None:
        if self._replies:
            self._transport.write("".join(f"{reply}\r\n" for reply in self._replies).encode())
            self._replies.clear()

    def _drop(self) -> None:
        """Hang up without another word; what was answered before still leaves."""
        self._flush()
        self._open = False
        self._transport.close()

    def _hang_up(self) -> None:
        """Close behind a last answer. Unread input would make the kernel reset the line and
        take that answer with it, so the rest of a pipelined batch is read and forgotten."""
        self._flush()
        self._open = False
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._transport.close)

    # Commands

    def _read_command(self) -> bool:
        end = self._buffer.find(b"\n", 0, _LINE_LIMIT)
        if end < 0:
            if len(self._buffer) >= _LINE_LIMIT:
                self._answer("500 5.5.2 Line too long")
                self._hang_up()
            return False
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._command(line)
        return True

    def _command(self, line: bytes) -> None:
        try:
            reply = self._reply_to(line)
        except _Refused as refused:
            reply = str(refused)
        if reply and self._open:
            self._answer(reply)
            if reply[:3] in ("421", "221"):
                self._hang_up()

    def _reply_to(self, line: bytes) -> str:
        text = line[:-2]
        if not line.endswith(b"\r\n") or b"\r" in text or b"\0" in text:
            raise _Refused("500 5.5.2 A line ends with CR LF and holds neither")
        try:
            verb, _, argument = text.decode().partition(" ")
        except UnicodeDecodeError:
            raise _Refused("500 5.5.2 Not UTF-8") from None
        command = self._commands.get(verb.upper())
        if command is None:
            raise _Refused("500 5.5.1 Unknown command")
        return command(argument)

    def _ehlo(self, argument: str) -> str:
        self._helo(argument)
        return (
            "250-simulator\r\n250-PIPELINING\r\n"
            f"250-SIZE {self._max_size}\r\n"
            "250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES"
        )

    def _helo(self, argument: str) -> str:
        if not argument.strip():
            raise _Refused("501 5.5.4 Say who you are")
        self._greeted = True
        self._transaction = None
        return "250 simulator"

    def _mail(self, argument: str) -> str:
        if not self._greeted or self._transaction:
            raise _Refused("503 5.5.1 Not now")
        sender, parameters = _path(argument, "FROM:", _MAIL_PARAMETERS)
        if int(parameters.get("SIZE") or 0) > self._max_size:
            raise _Refused("552 5.3.4 Message too big")
        if sender and "@" not in sender:
            raise _Refused("553 5.1.7 Not a sender's address")
        _refuse_utf8(sender, parameters)
        self._transaction = _Transaction(sender, parameters)
        return "250 2.1.0 Ok"

    def _rcpt(self, argument: str) -> str:
        transaction = self._transaction
        if transaction is None:
            raise _Refused("503 5.5.1 MAIL first")
        address, parameters = _path(argument, "TO:", _RECIPIENT_PARAMETERS)
        if "@" not in address and address.lower() != "postmaster":
            raise _Refused("553 5.1.3 Not a recipient's address")
        _refuse_utf8(address, transaction.parameters)
        if len(transaction.recipients) >= _RECIPIENT_LIMIT:
            raise _Refused("452 4.5.3 Too many recipients")
        return self._judge(transaction, address, parameters)

    def _judge(self, transaction: _Transaction, address: str, parameters: dict[str, str]) -> str:
        verdict = self._personality.verdict(address, self._store.attempt(address))
        recipient = _Recipient(address, RULE_OF[verdict], _dsn(transaction.parameters, parameters))
        if recipient.rule.stage == "dot":
            transaction.recipients.append(recipient)
            return "250 2.1.5 Ok"
        self._record(transaction, recipient, recipient.rule)
        if not recipient.rule.reply:
            self._drop()
        return recipient.rule.reply

    def _data(self, argument: str) -> str:
        if self._transaction is None:
            raise _Refused("503 5.5.1 MAIL first")
        if not self._transaction.recipients:
            raise _Refused("554 5.5.1 No valid recipients")
        self._in_body, self._searched, self._too_big = True, 0, False
        return "354 End with a dot on a line of its own"

    def _rset(self, argument: str) -> str:
        self._transaction = None
        return "250 2.0.0 Ok"

    def _quit(self, argument: str) -> str:
        return "221 2.0.0 Bye"

    # The message

    def _read_body(self) -> bool:
        """Take the message once its end is there. The end may be the very first line, whose CR LF
        stands before the dot already: behind DATA."""
        buffer = self._buffer
        if self._searched == 0 and not self._too_big and buffer.startswith(b".\r\n"):
            end, after = 0, 3
        else:
            found = buffer.find(b"\r\n.\r\n", max(0, self._searched - 4))
            if found < 0:
                self._wait_for_more()
                return False
            end, after = found + 2, found + 5
        body = bytes(buffer[:end])
        del buffer[:after]
        self._in_body = False
        self._end_of_message(body)
        return True

    def _wait_for_more(self) -> None:
        if len(self._buffer) > self._max_size + 5:
            self._too_big = True
            del self._buffer[:-4]
        self._searched = len(self._buffer) if len(self._buffer) > 3 else 0

    def _end_of_message(self, body: bytes) -> None:
        transaction, self._transaction = self._transaction, None
        assert transaction
        try:
            message, rule = self._checked(body), _strongest(transaction.recipients)
        except _Refused as refused:
            message, rule = body, replace(BROKEN, reply=str(refused))
        try:
            self._conclude(transaction, rule, message)
        except OSError as error:
            self._answer(f"452 4.3.1 Cannot keep it: {error.strerror or error}")
        else:
            self._answer(rule.reply) if rule.reply else self._drop()

    def _checked(self, body: bytes) -> bytes:
        """The message without the dots that the client put before each line's own (RFC 5321
        section 4.5.2); refused when it breaks the format's bounds."""
        if self._too_big or len(body) > self._max_size:
            raise _Refused("552 5.3.4 Message too big")
        if not body.count(b"\r\n") == body.count(b"\n") == body.count(b"\r"):
            raise _Refused("554 5.6.0 Bare CR or LF in the message")
        lines = (b"\r\n" + body).replace(b"\r\n.", b"\r\n")
        if _LONG_LINE.search(lines):
            raise _Refused("554 5.6.0 Line over 998 octets in the message")
        return lines[2:]

    def _conclude(self, transaction: _Transaction, rule: Rule, message: bytes) -> None:
        found = _MESSAGE_ID.search(message, 0, max(0, message.find(b"\r\n\r\n")) or len(message))
        message_id = found[1].decode(errors="replace") if found else ""
        for recipient in transaction.recipients:
            self._record(transaction, recipient, rule, message, message_id)

    def _record(
        self,
        transaction: _Transaction,
        recipient: _Recipient,
        rule: Rule,
        message: bytes = b"",
        message_id: str = "",
    ) -> None:
        entry = self._store.record(
            sender=transaction.sender,
            recipient=recipient.address,
            verdict=rule.verdict,
            reply=rule.reply,
            dsn=recipient.dsn,
            message=message,
            message_id=message_id,
        )
        if rule.keeps:
            for hook in self._personality.after_acceptance:
                hook(entry, message)


def _path(argument: str, keyword: str, known: Mapping[str, re.Pattern[str]]) -> tuple[str, dict[str, str]]:
    """Address and ESMTP parameters (names in capitals) of MAIL's or RCPT's argument."""
    start = argument[: len(keyword)].upper()
    found = _PATH.fullmatch(argument[len(keyword) :].lstrip(" ")) if start == keyword else None
    if found is None:
        raise _Refused(f"501 5.5.4 {keyword}<address> is wanted")
    parameters = {}
    for word in found["parameters"].split():
        name, _, value = word.partition("=")
        if name.upper() not in known:
            raise _Refused("555 5.5.4 Unknown parameter")
        if not known[name.upper()].fullmatch(value):
            raise _Refused(f"501 5.5.4 Not a value of {name.upper()}")
        parameters[name.upper()] = value
    return found["path"][1:-1], parameters


def _refuse_utf8(address: str, mail_parameters: Mapping[str, str]) -> None:
    if not address.isascii() and "SMTPUTF8" not in mail_parameters:
        raise _Refused("553 5.6.7 An address in UTF-8 needs SMTPUTF8")


def _dsn(mail: Mapping[str, str], recipient: Mapping[str, str]) -> dict[str, str]:
    return {name: at for name, at in {**mail, **recipient}.items() if name in _DSN_PARAMETERS}


def _strongest(recipients: list[_Recipient]) -> Rule:
    """One answer stands for all recipients of a message: the first that isn't plain acceptance."""
    for recipient in recipients:
        if recipient.rule.verdict is not Verdict.ACCEPTED:
            return recipient.rule
    return RULE_OF[Verdict.ACCEPTED]
