"""The bytes of a message: compiled once for a delivery, filled for each recipient.

Constants are encoded (quoted-printable, RFC 2045 section 6.7) when compiling; filling encodes the recipient's values
and joins. Two rules make the pieces independent of each other, whatever a value holds:

- every piece begins and ends at the start of a line; where the text goes on, it ends in a soft line break (`=`);
- a dot at the start of a line is written `=2E`, so that dot-stuffing (RFC 5321 section 4.5.2) has nothing to do.

Header values lose their control characters, and whatever is not plain ASCII becomes encoded words (RFC 2047).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Protocol
from urllib.parse import quote

from liquid import escape

from campaigns.content.compile import PIXEL_IMAGE, Compiled, Part, one_line
from campaigns.content.fast_render import Choice, Constant, Field, Fields, Segment, Slot, SlotKind, Urls, Value
from campaigns.content.liquid.work import Meter
from campaigns.core.domains import BadAddress, ascii_address

_SOFT = b"=\r\n"


# --- quoted-printable ----------------------------------------------------------------------------------------------

_PLAIN_HTML = re.compile(r"(?!\.)[ !#$%(-;?-~]{1,73}")  # needs neither escaping nor encoding, and fits a line
_PLAIN_TEXT = re.compile(r"(?!\.)[ -<>-~]{1,73}")
_UNSAFE = re.compile(rb"[^\t\n !-<>-~]+")
_LINE_END_SPACE = re.compile(rb"[ \t](?=\n|\Z)")
# Lines get 73 characters, so that with a dot become =2E and the = of a soft break they have 76 at most. An escape is
# never cut: the piece may end neither in = nor in = and one digit.
_LONG = re.compile(rb"[^\n]{71,73}(?<!=)(?<!=[^\n])(?=[^\n])")


def encode(text: str) -> bytes:
    """Text in quoted-printable from the start of a line: LF becomes CRLF, lines have at most 76 characters."""
    data = _UNSAFE.sub(_hex, text.encode("utf-8", "replace"))
    data = _LINE_END_SPACE.sub(_hex, data)
    data = _dots(_LONG.sub(rb"\g<0>=\n", data))
    return data.replace(b"\n", b"\r\n")


def _hex(match: re.Match[bytes]) -> bytes:
    return b"=" + match.group().hex("=").upper().encode()


def _dots(data: bytes) -> bytes:
    data = data.replace(b"\n.", b"\n=2E")
    return b"=2E" + data[1:] if data.startswith(b".") else data


def piece(text: str) -> bytes:
    """Encoded text that leaves off at the start of a line, whatever follows it."""
    data = encode(text)
    return data if data[-1:] in (b"", b"\n") else data + _SOFT


@lru_cache(maxsize=4096)
def _remembered(text: str) -> bytes:
    return piece(text)


def short_piece(text: str) -> bytes:
    """`piece` for values, many of which (names, cities) come again and again."""
    return _remembered(text) if len(text) < 80 else piece(text)


# --- headers -------------------------------------------------------------------------------------------------------

_PLAIN_WORDS = re.compile(r"(?!.*=\?)[ -~]*")
_MESSAGE_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9_.-]+")
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")
_SAFE_URL = re.compile(r"[!#-;=?-\[\]_a-z~]+")


def words(text: str, room: int) -> str:
    """A header's text: as it is if it is plain ASCII of at most `room` characters, else encoded words, folded.

    Encoded words (RFC 2047 section 2) may have 75 characters; splitting between characters, not bytes (section 5).
    """
    if len(text) <= room and _PLAIN_WORDS.fullmatch(text):
        return text
    return "\r\n ".join(_encoded_words(text))


@lru_cache(maxsize=4096)
def _encoded_words(text: str) -> tuple[str, ...]:
    chunks, chunk = [], b""
    for character in text:
        code = character.encode()
        if len(chunk) + len(code) > 39:  # 52 characters in base64 and 12 around: fits behind the longest header name
            chunks.append(chunk)
            chunk = b""
        chunk += code
    return tuple(f"=?utf-8?B?{b64encode(chunk).decode()}?=" for chunk in [*chunks, chunk])


def smtp_address(address: str) -> str:
    """The address as plain SMTP carries it, its domain in ASCII. Raises BadAddress: no address, or a local part that
    needs SMTPUTF8."""
    if not _LOCAL_PART.fullmatch(address.rpartition("@")[0]):
        raise BadAddress(f"{address!r} is no address that plain SMTP can carry")
    return ascii_address(address)


def mailbox(name: str, address: str) -> str:
    """A From, To or Reply-To value: `"Name" <address>`, quoted (RFC 5322 section 3.2.4) or in encoded words.

    In: the address as `smtp_address` writes it.
    """
    name = one_line(name)
    if not name:
        return address
    phrase = words(name, 50)
    if phrase == name:
        phrase = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    gap = " " if len(phrase) + len(address) < 64 else "\r\n "
    return f"{phrase}{gap}<{address}>"


@lru_cache(maxsize=4)
def _date(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC))


def _header_url(url: str) -> str:
    return url if _SAFE_URL.fullmatch(url) else quote(url, safe="%/:?#[]@!$&'*+,;=~-._", errors="replace")


# --- body ----------------------------------------------------------------------------------------------------------


class Signed(Urls, Protocol):
    """A recipient's addresses, and the tokens that those differ by."""

    @property
    def tokens(self) -> Any:
        """An attribute for each kind of slot: letters and digits, as many for each recipient."""


class Around(Protocol):
    """What stands before and after the token in the addresses of a delivery."""

    sample: str  # a token

    def __call__(self, kind: SlotKind, index: int) -> tuple[str, str] | None:
        """Of this slot; None where the address does not consist of these three."""


_Make = Callable[[Fields, Signed, Meter], bytes]


class _Program:
    """Segments as bytes: constants encoded, who makes the piece at each other place, and where the token stands."""

    def __init__(self, part: Part, segments: Iterable[Segment], around: Around | None) -> None:
        self.part, self.around = part, around
        self.plain = _PLAIN_HTML if part.is_html else _PLAIN_TEXT
        self.pieces: list[bytes] = []
        self.makers: list[tuple[int, _Make]] = []
        places: dict[SlotKind, list[int]] = {}
        constant, behind = "", b""  # what comes next: `behind` the last token, and text not encoded yet
        for segment in segments:
            if isinstance(segment, Constant):
                constant += segment.text
                continue
            before, after = self.address(segment) or (b"", b"")
            self.pieces += [behind + piece(constant) + before, b""]
            if after and isinstance(segment, Slot):
                places.setdefault(segment.kind, []).append(len(self.pieces) - 1)
            else:
                self.makers.append((len(self.pieces) - 1, self.maker(segment)))
            constant, behind = "", after
        self.pieces.append(behind + piece(constant))
        self.tokens = [(attrgetter(kind), found) for kind, found in places.items()]

    def fill(self, fields: Fields, urls: Signed, meter: Meter) -> list[bytes]:
        pieces = self.pieces.copy()
        for place, make in self.makers:
            pieces[place] = make(fields, urls, meter)
        if self.tokens:
            tokens = urls.tokens
            for of_kind, places in self.tokens:
                token = of_kind(tokens).encode()
                for place in places:
                    pieces[place] = token
        return pieces

    def address(self, segment: Segment) -> tuple[bytes, bytes] | None:
        """What stands before and after the token, if the segment is an address with one that needs no encoding."""
        if not isinstance(segment, Slot) or self.around is None:
            return None
        found = self.around(segment.kind, segment.index)
        if found is None or not self.plain.fullmatch(self.around.sample.join(found)):
            return None
        before, after = found[0].encode(), found[1].encode() + _SOFT
        if segment.kind == "pixel":
            return piece(PIXEL_IMAGE[0]) + before, after + piece(PIXEL_IMAGE[1])
        return before, after

    def maker(self, segment: Field | Value | Slot | Choice) -> _Make:
        if isinstance(segment, Choice):
            return self.choice(segment)
        if isinstance(segment, Field):
            return self.field(segment)
        if isinstance(segment, Slot):
            return self.slot(segment)
        text, plain = segment.text, _PLAIN_TEXT.fullmatch  # escaped already

        def make(fields: Fields, urls: Signed, meter: Meter) -> bytes:
            value = text(fields, meter)
            return value.encode() + _SOFT if plain(value) else short_piece(value)

        return make

    def field(self, field: Field) -> _Make:
        key, plain = field.key, self.plain.fullmatch

        def make(fields: Fields, urls: Signed, meter: Meter) -> bytes:
            value = fields.get(key) or ""
            return value.encode() + _SOFT if plain(value) else short_piece(field.text(fields, meter))

        return make

    def slot(self, slot: Slot) -> _Make:
        plain, is_html = self.plain.fullmatch, self.part.is_html
        before, after = map(piece, PIXEL_IMAGE)

        def address(url: str) -> bytes:
            return url.encode() + _SOFT if plain(url) else short_piece(str(escape(url)) if is_html else url)

        if slot.kind == "link":
            return lambda fields, urls, meter: address(urls.link(slot.index))
        if slot.kind == "pixel":
            return lambda fields, urls, meter: before + address(urls.pixel_url) + after if urls.pixel_url else b""
        if slot.kind == "optout":
            return lambda fields, urls, meter: address(urls.optout_url)
        return lambda fields, urls, meter: address(urls.mirror_url)

    def choice(self, choice: Choice) -> _Make:
        arms = [_Program(self.part, arm, self.around) for arm in choice.arms]

        def make(fields: Fields, urls: Signed, meter: Meter) -> bytes:
            pieces: list[bytes] = []
            for number in choice.pick(fields, meter):
                pieces += arms[number].fill(fields, urls, meter)
            return b"".join(pieces)

        return make


def _body(part: Part, around: Around | None) -> Callable[[Fields, Signed, Meter], list[bytes]]:
    """How to make a part's lines. Raises RenderError when it is called, as Part.render does."""
    if part.segments is None or part.is_open:
        return lambda fields, urls, meter: [piece(part.render(fields, urls, meter))]
    program = _Program(part, [*part.segments, Constant(part.tail)], around)

    def make(fields: Fields, urls: Signed, meter: Meter) -> list[bytes]:
        try:
            return program.fill(fields, urls, meter)
        except Exception as error:  # as in Part.render
            raise part.failure(error) from error

    return make


# --- the message ---------------------------------------------------------------------------------------------------

_ENCODING = "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
_TEXT = f"Content-Type: text/plain; charset=utf-8\r\n{_ENCODING}"
_HTML = f"Content-Type: text/html; charset=utf-8\r\n{_ENCODING}"


class Template:
    """A message compiled for a delivery; make it with compile_mime. Fills one message at a time."""

    def __init__(self, compiled: Compiled, constant_headers: str, boundary: str, around: Around | None) -> None:
        self.needs_liquid = compiled.needs_liquid
        self.fields, self._weight = compiled.fields, compiled.weight
        self._meter = Meter(compiled.weight)
        self._subject = compiled.subject
        self._text, self._html = _body(compiled.text, around), _body(compiled.html, around)
        self._headers = constant_headers
        multipart = f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n\r\n'
        self._start = f"{multipart}--{boundary}\r\n{_TEXT}"
        self._middle = f"\r\n--{boundary}\r\n{_HTML}".encode()
        self._end = f"\r\n--{boundary}--\r\n".encode()

    def fill(
        self,
        fields: Fields,
        *,
        message_id: str,
        to_address: str,
        to_name: str = "",
        urls: Signed,
        date: int,
        optout_mailto: str = "",
        text_only: bool = False,
    ) -> bytes:
        """The message for one recipient, ready for the wire: CRLF, no line that starts with a dot, no final dot.

        In: {field: text}, at least those of `self.fields` (missing ones are empty); Message-ID without the angles;
        the recipient's mailbox from `smtp_address`; their links (an empty optout_url leaves the List-Unsubscribe
        headers out); seconds since 1970; an address for List-Unsubscribe by mail; `text_only` for profiles that want
        no HTML. Raises RenderError: this recipient cannot be served, others can; PutOff: not now. ValueError: a bad
        Message-ID.
        """
        if not _MESSAGE_ID.fullmatch(message_id):
            raise ValueError(f"{message_id!r} is no Message-ID")
        meter = self._meter
        if meter.spent != self._weight:  # most messages charge nothing but what they weigh
            meter = self._meter = Meter(self._weight)
        subject = one_line(self._subject.render(fields, urls, meter))
        head = (
            f"Date: {_date(date)}\r\nMessage-ID: <{message_id}>\r\nTo: {mailbox(to_name, to_address)}\r\n"
            f"Subject: {words(subject, 67)}\r\n{_unsubscribe(urls.optout_url, optout_mailto)}{self._headers}"
        )
        if text_only:
            return b"".join([(head + _TEXT).encode("ascii"), *self._text(fields, urls, meter)])
        text, html = self._text(fields, urls, meter), self._html(fields, urls, meter)
        return b"".join([(head + self._start).encode("ascii"), *text, self._middle, *html, self._end])


def _unsubscribe(url: str, mailto: str) -> str:
    """RFC 2369 section 3.2, and RFC 8058 for one click, which needs https."""
    if not url:
        return ""
    by_mail = f",\r\n <{_header_url(f'mailto:{mailto}?subject=unsubscribe')}>" if mailto else ""
    one_click = "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" if url.startswith("https://") else ""
    return f"List-Unsubscribe: <{_header_url(url)}>{by_mail}\r\n{one_click}"


def compile_mime(
    compiled: Compiled,
    *,
    sender: str,
    sender_name: str = "",
    reply_to: str = "",
    delivery_code: str,
    feedback_id: str = "",
    proof: str = "",
    around: Around | None = None,
) -> Template:
    """Compile a content for one delivery.

    In: the sender's and the reply-to addresses; the delivery's code, like DM95, which goes into X-Delivery so that
    bounces can be told apart; `feedback_id` for Feedback-ID (`campaign:customer:kind:sender`), by which Gmail groups
    complaints; `proof` for X-Proof, which marks a proof whatever its subject says; `around` the tokens of the addresses
    that fill() gets, which saves encoding each. Raises BadAddress.
    """
    headers = [f"From: {mailbox(sender_name, smtp_address(sender))}", "MIME-Version: 1.0"]
    headers += [f"Reply-To: {smtp_address(reply_to)}"] if reply_to else []
    headers += [f"Feedback-ID: {words(one_line(feedback_id), 60)}"] if feedback_id else []
    headers += [f"X-Proof: {words(one_line(proof), 60)}"] if proof else []
    headers += [f"X-Delivery: {words(one_line(delivery_code), 60)}"]
    digest = blake2b(f"{delivery_code}\n{compiled.source}".encode("utf-8", "replace"), digest_size=12).hexdigest()
    # Quoted-printable never puts _ behind =, so no content can hold the boundary.
    return Template(compiled, "".join(f"{header}\r\n" for header in headers), f"=_{digest}", around)
