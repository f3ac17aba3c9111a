"""How many requests a minute the API takes of one caller, counted in the database so that all processes count together.

A process takes a small part of the minute's allowance at once and hands it out from memory: a request in twenty writes,
the limit is never exceeded, and what a process leaves unused is lost for that minute only.
"""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from campaigns.audit import trail
from campaigns.models.api import ApiWindow, IdempotentRequest

MINUTE = 60
_PARTS = 60  # of an allowance; one is taken at once
_KEPT = 10_000  # callers that one process remembers

_held: dict[str, tuple[int, int]] = {}  # caller: (minute, requests left of the part that was taken)
_lock, _reserving = threading.Lock(), threading.Lock()


class Limits(BaseThrottle):
    """By token, else by user, else by address."""

    _wait: float | None = None

    def allow_request(self, request: Request, view: Any) -> bool:
        """False: too many; wait() then says how long."""
        token = getattr(request.auth, "uid", None)
        if token is not None:
            self._wait = take(f"token {token}", settings.API_PER_MINUTE)
        elif request.user.is_authenticated:
            self._wait = take(f"user {request.user.pk}", settings.API_PER_MINUTE)
        else:
            self._wait = stranger(trail.client_address(request.META))
        return not self._wait

    def wait(self) -> float | None:
        """Seconds until the next minute begins."""
        return self._wait


def stranger(address: str) -> float:
    """Take one request of an address that has not said who it is. Out: as take()."""
    return take(f"address {address}", settings.API_ANONYMOUS_PER_MINUTE)


def take(caller: str, limit: int) -> float:
    """Take one of the caller's `limit` requests of this minute. Out: 0, or the seconds to wait when all are gone."""
    now = time.time()
    minute, key = int(now // MINUTE), hashlib.sha256(f"{settings.SECRET_KEY} {caller}".encode()).hexdigest()
    given = _hand_out(key, minute)
    if given is None:
        with _reserving:  # else each of many at once would take a part for itself alone
            given = _hand_out(key, minute)
            if given is None:
                given = _hand_out(key, minute, _reserve(key, minute, max(1, limit // _PARTS), limit))
    return 0 if given else (minute + 1) * MINUTE - now


def _hand_out(key: str, minute: int, part: int | None = None) -> bool | None:
    """One request from what this process holds, or from the `part` that it has just taken. Out: None if a part has to
    be taken first, False if the minute has no more."""
    with _lock:
        held, left = _held.get(key, (0, 0))
        if part is None and (held != minute or left == 0):
            return None
        if len(_held) > _KEPT:
            _held.clear()
        left = (part or -1) if part is not None else left
        _held[key] = (minute, max(left - 1, -1))
    return left > 0


def _reserve(key: str, minute: int, part: int, limit: int) -> int:
    """How many of the minute's requests this process may hand out now: `part`, or 0 if the limit is reached."""
    row = ApiWindow.objects.filter(key=key)
    for _ in range(2):
        if row.filter(window=minute, taken__lte=limit - part).update(taken=F("taken") + part):
            return part
        if row.filter(window__lt=minute).update(window=minute, taken=part):
            return part
        if row.exists():
            return 0
        with suppress(IntegrityError), transaction.atomic():  # another process may be first; then its row is there
            ApiWindow.objects.create(key=key, window=minute, taken=part)
            return part
    return 0


def forget() -> None:
    """What this process has taken; for tests."""
    with _lock:
        _held.clear()


def clean_up() -> None:
    """Once a day: counts of minutes long past, and answers that are kept for a day (idempotency.py)."""
    ApiWindow.objects.filter(window__lt=int(time.time() // MINUTE) - 60).delete()
    IdempotentRequest.objects.filter(asked_at__lt=timezone.now() - timedelta(hours=24)).delete()
