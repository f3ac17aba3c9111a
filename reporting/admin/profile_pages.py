"""The page of one profile: who they are, their touchpoints, and the time-line."""

from __future__ import annotations

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from campaigns.accounts import permissions, units
from campaigns.consent import history as consent_history
from campaigns.models import Profile
from reporting.figures.history import history
from reporting.reports import charts


def profile_history(request: HttpRequest, pk: int) -> HttpResponse:
    """A profile's history, of the deliveries that the user may read."""
    model_admin = admin.site._registry[Profile]
    profile = Profile.objects.filter(units.readable(request.user), pk=pk).first()
    if profile is None:
        raise Http404
    if not model_admin.has_view_permission(request, profile):
        raise PermissionDenied
    found = history(profile, permissions.readable_campaigns(request.user))
    chart = charts.columns(
        _("Messages to and from this profile, by month"),
        [(_("outbound"), [m[1] for m in found.months]), (_("inbound"), [m[2] for m in found.months])],
        [month[0] for month in found.months],
    )
    context = {
        **admin.site.each_context(request),
        "title": str(profile),
        "opts": Profile._meta,
        "profile": profile,
        "history": found,
        "chart": chart,
        "consent": consent_history.of(profile),
    }
    return TemplateResponse(request, "reporting/history.html", context)
