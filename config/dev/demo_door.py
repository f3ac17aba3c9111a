"""In front of a demo: it answers its own machine alone, at whatever address a server was told to listen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .resources import is_here

_REFUSAL = b"This is a demo whose passwords everybody knows. It answers the machine alone on which it runs.\n"


class DemoDoor:
    """A WSGI application in front of another."""

    def __init__(self, behind: Callable[..., Iterable[bytes]]) -> None:
        self.behind = behind

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """403 for whoever comes from elsewhere."""
        if is_here(environ.get("REMOTE_ADDR", "")):
            return self.behind(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain"), ("Content-Length", str(len(_REFUSAL)))])
        return [_REFUSAL]
