"""Read a kept message for showing: headers, text, HTML, links, attachments.

Whatever comes must show, so the forgiving side of `email` is used: a wrong charset or a broken
header gives replacement characters, never an error.
"""

from dataclasses import dataclass
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from html.parser import HTMLParser
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Mail:
    """`headers` in their order, decoded; `text` and `html` are None when there is no such part;
    `links` are (label, http or https address); `files` are (name, type, bytes)."""

    headers: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    links: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str, int], ...]

    def header(self, name: str) -> str:
        """The first header of that name, letter case aside; empty when there is none."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), "")


def read(raw: bytes) -> Mail:
    """The message of `raw` (RFC 5322, any line ends)."""
    message = message_from_bytes(raw)
    leaves = [part for part in message.walk() if not part.is_multipart()]
    shown = [part for part in leaves if part.get_content_disposition() != "attachment"]
    html = _first(shown, "text/html")
    return Mail(
        headers=tuple((name, _decoded(value)) for name, value in message.items()),
        text=_first(shown, "text/plain"),
        html=html,
        links=_links(html or ""),
        files=tuple(_file(part) for part in leaves if part not in shown),
    )


def _decoded(value: object) -> str:
    text = str(value)
    try:
        decoded = str(make_header(decode_header(text)))
    except (ValueError, LookupError):
        decoded = text
    return " ".join(decoded.split())


def _first(parts: list[Message], kind: str) -> str | None:
    return next((_content(part) for part in parts if part.get_content_type() == kind), None)


def _content(part: Message) -> str:
    payload = _payload(part)
    try:
        return payload.decode(str(part.get_content_charset("utf-8")), "replace")
    except LookupError:
        return payload.decode("utf-8", "replace")


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _file(part: Message) -> tuple[str, str, int]:
    name = _decoded(part.get_filename() or "without a name")
    return name, part.get_content_type(), len(_payload(part))


def _links(html: str) -> tuple[tuple[str, str], ...]:
    parser = _Links()
    parser.feed(html)
    parser.close()
    return tuple((" ".join(label.split()) or address, address) for address, label in parser.found)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            return
        address = (dict(attrs).get("href") or "").strip()
        self._inside = _leads_somewhere(address)
        if self._inside:
            self.found.append((address, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            address, label = self.found[-1]
            self.found[-1] = (address, label + data)


def _leads_somewhere(address: str) -> bool:
    try:
        return urlsplit(address).scheme in ("http", "https")
    except ValueError:
        return False
