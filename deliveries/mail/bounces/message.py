"""A mail as it came, opened leniently: headers, a flat list of parts, decoded text.

Reports come from programs that break MIME in every way (undeclared or wrong boundaries, missing blank
lines, false charsets), and from strangers. So the mail is read in one pass over its lines, without
recursion, and every size is capped: any bytes give a Mail, in time and memory linear in `limit`.
"""

import base64
import binascii
import email.utils
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import dropwhile, islice

from campaigns.content.html.entities import unescape

LIMIT = 10 * 1024 * 1024  # bytes of a mail that are read at all
MAX_LINES = 100_000
MAX_PARTS = 60
MAX_PART = 96 * 1024  # bytes kept of one part; a report says what it has to say in its first pages
MAX_HEADERS = 400
MAX_HEADER = 8 * 1024
MAX_BOUNDARIES = 40
MAX_PREAMBLE = 200

_HEADER = re.compile(rb"([!-9;-~]{1,80})[ \t]*:(.*)", re.DOTALL)
_PART_HEADER = re.compile(rb"(?i)content-[a-z-]{2,40}[ \t]*:")
_BOUNDARY = re.compile(r'(?i)boundary\s*+=\s*+(?:"([^"]{1,200})"|([^\s;"]{1,200}))')
_CHARSET = re.compile(r'(?i)charset\s*+=\s*+"?\s*+([\w.:-]{1,40})')
_WORD = re.compile(r"=\?([\w.:-]{1,40})(?:\*[\w-]{0,20})?\?([bBqQ])\?([^?\s]{0,2000})\?=(?:\s+(?==\?))?")
_TAG = re.compile(r"<(?:(/?)([a-zA-Z][a-zA-Z0-9]{0,20})(?=[\s/>])|!)[^<>]{0,4000}>")
_BLOCKS = frozenset(("br", "p", "div", "tr", "li", "td", "table", "hr", "h1", "h2", "h3", "pre", "ul", "body"))
_HIDDEN = frozenset(("style", "script", "head", "title"))
_JAPANESE = ("iso2022_jp", "cp932", "euc_jp")
# Only these are handed to Python: its registry also knows codecs that are slow or no charsets at all.
_SPELLINGS = {
    "utf-8": "utf8 utf uft8 unknown8bit unicode11utf8 utf8mb4",
    "utf-7": "utf7 unicode11utf7",
    "cp1252": "usascii ascii iso88591 latin1 windows1252 cp1252",
    "iso2022_jp_ext": "iso2022jp iso2022jpms cp50220 cp50221",
    "cp932": "shiftjis sjis xsjis cp932 windows31j mskanji",
    "gb18030": "gb2312 gbk gb18030 cp936",
    "euc_jp": "eucjp xeucjp",
    "euc_kr": "euckr ksc56011987",
    "big5": "big5",
    "koi8_r": "koi8r",
    "koi8_u": "koi8u",
    "iso2022_kr": "iso2022kr",
    "utf-16": "utf16",
    "utf-16-le": "utf16le",
    "utf-16-be": "utf16be",
}
_CODECS = {spelling: codec for codec, names in _SPELLINGS.items() for spelling in names.split()}
_CODECS |= {f"iso8859{n}": f"iso8859_{n}" for n in (2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16)}
_CODECS |= {f"windows125{n}": f"cp125{n}" for n in (0, 1, 3, 4, 5, 6, 7, 8)}


class Headers:
    """Header fields in their order; names without case, values unfolded and MIME words decoded."""

    def __init__(self, fields: list[tuple[str, str]] | None = None) -> None:
        self.fields = fields or []

    def get(self, name: str) -> str:
        """The first value of `name` (lower case), or ''."""
        return next((value for key, value in self.fields if key == name), "")

    def all(self, *names: str) -> list[str]:
        """Every value of the given names (lower case), in the order of the mail."""
        return [value for key, value in self.fields if key in names]

    def __bool__(self) -> bool:
        return bool(self.fields)


@dataclass
class Part:
    """One leaf of the mail. `returned` marks what belongs to the message that came back."""

    headers: Headers
    returned: bool = False
    body: bytearray = field(default_factory=bytearray)

    @property
    def content_type(self) -> str:
        """Lower-case `type/subtype`; text/plain where nothing is declared (RFC 2045 section 5.2)."""
        declared = self.headers.get("content-type").partition(";")[0].strip().lower()
        return declared if "/" in declared else "text/plain"

    def text(self) -> str:
        """The body with its transfer encoding and charset undone; newlines are `\\n`."""
        encoding = self.headers.get("content-transfer-encoding").strip().lower()
        raw = _undo_transfer(bytes(self.body), encoding)
        charset = _CHARSET.search(self.headers.get("content-type"))
        text = decode(raw, charset.group(1) if charset else "")
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
        return plain(text) if self.content_type == "text/html" else text


@dataclass(frozen=True)
class Mail:
    """The whole mail: its own headers and its leaves."""

    headers: Headers
    parts: list[Part]

    @property
    def report_type(self) -> str:
        """`report-type` of a multipart/report (RFC 6522), lower case, or ''."""
        found = re.search(r'(?i)report-type\s*+=\s*+"?([\w-]{1,60})', self.headers.get("content-type"))
        return found.group(1).lower() if found else ""


def open_mail(raw: bytes, limit: int = LIMIT) -> Mail:
    """Read one mail from `raw`, of which at most `limit` bytes count. Never raises."""
    rows = list(dropwhile(_is_before_header, islice(_lines(raw[:limit]), MAX_LINES)))
    headers, start = read_headers(rows, 0)
    return Mail(headers, _Splitter(headers).split(rows, start))


def _is_before_header(line: bytes) -> bool:
    return not line.strip() or line.startswith((b"From ", b">From "))


def read_headers(rows: list[bytes], start: int) -> tuple[Headers, int]:
    """Header fields from line `start` on, and the index of the first body line.

    A line that is no header ends the block too: some mailers forget the blank line."""
    fields: list[tuple[str, bytes]] = []
    index = start
    while index < len(rows):
        line = rows[index]
        if not line.strip():
            index += 1
            break
        if line[:1] in b" \t" and fields:
            name, value = fields[-1]
            if len(value) < MAX_HEADER:
                fields[-1] = (name, (value + b" " + line.strip())[:MAX_HEADER])
        elif match := _HEADER.match(line):
            fields.append((match.group(1).decode("ascii").lower(), match.group(2)[:MAX_HEADER].strip()))
        else:
            break
        index += 1
    return Headers([(name, _header_text(value)) for name, value in fields[:MAX_HEADERS]]), index


class _Splitter:
    """One pass over the lines of a body; see `open_mail`.

    `known` are the boundaries seen so far, `outer` those that end a returned message."""

    def __init__(self, headers: Headers) -> None:
        self.known: list[bytes] = []
        self.outer: list[bytes] = []
        self.parts = [Part(headers)]
        self.multipart = headers.get("content-type").lower().lstrip().startswith("multipart/")
        self._learn(headers)

    def split(self, rows: list[bytes], start: int) -> list[Part]:
        self._enter(self.parts[0])
        index = start
        while index < len(rows):
            token = self._delimiter(rows, index)
            index += 1
            if token is None:
                self._keep(rows[index - 1])
            elif len(self.parts) < MAX_PARTS:
                index = self._open(rows, index) if token else self._close(index)
        return self.parts

    def _delimiter(self, rows: list[bytes], index: int) -> bool | None:
        """None: an ordinary line; True: a part begins; False: a closing boundary."""
        line = rows[index].strip()
        if not line.startswith(b"--") or len(line) < 3:
            return None
        name = line[2:]
        names = self.outer or self.known
        if name in names or name[:-2] in names:
            self.outer = []
            return name in names
        if not self.outer and self._believable(rows, index + 1):
            self.known = [*self.known, name][-MAX_BOUNDARIES:]
            return True
        return None

    def _believable(self, rows: list[bytes], following: int) -> bool:
        """Whether an undeclared boundary is one: a part's header follows in a multipart, or it stands
        below the preamble of a mail that declares no type."""
        top = self.parts[0]
        if self.multipart:
            return following < len(rows) and bool(_PART_HEADER.match(rows[following]))
        first = len(self.parts) == 1 and len(top.body) < MAX_PREAMBLE
        return first and not top.headers.get("content-type") and b"MIME" in top.body

    def _open(self, rows: list[bytes], index: int) -> int:
        headers, body = read_headers(rows, index)
        part = Part(headers)
        if _is_message_head(headers):  # the returned message stands bare, without a part header
            part = Part(Headers([("content-type", "message/rfc822")]))
            body = index
        self.parts.append(part)
        self._learn(headers)
        self._enter(part)
        return body

    def _close(self, index: int) -> int:
        self.parts.append(Part(Headers([("content-type", "application/x-epilogue")])))
        return index

    def _enter(self, part: Part) -> None:
        if is_returned_type(part.content_type) and part is not self.parts[0]:
            part.returned = True
            self.outer = list(self.known)

    def _learn(self, headers: Headers) -> None:
        if match := _BOUNDARY.search(headers.get("content-type")):
            name = (match.group(1) or match.group(2)).strip().encode("utf-8", "replace")
            self.known = [*self.known, name][-MAX_BOUNDARIES:]

    def _keep(self, line: bytes) -> None:
        body = self.parts[-1].body
        if len(body) < MAX_PART:
            body += line[: MAX_PART - len(body)] + b"\n"


def is_returned_type(content_type: str) -> bool:
    """Whether a part of this type holds (headers of) the message that came back (RFC 6522, RFC 6533)."""
    return content_type.startswith(("message/rfc822", "text/rfc822", "message/partial", "message/global")) and (
        "delivery-status" not in content_type
    )


def _is_message_head(headers: Headers) -> bool:
    names = {name for name, _ in headers.fields}
    return "received" in names or "return-path" in names or {"from", "to", "subject"} <= names


def _lines(raw: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(raw):
        end = raw.find(b"\n", start)
        end = len(raw) if end < 0 else end
        yield raw[start:end].rstrip(b"\r")
        start = end + 1


def _undo_transfer(raw: bytes, encoding: str) -> bytes:
    if encoding == "quoted-printable":
        return quopri.decodestring(raw)
    if encoding == "base64":
        packed = re.sub(rb"[^A-Za-z0-9+/]", b"", raw)
        try:
            return base64.b64decode(packed[: len(packed) // 4 * 4] + _tail(packed))
        except (binascii.Error, ValueError):
            return raw
    return raw


def _tail(packed: bytes) -> bytes:
    """The last, incomplete group of base64 digits, padded; one lone digit carries no byte."""
    rest = packed[len(packed) // 4 * 4 :]
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""


def decode(raw: bytes, charset: str) -> str:
    """Text of `raw`: by its declared charset, else by the first of UTF-8 and the Japanese ones that fits."""
    declared = _CODECS.get(re.sub(r"[^a-z0-9]", "", charset.lower()), "")
    if declared in ("", "cp1252", "utf-8") and b"\x1b$" in raw:
        declared = "iso2022_jp_ext"
    attempts = [declared] if declared and declared != "cp1252" else []
    for codec in [*attempts, "utf-8", *(() if declared else _JAPANESE)]:
        try:
            return sound(raw.decode(codec))
        except UnicodeError:
            continue
    return sound(raw.decode(declared or "cp1252", "replace"))


def sound(text: str) -> str:
    """`text` without the half characters (lone surrogates) that UTF-7 and JSON can smuggle in."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _header_text(value: bytes) -> str:
    text = decode(value, "").replace("\x00", "").strip()
    return _WORD.sub(_decode_word, text) if "=?" in text else text


def _decode_word(match: re.Match[str]) -> str:
    charset, how, data = match.groups()
    if match.string[match.end() : match.end() + 1] == "@":
        return match.group(0)  # part of an address: not a word to be shown, but the name itself
    packed = data.encode("utf-8", "replace")
    how = "base64" if how in "bB" else "quoted-printable"
    return decode(_undo_transfer(packed.replace(b"_", b" ") if how[0] == "q" else packed, how), charset)


def plain(markup: str) -> str:
    """HTML as lines of text: enough to read a notice, nothing of it is shown to anybody."""
    pieces: list[str] = []
    position, hidden = 0, ""
    for tag in _TAG.finditer(markup):
        name = (tag.group(2) or "").lower()
        if not hidden:
            pieces.append(markup[position : tag.start()])
            pieces.append("\n" if name in _BLOCKS else "")
            hidden = name if name in _HIDDEN and not tag.group(1) else ""
        elif name == hidden and tag.group(1):
            hidden = ""
        position = tag.end()
    pieces.append("" if hidden else markup[position:])
    return unescape("".join(pieces)).replace("\xa0", " ")


def parse_date(value: str) -> datetime | None:
    """An aware datetime of an RFC 5322 date, or None; a date without a zone is taken as UTC."""
    try:
        moment = email.utils.parsedate_to_datetime(value[:100])
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
