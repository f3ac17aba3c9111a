"""The page that gives a delivery's evidence pack."""

from __future__ import annotations

import tempfile

from django.contrib import admin
from django.http import FileResponse, Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse

from campaigns.accounts import permissions
from campaigns.core.actors import person
from deliveries.ledger.counters import counters
from deliveries.lifecycle import evidence
from deliveries.models import Delivery


def evidence_pack(request: HttpRequest, pk: int) -> HttpResponseBase:
    """GET: what is in it. POST: the file. 404 if the user may not read the delivery, 403 without the role."""
    found = Delivery.objects.filter(pk=pk, campaign__in=permissions.readable_campaigns(request.user))
    delivery = found.select_related("campaign", "message", "routing").first()
    if delivery is None:
        raise Http404
    evidence.require(request.user, delivery)
    if request.method == "POST":
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
        evidence.pack(delivery, person(request.user), file)
        file.seek(0)
        return FileResponse(file, as_attachment=True, filename=evidence.file_name(delivery))
    context = {
        **admin.site.each_context(request),
        "title": str(delivery),
        "opts": Delivery._meta,
        "delivery": delivery,
        "original": delivery,
        "tab": "log",
        "numbers": counters(delivery),
    }
    return TemplateResponse(request, "admin/deliveries/delivery/evidence.html", context)
