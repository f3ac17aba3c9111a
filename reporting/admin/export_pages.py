"""The page that waits for an export."""

from __future__ import annotations

from csp.constants import SELF
from csp.decorators import csp_replace
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.clickjacking import xframe_options_sameorigin

from campaigns.accounts import permissions
from campaigns.core.actors import person
from reporting.figures.export_progress import LOOKS, shown
from reporting.models.exports import Export

from .delivery_pages import readable


@xframe_options_sameorigin
@csp_replace({"frame-ancestors": [SELF]})  # type: ignore[arg-type]
def progress(request: HttpRequest, pk: int, key: str) -> HttpResponse:
    """The frame. GET: how far the file is, with a Refresh header while it grows. POST: cancel it. 403 without the role
    Export; of other people's files nothing is told."""
    delivery = readable(request, pk)
    permissions.require_export(request.user, delivery.campaign)
    mine = Export.objects.filter(delivery=delivery, user=person(request.user), key=key).order_by("-pk")
    if request.method == "POST":
        mine.filter(ended_at=None).update(cancelled_at=timezone.now())
        return redirect(request.get_full_path())
    export = mine.first()
    now, looks = shown(export), request.GET.get("looks", "")
    number = int(looks) if looks.isdecimal() and len(looks) < 4 else 0
    response = TemplateResponse(request, "reporting/export_progress.html", {"now": now})
    if now.going:
        response["Refresh"] = "1"
    elif export is None and number < LOOKS:
        response["Refresh"] = f"2; url=?looks={number + 1}"
    return response
