"""Pages on which somebody looks at the form of a series before its executions start in their name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _

from campaigns.accounts import permissions
from campaigns.content.fingerprint import changed_since_seen, word
from campaigns.core.translate_kept import translated
from deliveries.admin.dashboard.action_bar import buttons, rights_of
from deliveries.admin.dashboard.series_block import form_facts
from deliveries.models import Delivery
from deliveries.preparation import sealing
from deliveries.preparation.unattended import series_seal


class SeriesPages:
    """Switching a series on that asks nobody, and letting one go on in its form of now; for DeliveryAdmin."""

    admin_site: Any
    readable: Callable[[HttpRequest, int], Delivery]
    loaded: Callable[[HttpRequest, int], Delivery]
    act_view: Callable[[HttpRequest, int, str], HttpResponse]
    ask: Callable[..., HttpResponse]

    def series_urls(self) -> list[Any]:
        """Both stand behind the admin's door; the command asks for the role."""
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/series-on/", view(self.series_on_view), name="deliveries_delivery_series-on"),
            path(
                "<int:pk>/continue-series/", view(self.continue_series_view), name="deliveries_delivery_continue-series"
            ),
        ]

    def series_on_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET: in which form the executions start. POST: switch the series on."""
        if request.method == "POST":
            return self.act_view(request, pk, "series-on")
        delivery = self.readable(request, pk)
        permissions.require_prepare(request.user, delivery.campaign)
        return self._look(request, self.loaded(request, pk), "series-on")

    def continue_series_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET: what has changed, of a series or from an execution of it. POST: go on in the form of now."""
        delivery = self.readable(request, pk)
        permissions.require_start(request.user, delivery.campaign)
        series = self.loaded(request, delivery.parent_id or pk)
        if request.method == "POST":
            return self.act_view(request, series.pk, "continue-series")
        return self._look(request, series, "continue-series")

    def _look(self, request: HttpRequest, series: Delivery, act: str) -> HttpResponse:
        if act not in {button.act for button in buttons(series, rights_of(request.user, series))}:
            messages.error(request, _("%s cannot be switched on now; its dashboard says why.") % series)
            return redirect(series)
        form = sealing.form(series, series.message)
        seen = request.GET.get("seen") or word(form)
        since, differs = translated(series_seal.changed(series)), ", ".join(changed_since_seen(seen, form))
        shown = {"facts": form_facts(series), "seen": seen, "since": since, "differs": differs}
        return self.ask(request, series, act, template="series", **shown)
