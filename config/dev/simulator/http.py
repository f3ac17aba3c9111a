"""The simulator's web server: a few pages over the store, for a browser on the same machine."""

import json
import socket
import socketserver
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from . import pages
from .store import Store
from .stored_mail import read
from .verdicts import Entry, Personality, Verdict

_ROWS = 50
_SUBJECT_BYTES = 16_384
_STYLE = Path(__file__).with_name("simulator_style.css")
_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# The mail's own document: its inline styles, no script, nothing fetched, an origin of its own.
_MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'; sandbox"
)


class PageServer(socketserver.ThreadingTCPServer):
    """Serves the pages from threads of its own between entry and exit. OSError: no such port."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, store: Store, personality: Personality, smtp_port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.store = store
        self.personality = personality
        self.smtp_port = smtp_port
        super().__init__((host, port), _Handler)
        self.port: int = self.server_address[1]
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="simulator-pages", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, at: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that hangs up early is no error; anything else is told."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _NotThere(Exception):
    """No page has this address."""


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = 10
    server_version = "simulator"
    sys_version = ""

    def do_GET(self) -> None:
        try:
            self._refuse_other_names()
            self._route()
        except _NotThere:
            body = pages.problem("There is no such page", smtp_port=self.server.smtp_port)
            self._send(body, status=HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the console belongs to the operator."""

    def _refuse_other_names(self) -> None:
        """A stranger's host name that resolves to loopback must not read the mail through the
        browser (DNS rebinding); off loopback the operator has chosen to be reached."""
        own = str(self.server.server_address[0])
        asked = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if ip_address(own).is_loopback and asked not in (own, "localhost", "127.0.0.1", "::1"):
            raise _NotThere

    def _route(self) -> None:
        address = urlsplit(self.path)
        match address.path.strip("/").split("/"):
            case [""]:
                self._list(address.query)
            case ["addresses"]:
                personality, smtp_port = self.server.personality, self.server.smtp_port
                self._send(pages.addresses(personality, smtp_port=smtp_port))
            case ["style.css"]:
                self._send(_STYLE.read_text(), "text/css; charset=utf-8")
            case ["totals.json"]:
                self._send(json.dumps(self.server.store.counts()), "application/json")
            case ["mail", number, *view]:
                self._mail(self._entry(number), view)
            case _:
                raise _NotThere

    def _list(self, query: str) -> None:
        store = self.server.store
        asked = {name: values[-1] for name, values in parse_qs(query).items()}
        recipient, before = asked.get("q", "").strip(), _number(asked.get("before", ""))
        verdict = _verdict(asked.get("verdict", ""))
        found = store.page(_ROWS + 1, before=before, recipient=recipient, verdict=verdict)
        self._send(
            pages.mail_list(
                [(entry, self._subject(entry)) for entry in found[:_ROWS]],
                store.counts(),
                smtp_port=self.server.smtp_port,
                query=recipient,
                verdict=verdict,
                before=before,
                more=len(found) > _ROWS,
            )
        )

    def _subject(self, entry: Entry) -> str:
        head = self.server.store.message(entry, _SUBJECT_BYTES) or b""
        return read(head.partition(b"\r\n\r\n")[0]).header("Subject")

    def _entry(self, number: str) -> Entry:
        try:
            return self.server.store.entry(int(number))
        except (ValueError, IndexError):
            raise _NotThere from None

    def _mail(self, entry: Entry, view: list[str]) -> None:
        raw = self.server.store.message(entry)
        if not view:
            mail = None if raw is None else read(raw)
            self._send(pages.message(entry, mail, smtp_port=self.server.smtp_port))
        elif raw is None:
            raise _NotThere
        elif view == ["source"]:
            self._send(raw, "message/rfc822", attached_as=f"{entry.number}.eml")
        elif view == ["html"] and (html := read(raw).html) is not None:
            self._send(html, policy=_MAIL_POLICY)
        else:
            raise _NotThere

    def _send(
        self,
        body: str | bytes,
        kind: str = "text/html; charset=utf-8",
        *,
        policy: str = _PAGE_POLICY,
        attached_as: str = "",
        status: HTTPStatus = HTTPStatus.OK,
    ) -> None:
        content = body.encode("utf-8", "replace") if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        if attached_as:
            self.send_header("Content-Disposition", f'attachment; filename="{attached_as}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 16 else None


def _verdict(text: str) -> Verdict | None:
    return Verdict(text) if text in list(Verdict) else None
