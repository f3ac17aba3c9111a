"""Writing the audit: who did what, when, from where. One entry for an act, in the transaction of the act itself.

So no act is without its entry, and an entry stands for what was really committed. Refusals are written after the
roll-back. What may tell of a person stands beside the entry (audit_values.py). Where it came from is what the present
request says (Origin, a middleware), or else the program that runs.
"""

from __future__ import annotations

import getpass
import ipaddress
import sys
from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse

from campaigns.core.actors import Actor
from campaigns.models.audit import audit_values, sides
from campaigns.models.audit.audit_values import Kind, Value, line
from campaigns.models.audit.entries import AuditEntry, AuditValue

from . import chain

Outcome = AuditEntry.Outcome


@dataclass(slots=True)
class Source:
    """Where an act comes from. `written`: rows of the present request."""

    address: str = ""
    agent: str = ""
    channel: str = ""
    user: Actor | _Lazy | None = None
    written: int = 0


_source: ContextVar[Source | None] = ContextVar("audit_source", default=None)


@dataclass(slots=True)
class Draft:
    """An entry that is not written yet, with the values beside it."""

    entry: AuditEntry
    values: list[Value]


def record(
    act: str,
    *,
    by: Actor | None = None,
    subject: models.Model | None = None,
    subject_id: str = "",
    outcome: str = Outcome.DONE,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    about: Kind | None = None,
    plain: Collection[str] = (),
    **details: Any,
) -> AuditEntry:
    """Add an entry, in the caller's transaction if there is one.

    In: `act`, stable, for programs; `by`, who acts (default: whose request it is); `subject_id` where there is no
    `subject`; what differs between `before` and `after`; and details that fit into JSON. `about`: of whom texts tell
    (default: what is known of the subject's model); `plain`: names of details that are no personal value and are to
    stand in the chain itself.
    """
    told = {"before": before, "after": after, **details}
    return write(
        draft(act, told, by=by, subject=subject, subject_id=subject_id, outcome=outcome, about=about, plain=plain)
    )


def draft(
    act: str,
    told: Mapping[str, Any],
    *,
    by: Actor | None = None,
    subject: models.Model | None = None,
    subject_id: str = "",
    outcome: str = Outcome.DONE,
    about: Kind | None = None,
    plain: Collection[str] = (),
) -> Draft:
    """What `record` would write; `write` writes it."""
    source = current()
    who = by if by is not None else source.user
    own = sides.about(subject._meta.model if subject is not None else None)
    about = about or own
    content, values = audit_values.split(
        {name: value for name, value in told.items() if value is not None},
        _who(source, who, subject, own),
        about=about,
        plain=plain,
    )
    key = subject.pk if subject is not None else subject_id
    entry = AuditEntry(
        act=line(act, 64),
        outcome=outcome,
        actor_id=who.pk if who is not None else None,
        channel=source.channel,
        subject_type=subject._meta.label_lower if subject is not None else "",
        subject_id=line("" if key is None else key, 64),
        content=content,
        version=audit_values.VERSION,
    )
    return Draft(entry, values)


def _who(source: Source, by: Actor | _Lazy | None, subject: Any, about: Kind) -> dict[str, tuple[str, Kind]]:
    """Who acts from where on what: all of it stands beside. Without an account, and on none of the pages for staff, it
    is a recipient, or the reader of a proof, who acts for themselves."""
    name = by.get_username() if by is not None and by.pk is not None else None
    whose = Kind.RECIPIENT if source.channel == "web" and name is None else Kind.STAFF
    return {
        "actor": (line(name or "", 150), Kind.STAFF),
        "address": (line(source.address, 45), whose),
        "agent": (line(source.agent, 120), whose),
        "subject": (line(subject if subject is not None else "", 200), about),
    }


def write(drafted: Draft) -> AuditEntry:
    """Add the entry and its values."""
    entry = drafted.entry
    entry.digest = chain.digest(entry)
    with transaction.atomic(savepoint=False):
        entry.save(force_insert=True)
        AuditValue.objects.bulk_create(AuditValue(entry=entry, **asdict(value)) for value in drafted.values)
        transaction.on_commit(chain.seal, robust=True)
    current().written += 1
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

    def _user(self) -> Actor:
        return getattr(self._request, "user", None) or AnonymousUser()

    @property
    def pk(self) -> Any:
        """The account's number, None for nobody."""
        return self._user().pk

    def get_username(self) -> str:
        """The account's name."""
        return str(self._user().get_username())
