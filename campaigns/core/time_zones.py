"""The time zone in which people read: chosen on their page, kept by their browser as the language is."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

COOKIE = "time_zone"
YEAR = 365 * 86400  # seconds


class LocalTime:
    """Middleware: pages show times in the reader's zone, else in the server's. The API's are in UTC, whoever asks."""

    def __init__(self, respond: Callable[[HttpRequest], HttpResponse]) -> None:
        self._respond = respond

    def __call__(self, request: HttpRequest) -> HttpResponse:
        zone = chosen(request)
        if zone and not request.path.startswith("/api/"):
            timezone.activate(ZoneInfo(zone))
        else:
            timezone.deactivate()
        return self._respond(request)


def chosen(request: HttpRequest) -> str:
    """The IANA name that the browser holds; "" if none, or none that is known."""
    zone = request.COOKIES.get(COOKIE, "")
    return zone if zone in available_zones() else ""


@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    """Keep the zone that is posted as `zone`; an empty one takes the choice back."""
    zone = request.POST.get("zone", "")
    response = redirect("my-notices")
    if zone in available_zones():
        secure, age = settings.SESSION_COOKIE_SECURE, YEAR
        response.set_cookie(COOKIE, zone, max_age=age, secure=secure, httponly=True, samesite="Lax")
        messages.success(request, _("Times are shown in the time zone %s.") % zone)
    elif zone:
        messages.error(request, _("%(name)s is no IANA time zone; write one like Europe/Paris.") % {"name": zone[:60]})
    else:
        response.delete_cookie(COOKIE, samesite="Lax")
        messages.success(request, _("Times are shown in the server's time zone, %s.") % settings.TIME_ZONE)
    return response


_zones: set[str] = set()


def available_zones() -> set[str]:
    """The IANA zone names, read from disk once."""
    if not _zones:
        _zones.update(available_timezones())
    return _zones


def validate_time_zone(name: str) -> None:
    """`name` is an IANA zone or empty; raises ValidationError otherwise."""
    if name and name not in zoneinfo.available_timezones():
        raise ValidationError(_("%(name)s is no IANA time zone; write one like Europe/Paris."), params={"name": name})
