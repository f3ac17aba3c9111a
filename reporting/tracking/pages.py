"""What recipients see: the mirror page, the opt-out page, and what to do when a link leads nowhere.

No account, no cookie, no script, and nothing of the back office. The signed token is the only key, and it opens one
recipient's own pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from campaigns.consent.changes import Way
from campaigns.content.problems import RenderError
from deliveries.ledger.message_tokens import tokens
from deliveries.ledger.message_tokens.tokens import Tokens
from deliveries.models import SendingLog
from reporting.models import TrackingType

from . import collect, destinations
from . import opt_out as optout

MIRROR_POLICY = (
    "default-src 'none'; img-src http: https: data:; style-src 'unsafe-inline'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
)  # the content is somebody's, not ours: nothing of it runs


@require_safe
@never_cache
def open_pixel(request: HttpRequest, token: str) -> HttpResponse:
    """The pixel; 404 if the token names nobody, 503 if the event could not be kept."""
    kept = collect.opened(token, collect.visit(request.META))
    return HttpResponse(collect.GIF, content_type="image/gif", status={True: 200, False: 503, None: 404}[kept])


@require_safe
@never_cache
def click(request: HttpRequest, token: str, index: int) -> HttpResponse:
    """To where link `index` leads; a page saying that it leads nowhere."""
    url = collect.clicked(token, index, collect.visit(request.META))
    return HttpResponseRedirect(url) if url else nowhere(request)


def public(name: str, *args: object) -> str:
    """The address of one of these pages as a mail holds it."""
    return f"{settings.PUBLIC_URL}{reverse(name, args=args)}"


@dataclass(frozen=True, slots=True)
class MirrorUrls:
    """The addresses in a mirror page: links are tracked as in the mail, and looking needs no pixel. They are signed
    anew, so that the page of a letter from before gives the old form away no further."""

    tokens: Tokens
    pixel_url: str = ""

    @property
    def optout_url(self) -> str:
        """The opt-out page."""
        return public("tracking-optout", self.tokens.optout)

    @property
    def mirror_url(self) -> str:
        """This page."""
        return public("tracking-mirror", self.tokens.mirror)

    def link(self, index: int) -> str:
        """The tracked address."""
        return public("tracking-click", self.tokens.link, index)


@require_GET
@never_cache
def mirror(request: HttpRequest, token: str) -> HttpResponse:
    """The recipient's copy of the message, from the content that was sent."""
    log = destinations.recipient(token, "mirror")
    if log is None:
        return nowhere(request)
    way = destinations.of_delivery(log.delivery_id)
    if way.over or way.compiled is None:
        return nowhere(request, way)
    try:
        seen = way.compiled.render(destinations.fields_for(way.compiled, log), MirrorUrls(tokens.sign(log.pk)))
    except RenderError:
        return nowhere(request, way)
    collect.note(log.pk, TrackingType.MIRROR, collect.visit(request.META))
    response = HttpResponse(seen.html)
    response["Content-Security-Policy"] = MIRROR_POLICY
    response["Referrer-Policy"] = "no-referrer"
    return response


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def opt_out(request: HttpRequest, token: str) -> HttpResponse:
    """GET: the page, which changes nothing. POST: opt out, or undo it.

    A mail program's one-click POST (RFC 8058: body List-Unsubscribe=One-Click, no cookies) acts at once and gets a
    short text. The token stands in for a CSRF token: whoever knows it may do just this.
    """
    log = destinations.recipient(token, "optout")
    if log is None:
        return nowhere(request)
    if request.method != "POST":
        return _optout_page(request, log, token)
    one_click = request.POST.get("List-Unsubscribe") == "One-Click"
    if request.POST.get("act") == "undo":
        optout.undo(log)
    else:
        optout.opt_out(log, collect.visit(request.META), way=Way.ONE_CLICK if one_click else Way.LINK)
    if one_click:
        return HttpResponse("Unsubscribed.\n", content_type="text/plain; charset=utf-8")
    return redirect("tracking-optout", token)


def _optout_page(request: HttpRequest, log: SendingLog, token: str) -> HttpResponse:
    way = destinations.of_delivery(log.delivery_id)
    context: dict[str, Any] = {
        "way": way,
        "address": log.address,
        "out": optout.is_out(log),
        "may_undo": optout.may_undo(log),
        "proof": optout.is_proof(log),
    }
    response = TemplateResponse(request, "reporting/optout.html", context)
    response["Referrer-Policy"] = "no-referrer"  # the address of this page holds the token
    return response


def nowhere(request: HttpRequest, way: destinations.Destinations | None = None) -> HttpResponse:
    """404: the link is unknown, incomplete or too old, and what to do then."""
    return TemplateResponse(request, "reporting/nowhere.html", {"way": way}, status=404)
