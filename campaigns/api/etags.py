"""ETag and If-Match: a program changes an object only as it has read it (RFC 9110 §8.8.3 and §13.1.1)."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.http import parse_etags
from rest_framework import status
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.core import versions

HEADER = "If-Match"


class ChangedMeanwhile(APIException):
    """412: the object is not any more what If-Match says it was."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_detail = "It has changed since you read it. Read it again, and send your change with the new ETag."
    default_code = "changed_meanwhile"


class Versioned:
    """Mixin before a DRF view set: an object is answered with its ETag, and PATCH honours If-Match.

    Without If-Match PATCH changes the named fields of whatever is there; either way under the row's lock, so that of
    two that come at once neither undoes the other.
    """

    @transaction.atomic
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Raises ChangedMeanwhile."""
        seen = self.get_object()  # type: ignore[attr-defined]  # whoever may not read it learns nothing
        type(seen)._base_manager.select_for_update().filter(pk=seen.pk).values("pk").first()
        wanted = request.headers.get(HEADER)
        if wanted is not None and "*" not in (tags := parse_etags(wanted)):
            stored = type(seen)._base_manager.filter(pk=seen.pk).first()
            if stored is None or versions.entity_tag(stored) not in tags:
                raise ChangedMeanwhile
        return super().update(request, *args, **kwargs)  # type: ignore[misc, no-any-return]

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """With the ETag of what is answered, by an action that answers the object itself."""
        answer: Response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        action = getattr(self, "action", None)
        if action in ("retrieve", "create", "partial_update") and answer.status_code in (200, 201):
            model = self.get_queryset().model  # type: ignore[attr-defined]
            key = answer.data.get("id") if isinstance(answer.data, dict) else None
            stored = model._base_manager.filter(pk=key).first() if key is not None else None
            if stored is not None:
                answer["ETag"] = versions.entity_tag(stored)
        return answer
