"""What this app adds to a delivery's dashboard: Compute stats and the tabs. Each stands behind the admin's door."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from campaigns.accounts import permissions
from campaigns.core import queue
from campaigns.core.actors import person
from deliveries.admin.refusals import told
from deliveries.ledger.counters import counters
from deliveries.models import Delivery
from reporting.figures import kept_figures

AT_ONCE = 200_000  # recipients: up to that many a page waits for Compute stats


def readable(request: HttpRequest, pk: int) -> Delivery:
    """The delivery, or 404 if the user may not even read it."""
    found = Delivery.objects.filter(pk=pk, campaign__in=permissions.readable_campaigns(request.user))
    delivery = found.select_related("campaign", "message").first()
    if delivery is None:
        raise Http404
    return delivery


def tab(request: HttpRequest, delivery: Delivery, name: str, **context: Any) -> HttpResponse:
    """Draw reporting/<name>.html as a tab of the dashboard."""
    everything = {
        **admin.site.each_context(request),
        "title": str(delivery),
        "opts": Delivery._meta,
        "delivery": delivery,
        "original": delivery,
        "tab": name,
        "numbers": context.pop("numbers", None) or counters(delivery),
        **context,
    }
    return TemplateResponse(request, f"reporting/{name}.html", everything)


@require_POST
def compute_stats(request: HttpRequest, pk: int) -> HttpResponse:
    """Recompute all figures from the logs; a big delivery's in the background."""
    delivery = readable(request, pk)
    if request.user.pk is None:
        raise SuspiciousOperation("nobody")
    if delivery.to_deliver > AT_ONCE:
        permissions.require_prepare(request.user, delivery.campaign)
        queue.enqueue(queue.Task.COMPUTE_STATS, delivery.pk, request.user.pk)
        messages.info(request, _("The stats are being computed; the log says when it is done."))
        return redirect(delivery)
    with told(request):
        _say(request, len(kept_figures.compute_stats(delivery, person(request.user))))
    return redirect(delivery)


def _say(request: HttpRequest, drifted: int) -> None:
    if drifted:
        text = ngettext(
            "%d counter had drifted and was corrected.", "%d counters had drifted and were corrected.", drifted
        )
        messages.warning(request, text % drifted + " " + _("The log says which."))
    else:
        messages.success(request, _("Computed from the logs: every counter was right."))
