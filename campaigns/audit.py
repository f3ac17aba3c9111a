"""Writing the audit: who did what, when, from where. One row for an act, in the transaction of the act itself.

So no act is without its row, and a row stands for what was really committed. Refusals are written after the roll-back.
Where it came from is what the present request says (Origin, a middleware), or else the program that runs.
"""

from __future__ import annotations

import getpass
import hashlib
import ipaddress
import json
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse

from . import audit_chain
from .audit_models import AuditEntry

Outcome = AuditEntry.Outcome
LONG = 300  # characters; a longer value is told by its fingerprint


@dataclass(slots=True)
class Source:
    """Where an act comes from. `written`: rows of the present request."""

    address: str = ""
    agent: str = ""
    channel: str = ""
    user: Any = None
    written: int = 0


_source: ContextVar[Source | None] = ContextVar("audit_source", default=None)


def record(
    act: str,
    *,
    by: Any = None,
    subject: models.Model | None = None,
    subject_id: str = "",
    outcome: str = Outcome.DONE,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    **details: Any,
) -> AuditEntry:
    """Add a row, in the caller's transaction if there is one.

    In: `act`, stable, for programs; `by`, who acts (default: whose request it is); `subject_id` where there is no
    `subject`; what differs between `before` and `after`; and details that fit into JSON.
    """
    source = current()
    by = by if by is not None else source.user
    told = {key: value for key, value in {"before": before, "after": after, **details}.items() if value is not None}
    entry = AuditEntry(
        act=_text(act, 64), outcome=outcome, actor_id=getattr(by, "pk", None),
        actor=_text(by.get_username() if getattr(by, "pk", None) else "", 150), address=_text(source.address, 45),
        agent=_text(source.agent, 120), channel=source.channel,
        subject_type=subject._meta.label_lower if subject is not None else "",
        subject_id=_text(subject.pk if subject is not None else subject_id, 64),
        subject=_text(subject if subject is not None else "", 200),
        content=json.dumps(_plain(told), sort_keys=True, separators=(",", ":")),
    )  # fmt: skip
    entry.digest = audit_chain.digest(entry)
    entry.save(force_insert=True)
    source.written += 1
    transaction.on_commit(audit_chain.seal, robust=True)
    return entry


def current() -> Source:
    """Where acts come from now."""
    return _source.get() or _program()


def _program() -> Source:
    """What runs without a request: a worker's cluster, or somebody's command."""
    name = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    words = [name, *sys.argv[1:2]]
    worker = sys.argv[1:2] in (["qcluster"], ["guard"])
    try:
        who = getpass.getuser()
    except (OSError, KeyError):
        who = "?"
    return Source("", f"{who}@{settings.HOST_ID}: {' '.join(words)}", "worker" if worker else "command line")


def _text(value: Any, most: int) -> str:
    """One line that every database takes."""
    text = str(value).encode("utf-8", "replace").decode()[: most * 2]
    return "".join(c if c.isprintable() else " " for c in text)[:most]


def _plain(value: Any) -> Any:
    """The value in what JSON and both databases take; a long text by its length and fingerprint."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {_text(key, 100): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    text = str(value)
    if len(text) > LONG:
        mark = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        return f"{_text(text, 80)}… ({len(text)} characters, SHA-256 {mark})"
    return _text(text, LONG)


def client_address(meta: Mapping[str, Any]) -> str:
    """The address that a request came from; what the proxy says of it if we stand behind one. '' if it is none."""
    address = str(meta.get("REMOTE_ADDR", ""))
    if settings.BEHIND_PROXY:
        address = str(meta.get("HTTP_X_FORWARDED_FOR", address)).rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return ""


class Origin:
    """Middleware, after authentication: tells the audit where acts come from, and writes down refused requests."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """An answer 403 to somebody who is logged in is a try; whoever refused it may have written it down already."""
        channel = "api" if request.path.startswith("/api/") else "admin" if "/admin/" in request.path else "web"
        agent = request.META.get("HTTP_USER_AGENT", "")
        source = Source(client_address(request.META), agent, channel, user=_Lazy(request))
        token = _source.set(source)
        try:
            response = self.get_response(request)
            if response.status_code == 403 and not source.written and request.user.is_authenticated:
                record("request", outcome=Outcome.DENIED, method=request.method, path=request.path)
            return response
        finally:
            _source.reset(token)


class _Lazy:
    """Whoever the request turns out to belong to: the API authenticates later than this."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def _user(self) -> Any:
        return getattr(self._request, "user", None) or AnonymousUser()

    @property
    def pk(self) -> Any:
        """The account's number, None for nobody."""
        return self._user().pk

    def get_username(self) -> str:
        """The account's name."""
        return str(self._user().get_username())
