"""No text of ours holds a NUL, and PostgreSQL takes none: an address that does leads nowhere, on whosever page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.admin.utils import unquote
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest


class NoNul:
    """Middleware. Other apps' admin pages would ask the database for it, which is a fault there and no "not found"."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """400 for a query of the admin that holds one."""
        if request.path.startswith("/admin/") and "%00" in request.META.get("QUERY_STRING", ""):
            return HttpResponseBadRequest("This address holds a character that no text has.")
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """404 for an address that holds one, also in the way that the admin writes keys (_00)."""
        if any(isinstance(value, str) and "\0" in unquote(value) for value in kwargs.values()):
            raise Http404
