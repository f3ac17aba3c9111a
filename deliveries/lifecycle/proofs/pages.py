"""The page behind the link in a proof: its reader approves or refuses, without an account."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from campaigns.audit.trail import client_address
from campaigns.core.token_bucket import Buckets
from deliveries.ledger.errors import Refused
from deliveries.lifecycle import approving

from . import links

visits = Buckets(settings.TRACKING_PER_SECOND, 10 * settings.TRACKING_PER_SECOND)  # of one address
letters = Buckets(settings.LETTER_PER_SECOND, 30 * settings.LETTER_PER_SECOND)  # of one proof, from all addresses
GUESS = 20  # visits that a token costs which was not made here


@csrf_exempt  # the token in the address stands in: whoever knows it may do just this
@never_cache
def verdict_page(request: HttpRequest, token: str) -> HttpResponse:
    """GET: the page, which changes nothing (mail programs look behind links). POST: approve or refuse."""
    address = client_address(request.META)
    if not visits.take(address) or not letters.take(_asked(request, token)):
        words = _("Too many requests; try again in a few seconds.")
        return HttpResponse(words, status=429, content_type="text/plain; charset=utf-8", headers={"Retry-After": "5"})
    reader = links.reader_of(token)
    if reader is None:
        visits.take(address, GUESS)
        return _draw(request, "unknown", status=404)
    if request.method != "POST":
        said = reader.proof.verdicts.filter(address=reader.address).first()
        return _draw(request, "ask", reader=reader, verdict=said)
    wanted, comment = request.POST.get("verdict", ""), request.POST.get("comment", "")
    if wanted not in ("approve", "refuse"):
        return _draw(request, "ask", reader=reader, problem=_("Press one of the two buttons."), comment=comment)
    try:
        verdict = approving.answer(reader, approved=wanted == "approve", comment=comment)
    except Refused as refusal:
        return _draw(request, "ask", reader=reader, problem=refusal.message, comment=comment)
    return _draw(request, "thanks", reader=reader, verdict=verdict)


def _asked(request: HttpRequest, token: str) -> str:
    """What a proof's rate counts: pressing a button, and looking by whatever method."""
    return f"{'POST ' if request.method == 'POST' else ''}{token[:100]}"


def _draw(request: HttpRequest, step: str, *, status: int = 200, **context: object) -> HttpResponse:
    response = TemplateResponse(request, "deliveries/verdict.html", {"step": step, **context}, status=status)
    response["Referrer-Policy"] = "no-referrer"  # the address of this page holds the token
    return response
