"""Answers opens and clicks before Django's stack, whose middleware costs many times what they do (measured).

Everything else, and every token or link that leads nowhere, goes on to Django, which has the same addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.db import close_old_connections, connection

from deliveries.ledger.message_tokens import old_tokens

from . import collect

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_LATER = [("Content-Type", "text/plain"), ("Retry-After", "5"), ("Cache-Control", "no-store")]
OPEN, CLICK = "/t/o/", "/t/c/"
_FRESH = ("Cache-Control", "no-store, private")
_PIXEL = [("Content-Type", "image/gif"), ("Content-Length", str(len(collect.GIF))), _FRESH]


class TrackingFastPath:
    """A WSGI application in front of another."""

    def __init__(self, behind: Application) -> None:
        self.behind = behind

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer GET and HEAD of opens and clicks; pass on the rest."""
        path = environ.get("PATH_INFO", "")
        if not path.startswith("/t/"):
            return self.behind(environ, start_response)
        address = collect.address_of(environ)
        if not collect.visits.take(address) or not collect.is_welcome(path, environ["REQUEST_METHOD"]):
            start_response("429 Too Many Requests", _LATER)
            return [b"Too many requests; try again in a few seconds.\n"]
        return self._answer(path, address, environ, start_response)

    def _answer(self, path: str, address: str, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            if path.startswith(OPEN) and path.endswith(".gif"):
                token = path[len(OPEN) : -4]
                if len(token) == old_tokens.LENGTH:
                    _fresh_connection()
                if collect.opened(token, collect.visit(environ)):
                    start_response("200 OK", _PIXEL)
                    return [collect.GIF] if environ["REQUEST_METHOD"] == "GET" else []
            elif path.startswith(CLICK) and (url := _follow(path, environ)):
                start_response("302 Found", [("Location", url), ("Content-Length", "0"), _FRESH])
                return []
            collect.visits.take(address, collect.GUESS)  # a mirror page costs as much as a wrong token
        return self.behind(environ, start_response)


def _follow(path: str, environ: Environ) -> str:
    token, _, link = path[len(CLICK) :].partition("/")
    if not (link.isascii() and link.isdecimal() and len(link) < 10):
        return ""
    _fresh_connection()
    return collect.clicked(token, int(link), collect.visit(environ))


def _fresh_connection() -> None:
    """A file needs no health check, and opening it again costs more than the row. A transaction is a test's."""
    if connection.vendor != "sqlite" and not connection.in_atomic_block:
        close_old_connections()
