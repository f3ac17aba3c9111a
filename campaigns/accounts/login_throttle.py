"""Slows down who guesses passwords, in the database, so that all processes count together.

A try is counted before the password is looked at, so that many at once gain nothing, and taken back when it was right.
A stranger's tries count for the name and address together, for the name and for the address, each with its own
patience; a browser in which the person has logged in before (a signed cookie says so) counts for itself alone. So
nobody locks others out of their own browsers, and a company behind one address goes on when one of its people mistypes.
Waiting doubles from half a minute and ends at a quarter of an hour.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import PermissionDenied
from django.core.signing import BadSignature
from django.db import transaction
from django.db.models import F, Q
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from campaigns.audit import trail
from campaigns.core import secret_keys
from campaigns.core.actors import Person
from campaigns.models.accounts import LoginTries

logger = logging.getLogger("campaigns.accounts.login_throttle")

FREE = {"pair": 5, "name": 30, "address": 100, "browser": 10}  # tries before one must wait
FIRST, LONGEST = timedelta(seconds=30), timedelta(minutes=15)
FORGOTTEN = timedelta(hours=1)  # after the last try
COOKIE, COOKIE_DAYS = "known_browser", 365
WAIT = "_login_wait"  # set on a request whose try was not even looked at: seconds to wait
_KEYS = "_login_keys"


class Throttled:
    """The first of the authentication backends: refuses to look at a password too soon."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        """Count the try. Raises PermissionDenied, which ends the authentication, when it comes too soon."""
        name = credentials.get("username")
        if request is None or name is None:
            return
        keys = keys_of(request, str(name))
        wait = begin(keys)
        setattr(request, _KEYS, keys)
        if wait:
            setattr(request, WAIT, wait)
            raise PermissionDenied


def keys_of(request: HttpRequest, name: str) -> dict[str, str]:
    """{kind: digest} of what a try counts for."""
    browser = known_browser(request, name)
    if browser:
        return {"browser": _digest("browser", browser)}
    place = _place(trail.client_address(request.META))
    name = name.casefold()
    return {"pair": _digest("pair", name, place), "name": _digest("name", name), "address": _digest("address", place)}


def begin(keys: dict[str, str]) -> int:
    """Count a try. Out: 0 if it may be made now, or the seconds to wait; then nothing was counted."""
    now = timezone.now()
    with transaction.atomic():
        for key in sorted(keys.values()):
            LoginTries.objects.get_or_create(key=key, defaults={"since": now, "until": now})
        locked = LoginTries.objects.select_for_update().filter(key__in=keys.values()).order_by("key")
        rows = {row.key: row for row in locked}
        wait = max((row.until - now).total_seconds() for row in rows.values())
        if wait > 0:
            return int(wait) + 1
        for kind, key in keys.items():
            _count(kind, rows[key], now)
    return 0


def _count(kind: str, row: LoginTries, now: datetime) -> None:
    row.failures = 1 if row.since < now - FORGOTTEN else row.failures + 1
    over = row.failures - FREE[kind]
    if over >= 0:
        row.until = now + min(LONGEST, FIRST * 2 ** min(over, 10))
        logger.warning("log-ins by one %s must wait until %s after %s tries", kind, row.until, row.failures)
    row.since = now
    row.save()


def succeeded(keys: dict[str, str]) -> None:
    """The password was right: what was counted for this person goes, one try of the others is taken back."""
    now = timezone.now()
    own = [keys[kind] for kind in ("pair", "browser") if kind in keys]
    LoginTries.objects.filter(key__in=own).delete()
    shared = Q(key__in=[key for key in keys.values() if key not in own], failures__gt=0)
    LoginTries.objects.filter(shared).update(failures=F("failures") - 1, until=now)


def was_right(request: HttpRequest) -> bool:
    """Take back the try that the request made, once. Out: False if it made none, or it was taken back already."""
    keys = request.__dict__.pop(_KEYS, None)
    if keys:
        succeeded(keys)
    return bool(keys)


def known_browser(request: HttpRequest, name: str) -> str:
    """The number of the browser if `name` has logged in with it before; '' else."""
    try:
        told = request.get_signed_cookie(COOKIE, "", salt=COOKIE, max_age=COOKIE_DAYS * 86400)
    except BadSignature:
        return ""
    number, _, whose = (told or "").partition(":")
    return number if any(whose == _digest("whose", name.casefold(), key=key) for key in secret_keys.all_keys()) else ""


@receiver(user_logged_in, dispatch_uid="login-throttling")
def _logged_in(request: HttpRequest | None, user: Person, **_: Any) -> None:
    if request is not None and was_right(request):
        request._known_browser = known_browser(request, user.get_username()) or secrets.token_urlsafe(16)  # type: ignore[attr-defined]


class KnownBrowser:
    """Middleware: leaves the cookie in a browser in which somebody has just logged in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Set it beside the session's."""
        response = self.get_response(request)
        number = getattr(request, "_known_browser", "")
        if number and request.user.is_authenticated:
            told = f"{number}:{_digest('whose', request.user.get_username().casefold())}"
            response.set_signed_cookie(
                COOKIE,
                told,
                salt=COOKIE,
                max_age=COOKIE_DAYS * 86400,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return response


def clean_up() -> None:
    """Once a day: what is forgotten anyhow."""
    LoginTries.objects.filter(since__lt=timezone.now() - timedelta(days=1)).delete()


def _place(address: str) -> str:
    """An IPv6 host has a whole /64 to come from."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network(f"{address}/64", strict=False))


def _digest(*parts: str, key: str = "") -> str:
    return hashlib.sha256("\0".join((*parts, key or settings.SECRET_KEY)).encode("utf-8", "replace")).hexdigest()
