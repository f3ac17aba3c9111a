"""The SMTP language apart from any socket (RFC 5321): what is asked for, what is answered, how each is written.

Addresses and bodies are bytes throughout. A reply is parsed once, without regular expressions; every length that
the server chooses is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

Answer: TypeAlias = tuple[int, bytes]  # reply code; the lines' texts as they came, joined by LF

MAX_ADDRESS = 254  # octets; RFC 5321 §4.5.3.1.3 less the angle brackets
MAX_LINE = 2048  # octets of one reply line; RFC 5321 §4.5.3.1.5 asks for 512
MAX_REPLY_LINES = 128
MAX_TEXT = 1000  # characters of a reply's text that are kept


class Outcome(Enum):
    """What became of one envelope."""

    ACCEPTED = "accepted"
    TEMPORARY = "temporary"  # 4xx
    PERMANENT = "permanent"  # 5xx, or it cannot be sent at all
    IN_DOUBT = "in doubt"  # a byte of the body may have left, and no answer came
    RETURNED = "returned"  # no byte of the body left; it is simply due again


class DsnRequest(NamedTuple):
    """Asks the server to report success, delay and failure (RFC 3461); `envid` (≤ 100 octets in xtext) comes back."""

    envid: bytes


class Envelope(NamedTuple):
    """One message to one recipient; `sender` may be empty (the null reverse-path)."""

    key: int
    sender: bytes
    recipient: bytes
    dsn: DsnRequest | None = None


class Reply(NamedTuple):
    """The answer for one envelope.

    `code` and `enhanced` (RFC 3463, "" if none) are the server's; code is 0 where the server said nothing.
    `text` is at most 1,000 printable characters. `stage` says what was answered or where it ended: "connect", "mail",
    "rcpt", "data", "body" (the body was due or being written; the intent is noted), "final" (the whole body is out),
    or on our side "build" (body() raised) and "local" (the address or message cannot go to this server).
    """

    key: int
    outcome: Outcome
    code: int
    enhanced: str
    text: str
    stage: str


class NotNow(Exception):
    """body() raises it: the message is in order, and cannot be made at the moment."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The server and how to reach it.

    `verify` checks the certificate against the system's authorities, or those in `ca_file` alone. The password goes
    over TLS only, unless `plain_auth` allows it and the server is on a loopback address. Timeouts are in seconds:
    `connect_timeout` for TCP and TLS each, `reply_timeout` for each reply. Raises ValueError for what cannot be.
    """

    host: str
    port: int
    security: Literal["none", "starttls", "tls"] = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)
    helo: str = "localhost"
    verify: bool = True
    connect_timeout: float = 30.0
    reply_timeout: float = 300.0
    plain_auth: bool = False
    ca_file: str = ""

    def __post_init__(self) -> None:
        if self.security not in ("none", "starttls", "tls"):
            raise ValueError(f"security is {self.security!r}; it must be none, starttls or tls")
        if not self.helo.isascii() or not self.helo or _unsafe(self.helo.encode()):
            raise ValueError(f"helo is {self.helo!r}; it must be a plain host name")
        if not 0 < self.port < 65536 or min(self.connect_timeout, self.reply_timeout) <= 0:
            raise ValueError("the port must be 1 to 65535, the timeouts above 0")


class ProtocolError(Exception):
    """The server said something that is no SMTP, or not what may come now; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Features:
    """What EHLO offered. `size` is the greatest message in octets: None if not announced, 0 if announced without."""

    pipelining: bool = False
    size: int | None = None
    starttls: bool = False
    auth: frozenset[str] = frozenset()
    dsn: bool = False
    eightbit: bool = False
    utf8: bool = False


def parse_features(text: bytes) -> Features:
    """Read the answer to EHLO (RFC 5321 §4.1.1.1); the first line is the server's name. Unknown words are skipped."""
    offered: dict[str, list[str]] = {}
    for line in text.decode("ascii", "replace").split("\n")[1:]:
        word, *values = line.upper().replace("AUTH=", "AUTH ").split() or [""]
        offered.setdefault(word, []).extend(values)
    limit = next(iter(offered.get("SIZE", ())), "0")
    return Features(
        pipelining="PIPELINING" in offered,
        size=None if "SIZE" not in offered else int(limit) if limit.isdecimal() else 0,
        starttls="STARTTLS" in offered,
        auth=frozenset(offered.get("AUTH", ())),
        dsn="DSN" in offered,
        eightbit="8BITMIME" in offered,
        utf8="SMTPUTF8" in offered,
    )


_LAST_LINE = {b"%d%b" % (code, mark): code for code in range(200, 600) for mark in (b" ", b"\r", b"")}
_MORE_LINES = {b"%d-" % code for code in range(200, 600)}


class ReplyReader:
    """Cuts what arrives into answers, however it was split on the way.

    `error` is set, once, when the rest cannot be understood: no reply code, a line over 2,048 octets, a reply of more
    than 128 lines. The answers before it count. `rest` is the beginning of a line not complete yet.
    """

    __slots__ = ("_earlier", "error", "rest")

    def __init__(self) -> None:
        self.rest = b""
        self._earlier: list[bytes] = []
        self.error: ProtocolError | None = None

    def feed(self, data: bytes) -> list[Answer]:
        """The answers completed by `data`, in order."""
        lines = (self.rest + data if self.rest else data).split(b"\n")
        self.rest = lines.pop()
        answers: list[Answer] = []
        for line in lines:
            code = _LAST_LINE.get(line[:4])
            if code is None or len(line) > MAX_LINE or self._earlier:
                self._read_slowly(line, code, answers)
                if self.error:
                    return answers
            else:
                answers.append((code, line[4:]))
        if len(self.rest) > MAX_LINE:
            self._fail("a reply line without end", self.rest)
        return answers

    def _read_slowly(self, line: bytes, code: int | None, answers: list[Answer]) -> None:
        """The line belongs to a reply of several lines, or is wrong."""
        if len(line) > MAX_LINE:
            self._fail("a reply line too long", line)
        elif code is not None:
            answers.append((code, b"\n".join([*self._earlier, line[4:]])))
            self._earlier = []
        elif line[:4] not in _MORE_LINES:
            self._fail("no SMTP reply", line)
        elif len(self._earlier) >= MAX_REPLY_LINES:
            self._fail("a reply without end", line)
        else:
            self._earlier.append(line[4:])

    def _fail(self, what: str, line: bytes) -> None:
        self.error = ProtocolError(f"The server sent {what}: {printable(line[:80])}")
        self.rest = b""


def printable(raw: bytes) -> str:
    """`raw` as one line of text: whatever cannot be shown becomes a space."""
    text = raw.decode("utf-8", "replace").strip()
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text).strip()
    return text[:MAX_TEXT]


def explain(answer: Answer) -> tuple[str, str]:
    """(enhanced status code or "", text without it) of an answer (RFC 2034, RFC 3463)."""
    code, raw = answer
    words = raw.split(None, 1)
    enhanced = _enhanced(code // 100, words[0]) if words else ""
    if not enhanced:
        return "", printable(raw)
    rest = words[-1] if len(words) > 1 else b""
    if b"\n" in rest:
        rest = b" ".join(line.removeprefix(words[0]).strip() for line in rest.split(b"\n"))
    return enhanced, printable(rest)


@lru_cache(maxsize=256)
def _enhanced(kind: int, word: bytes) -> str:
    """`word` if it is an enhanced status code of this kind (2, 4, 5), else ""."""
    parts = word.split(b".")
    right = len(parts) == 3 and parts[0] == b"%d" % kind and all(p.isdigit() and len(p) <= 3 for p in parts)
    return word.decode() if right else ""


def outcome_of(code: int) -> Outcome:
    """The outcome that a refusal's code (4xx or 5xx) stands for."""
    return Outcome.TEMPORARY if code < 500 else Outcome.PERMANENT


_SAFE = bytes(c for c in range(256) if c > 32 and c not in b"<>\x7f")
_XTEXT_SAFE = bytes(c for c in range(33, 127) if c not in b"+=")


def _unsafe(address: bytes) -> bytes:
    return address.translate(None, _SAFE)


def address_problem(address: bytes, features: Features) -> str:
    """Why this address may not reach the wire of a server with these features; "" if it may."""
    if len(address) > MAX_ADDRESS:
        return f"The address has {len(address)} octets; {MAX_ADDRESS} are possible."
    if _unsafe(address):
        return "The address contains a space, an angle bracket or a control character."
    if address.isascii():
        return ""
    if not features.utf8:
        return "The address is not ASCII, and the server does not offer SMTPUTF8."
    return "" if _is_utf8(address) else "The address is not valid UTF-8."


def _is_utf8(address: bytes) -> bool:
    try:
        return bool(address.decode())
    except UnicodeDecodeError:
        return False


def local_refusal(envelope: Envelope, features: Features) -> Reply | None:
    """The permanent refusal of an envelope whose addresses cannot go to this server, else None."""
    _key, sender, recipient, _dsn = envelope
    both = sender + recipient
    if both.isascii() and not _unsafe(both) and len(sender) <= MAX_ADDRESS and 0 < len(recipient) <= MAX_ADDRESS:
        return None  # nearly always
    for address, enhanced in ((envelope.recipient, "5.1.3"), (envelope.sender, "5.1.7")):
        problem = address_problem(address, features)
        if problem:
            enhanced = enhanced if address.isascii() else "5.6.7"
            return Reply(envelope.key, Outcome.PERMANENT, 553, enhanced, problem, "local")
    if not envelope.recipient:
        return Reply(envelope.key, Outcome.PERMANENT, 553, "5.1.3", "The address is empty.", "local")
    return None


def body_refusal(key: int, body: bytes, eightbit: bool, features: Features) -> Reply | None:
    """The permanent refusal of a body that this server does not take (RFC 1870, RFC 6152), else None."""
    if features.size and len(body) > features.size:
        text = f"The message has {len(body)} octets; the server takes at most {features.size}."
        return Reply(key, Outcome.PERMANENT, 552, "5.3.4", text, "local")
    if eightbit and not features.eightbit:
        text = "The message has 8-bit characters, and the server does not offer 8BITMIME."
        return Reply(key, Outcome.PERMANENT, 554, "5.6.3", text, "local")
    return None


def xtext(raw: bytes) -> bytes:
    """Encode as RFC 3461 §4 wants it."""
    if not raw.translate(None, _XTEXT_SAFE):
        return raw
    return b"".join(b"%c" % c if c in _XTEXT_SAFE else b"+%02X" % c for c in raw)


def commands(
    envelope: Envelope, size: int, eightbit: bool, features: Features, *, rehearsal: bool = False
) -> list[bytes]:
    """What to write, piece by piece, up to DATA or in a rehearsal up to RCPT; with PIPELINING it is one piece.

    MAIL and RCPT carry the parameters that the server offers; `size` of the body in octets, `eightbit` if it is not
    ASCII. ORCPT stands for ASCII addresses only (RFC 6533 has another form for the rest).
    """
    _key, sender, recipient, dsn = envelope
    mail, rcpt = b"" if features.size is None else b" SIZE=%d" % size, b""
    if eightbit:
        mail += b" BODY=8BITMIME"
    if not (recipient.isascii() and sender.isascii()):
        mail += b" SMTPUTF8"
    if dsn and features.dsn:
        mail += b" RET=HDRS ENVID=%b" % xtext(dsn.envid)
        orcpt = b" ORCPT=rfc822;%b" % xtext(recipient) if recipient.isascii() else b""
        rcpt = b" NOTIFY=SUCCESS,DELAY,FAILURE%b" % orcpt
    data = b"" if rehearsal else b"DATA\r\n"
    group = b"MAIL FROM:<%b>%b\r\nRCPT TO:<%b>%b\r\n%b" % (sender, mail, recipient, rcpt, data)
    return [group] if features.pipelining else group.splitlines(keepends=True)
