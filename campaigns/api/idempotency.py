"""Idempotency-Key: a program that does not know whether its request arrived sends it again, and it is done once.

The key is claimed before the act and the answer kept for a day. The same request gets that answer again; while the
first is being carried out, or if it was cut off, a second one is refused: nothing is ever done twice. A refusal did
nothing, so it gives the key back.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.core.actors import person
from campaigns.models.api import IdempotentRequest

from .base import Conflict
from .problem_details import MEDIA_TYPE, problem

KEPT = timedelta(hours=24)
HEADER = "Idempotency-Key"


class KeyReused(APIException):
    """422: the key belongs to another request."""

    status_code = 422
    default_detail = "This Idempotency-Key was sent with another request. Use a new one for each."
    default_code = "idempotency_key_reused"


class Idempotent:
    """Mixin before a DRF view: its POST honours the header."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Once it is known who asks and that they may."""
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        act = getattr(self, "post", None)
        if request.method == "POST" and act is not None and HEADER in request.headers:
            self.post = lambda asked, *a, **k: _once(asked, lambda: act(asked, *a, **k))


def _once(request: Request, act: Any) -> Response:
    claim, answer = _claim(request)
    if answer is not None:
        return answer
    try:
        response: Response = act()
    except Exception:
        claim.delete()
        raise
    claim.status, claim.body = _kept(response)
    claim.save(update_fields=["status", "body"])
    return response


def _kept(response: Response) -> tuple[int, str]:
    """What is answered again: the same, but for a secret, which is kept nowhere."""
    if response.headers.get("Cache-Control") != "no-store":
        return response.status_code, JSONRenderer().render(response.data).decode()
    words = "This was done; its answer holds a secret and is not given again."
    errors = [{"code": "secret_shown_once", "detail": words, "attr": None}]
    return 409, json.dumps(problem(409, errors))


def _claim(request: Request) -> tuple[IdempotentRequest, Response | None]:
    """The key, now ours; or the answer that it already has. Raises ValidationError, KeyReused, Conflict."""
    user = person(request.user)
    key, digest, now = _key(request), _digest(request), timezone.now()
    mine = IdempotentRequest.objects.filter(user=user, key=key)
    mine.filter(asked_at__lt=now - KEPT).delete()
    try:
        with transaction.atomic():
            return IdempotentRequest.objects.create(user=user, key=key, digest=digest, asked_at=now), None
    except IntegrityError:
        first = mine.first()
    if first is None:
        raise Conflict("The request with this Idempotency-Key has just failed; send it again.", code="key_in_use")
    if first.digest != digest:
        raise KeyReused
    if first.status is None:
        raise Conflict(
            f"The request with this Idempotency-Key began at {first.asked_at:%Y-%m-%d %H:%M:%S} UTC and has not ended. "
            "Should it have been cut off, look what became of it before you use another key.",
            code="key_in_use",
        )
    return first, _again(first)


def _again(first: IdempotentRequest) -> Response:
    body, kind = json.loads(first.body) if first.body else None, MEDIA_TYPE if first.status == 409 else None
    return Response(body, status=first.status, headers={"Idempotent-Replayed": "true"}, content_type=kind)


def _key(request: Request) -> str:
    key = request.headers[HEADER].strip().strip('"')
    if not (0 < len(key) <= 255 and key.isascii() and key.isprintable()):
        raise ValidationError({HEADER: ["It must be 1 to 255 printable ASCII characters."]})
    return key


def _digest(request: Request) -> str:
    """Of all that makes the request this one; a token with other rights makes another one."""
    rights = ",".join(sorted(getattr(request.user, "token_rights", None) or ()))
    parts = (request.method, request.get_full_path(), request.headers.get("If-Match", ""), rights)
    return hashlib.sha256("\n".join(map(str, parts)).encode() + b"\n" + request._request.body).hexdigest()
