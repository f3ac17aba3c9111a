"""The pages that show reports."""

from __future__ import annotations

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from campaigns.accounts import permissions
from campaigns.admin.preview import POLICY
from campaigns.content.problems import RenderError
from campaigns.models import Campaign
from deliveries.ledger import masked_rows
from deliveries.ledger.kpis import Figure
from reporting.figures import breakdown
from reporting.figures.clicks import clicks_by_url
from reporting.reports import click_map, tables
from reporting.tracking import destinations

from .delivery_pages import readable, tab


def delivery_report(request: HttpRequest, pk: int) -> HttpResponse:
    """A delivery's reports."""
    delivery = readable(request, pk)
    made, at = tables.of_delivery(delivery)
    return tab(request, delivery, "report", reports=made, summed_at=at)


def hot_clicks_page(request: HttpRequest, pk: int) -> HttpResponse:
    """The message with its links' shares of all clicks, for the frame on the report; fields are empty."""
    delivery = readable(request, pk)
    compiled = destinations.compile_frozen(delivery.content)
    if compiled is None:
        raise Http404
    urls = [url for url in clicks_by_url(delivery, breakdown.summed(delivery)[0]) if url.link is not None]
    every = sum(url.events for url in urls)
    try:
        html = click_map.page(compiled, {}, {url.link: Figure(url.events, every).percent for url in urls})
    except RenderError as error:
        raise Http404 from error
    response = HttpResponse(html)
    response["Content-Security-Policy"] = POLICY
    response["X-Frame-Options"] = "SAMEORIGIN"
    return response


def copy_of(request: HttpRequest, pk: int, row: int) -> HttpResponse:
    """One recipient's copy as their mirror page has it, for staff: nothing of it is tracked, nothing runs. 404 also for
    a recipient whom the reader may not see."""
    delivery = readable(request, pk)
    log = get_object_or_404(delivery.sending_logs, pk=row)
    masked_rows.mask_logs([log], masked_rows.sight(request.user, delivery))
    if getattr(log, "hidden", False):
        raise Http404
    compiled = destinations.of_delivery(log.delivery_id).compiled
    if compiled is None:
        raise Http404
    try:
        html = compiled.render(destinations.fields_for(compiled, log)).html
    except RenderError as error:
        raise Http404 from error
    response = HttpResponse(html)
    response["Content-Security-Policy"] = POLICY
    return response


def campaign_report(request: HttpRequest, pk: int) -> HttpResponse:
    """A campaign's deliveries side by side, and how tired its readers may be."""
    campaign = permissions.readable_campaigns(request.user).filter(pk=pk).first()
    if campaign is None:
        raise Http404
    context = {
        **admin.site.each_context(request),
        "title": str(campaign),
        "opts": Campaign._meta,
        "campaign": campaign,
        "reports": tables.of_campaign(campaign),
    }
    return TemplateResponse(request, "reporting/campaign_report.html", context)
