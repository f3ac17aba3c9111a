"""The tabs Tracking logs and Tracked URLs, the rows behind each figure, and the way to take them away as files."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.accounts import permissions
from campaigns.core.actors import person
from campaigns.core.web.paging import page_of
from deliveries.ledger import masked_rows
from deliveries.models import Delivery
from reporting.figures import breakdown, export_progress, exports, row_sets
from reporting.figures.clicks import clicks_by_url
from reporting.models import Figures, TrackedUrl, TrackingType
from reporting.tracking import tracked_urls

from .delivery_pages import readable, tab

WHO = {"people": gettext_lazy("people"), "machines": gettext_lazy("machines")}


def tracking_logs(request: HttpRequest, pk: int) -> HttpResponse:
    """Opens, clicks, mirror pages and opt-outs, newest first."""
    delivery = readable(request, pk)
    chosen = row_sets.tracking_logs(delivery, request.GET.dict(), masked_rows.sight(request.user, delivery))
    page = page_of(chosen.parts, request, newest_first=True, keep=chosen.filters)
    chosen.mask(page.rows)
    links = dict(TrackedUrl.objects.filter(delivery=delivery, link__isnull=False).values_list("link", "label"))
    for row in page.rows:
        row.shown_link = links.get(row.link, "")
    return tab(
        request,
        delivery,
        "tracking_logs",
        page=page,
        filters=chosen.filters,
        types=TrackingType.choices,
        who=WHO,
        figures=Figures.objects.filter(delivery=delivery).first(),
        may_export=_may_export(request, delivery),
    )


def tracked(request: HttpRequest, pk: int) -> HttpResponse:
    """The content's links with how often they were clicked: events, recipients, and people among these."""
    delivery = readable(request, pk)
    summed, at = breakdown.summed(delivery)
    return tab(
        request,
        delivery,
        "tracked_urls",
        urls=clicks_by_url(delivery, summed),
        summed_at=at,
        may_export=_may_export(request, delivery),
        may_name=permissions.may_prepare(request.user, delivery.campaign),
    )


def name_url(request: HttpRequest, pk: int, place: int) -> HttpResponse:
    """Give a link another label and category, for the reports. GET: the form. 403 without the right to prepare."""
    delivery = readable(request, pk)
    permissions.require_prepare(request.user, delivery.campaign)
    tracked_urls.ensure([delivery.pk])
    url = get_object_or_404(TrackedUrl, delivery=delivery, place=place)
    form = UrlForm(request.POST if request.method == "POST" else None, instance=url)
    if request.method == "POST" and form.is_valid():
        form.save()
        tracked_urls.note_name(url, person(request.user))
        return redirect("delivery-tracked-urls", pk)
    return tab(request, delivery, "name_url", form=form, url=url)


class UrlForm(forms.ModelForm):  # type: ignore[type-arg]
    """What reports call a link."""

    class Meta:
        model = TrackedUrl
        fields = ["label", "category"]


def rows_of_figure(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """Exactly the sending logs that a figure counts."""
    delivery = readable(request, pk)
    chosen = row_sets.figure(delivery, name, masked_rows.sight(request.user, delivery))
    page = page_of(chosen.parts, request)
    chosen.mask(page.rows)
    return tab(
        request,
        delivery,
        "figure",
        page=page,
        selection=chosen,
        figure=name,
        may_export=_may_export(request, delivery),
    )


def export(request: HttpRequest, pk: int, what: str) -> HttpResponseBase:
    """GET: which file? POST: the file, and how far it is in the frame of the page that asked. 403 without the role
    Export."""
    delivery = readable(request, pk)
    if what not in row_sets.ROW_SETS:
        raise Http404
    if not _may_export(request, delivery):
        raise PermissionDenied(_("Taking logs away as a file needs the role “Export”."))
    chosen = row_sets.ROW_SETS[what](delivery, request.GET.dict(), masked_rows.sight(request.user, delivery))
    if request.method == "POST":
        return _file(request, delivery, chosen)
    filters = {name: value for name, value in chosen.filters.items() if value}
    return tab(request, delivery, "export", selection=chosen, filters=filters, key=export_progress.new_key())


def _file(request: HttpRequest, delivery: Delivery, chosen: row_sets.RowSet) -> HttpResponseBase:
    ending = "xlsx" if request.POST.get("format") == "xlsx" else "csv"
    reader = person(request.user)
    done = exports.audited(delivery, reader, chosen, ending)
    watch = export_progress.Progress(delivery, reader, request.POST.get("key", ""), done)
    name = exports.file_name(chosen, ending)
    if ending == "csv":
        response = StreamingHttpResponse(exports.csv_bytes(chosen, watch), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response
    try:
        return FileResponse(exports.xlsx_file(chosen, watch), as_attachment=True, filename=name)
    except export_progress.Cancelled:
        messages.warning(request, _("The export was cancelled."))
        return redirect(request.get_full_path())


def _may_export(request: HttpRequest, delivery: Delivery) -> bool:
    return permissions.may_export(request.user, delivery.campaign)
