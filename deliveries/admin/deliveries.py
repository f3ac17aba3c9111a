"""Admin pages of deliveries: the list, and the dashboard in the place of a form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.accounts import permissions
from campaigns.admin.base import InCampaign, ScopedAdmin, key_in
from campaigns.admin.preview import chosen, render
from campaigns.core import formats
from campaigns.core.actors import Actor, person
from deliveries.admin.dashboard.action_bar import rights_of
from deliveries.admin.dashboard.deployment_block import SAMPLES, Sample
from deliveries.admin.dashboard.page import dashboard
from deliveries.ledger import masked_rows
from deliveries.ledger.counters import counters_of
from deliveries.ledger.kpis import kpis
from deliveries.lifecycle import deletion
from deliveries.models import Delivery
from deliveries.models.logical_status import LOGICAL, Logical, short_label
from deliveries.models.states import CONFIRMED, ENDED, State
from deliveries.preparation import sealing

from .act_pages import ActPages
from .logs import LogPages
from .proofs import ProofPages
from .series import SeriesPages

LOOKED_AT = 50  # recipients, for one as whom the dashboard shows the message
_SHOWN = [*sealing.READ, "message__recurrence__owner", "campaign", "routing", "parent"]
_PEOPLE = ["created_by", "prepared_by", "confirmed_by"]


class LogicalStatus(admin.SimpleListFilter):
    """By the colour that the list shows, or by what waits for a confirmation."""

    title = gettext_lazy("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """(value, label)."""
        return [("ready", _("Action required")), *[(str(kind.value), kind.label) for kind in Logical]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """The deliveries in the states that the value stands for."""
        if self.value() == "ready":
            return queryset.filter(state=State.READY)
        states = [state for state, kind in LOGICAL.items() if str(kind.value) == self.value()]
        return queryset.filter(state__in=states) if states else queryset


class Executions(admin.SimpleListFilter):
    """Executions of series are hidden once they have ended, unless asked for."""

    title = gettext_lazy("executions of series")
    parameter_name = "executions"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """(value, label); without a value, those at work are shown."""
        return [("all", _("Show all")), ("none", _("Show none"))]

    def choices(self, changelist: Any) -> Any:
        """The stock "All" means those at work here."""
        first, *others = super().choices(changelist)
        yield first | {"display": _("Those at work")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """All, none, or what has not ended."""
        if self.value() == "all":
            return queryset
        alone = queryset.filter(parent=None)
        return alone if self.value() == "none" else alone | queryset.exclude(state__in=ENDED)


class DeliveryList(ChangeList):
    """A page of the list with the counters of its deliveries, read at once."""

    def get_results(self, request: HttpRequest) -> None:
        """As ever, then one sum for all rows of the page."""
        super().get_results(request)
        rows = list(self.result_list)
        numbers = counters_of(rows)
        campaigns = permissions.readable_campaigns(request.user, permissions.START)
        startable = set(campaigns.filter(pk__in={row.campaign_id for row in rows}).values_list("pk", flat=True))
        for row in rows:
            row.figures = kpis(numbers[row.pk], feedback_service=row.feedback_service)
            row.awaits_user = row.state == State.READY and row.campaign_id in startable
        self.result_list = rows
        self.awaiting = sum(row.awaits_user for row in rows)


@admin.register(Delivery)
class DeliveryAdmin(ActPages, SeriesPages, LogPages, ProofPages, ScopedAdmin):
    """Deliveries of the campaigns that the user may read."""

    list_display = [
        "name",
        "status",
        "to_deliver_",
        "sent",
        "delivered",
        "bounces",
        "open_rate",
        "click_rate",
    ]
    list_display_links = None
    list_filter = [LogicalStatus, InCampaign, Executions]
    list_select_related = ["campaign"]
    search_fields = ["label"]
    actions = None
    change_list_template = "admin/deliveries/delivery/list.html"

    class Media:
        css = {"all": ["deliveries/dashboard.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A delivery is made from its message."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        """Only one of which nothing has left: what went out stays on record."""
        return obj is not None and deletion.may_delete(obj, request.user)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """The delivery alone is named: listing a million rows that go with it would help nobody."""
        return [str(obj) for obj in objs], {str(self.opts.verbose_name_plural): len(objs)}, set(), []

    def delete_model(self, request: HttpRequest, obj: Delivery) -> None:
        """With its rows, some at a time."""
        deletion.delete(obj, person(request.user))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, under its own name: there is nothing to "select to change"."""
        return super().changelist_view(request, {"title": _("Deliveries"), **(extra_context or {})})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Ours, which reads the counters."""
        return DeliveryList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Delivery], search_term: str
    ) -> tuple[QuerySet[Delivery], bool]:
        """DM95 finds that delivery; anything else is looked for in the labels."""
        code = search_term.strip().upper()
        if code.startswith("DM") and code[2:].isdecimal() and len(code) < 20:
            return queryset.filter(pk=int(code[2:])), False
        return super().get_search_results(request, queryset, search_term)

    # --- Columns ------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("delivery"), ordering="label")
    def name(self, delivery: Any) -> str:
        """Label and code, the campaign beneath; a band where the user's confirmation is awaited."""
        band = format_html('<strong class="dm-band">{}</strong>', _("Action required")) if delivery.awaits_user else ""
        return format_html(
            '<a href="{}">{}</a> <span class="dm-code">{}</span> {}<span class="dm-where">{}</span>',
            delivery.get_absolute_url(),
            delivery.label,
            delivery.code,
            band,
            delivery.campaign,
        )

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def status(self, delivery: Delivery) -> str:
        """The state in its logical colour; beneath it when the sending started or will."""
        kind, date = LOGICAL[State(delivery.state)], delivery.contact_date
        return format_html(
            '<span class="dm-chip dm-{}">{}</span><span class="dm-where">{}</span>',
            kind.value,
            short_label(delivery.state),
            formats.clock(date) if date else "",
        )

    @admin.display(description=gettext_lazy("to deliver"), ordering="to_deliver")
    def to_deliver_(self, delivery: Delivery) -> str:
        """Empty before there is a target."""
        return formats.exact(delivery.to_deliver) if delivery.state >= State.READY else ""

    @admin.display(description=gettext_lazy("sent"))
    def sent(self, delivery: Any) -> str:
        """Share of To deliver."""
        return str(delivery.figures.sent.percent) if delivery.state in CONFIRMED else ""

    @admin.display(description=gettext_lazy("delivered"))
    def delivered(self, delivery: Any) -> str:
        """As on the dashboard."""
        return str(delivery.figures.delivered_percent) if delivery.state in CONFIRMED else ""

    @admin.display(description=gettext_lazy("bounces"))
    def bounces(self, delivery: Any) -> str:
        """As on the dashboard."""
        return str(delivery.figures.bounces_percent) if delivery.state in CONFIRMED else ""

    @admin.display(description=gettext_lazy("opens"))
    def open_rate(self, delivery: Any) -> str:
        """As on the dashboard."""
        return str(delivery.figures.opens.percent) if delivery.state in CONFIRMED else ""

    @admin.display(description=gettext_lazy("CTR"))
    def click_rate(self, delivery: Any) -> str:
        """As on the dashboard."""
        return str(delivery.figures.clicks.percent) if delivery.state in CONFIRMED else ""

    # --- Dashboard ----------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        """The dashboard's own pages before the stock ones."""
        live = path(
            "<int:pk>/deployment/",
            self.admin_site.admin_view(self.deployment_view),
            name="deliveries_delivery_deployment",
        )
        return [live, *self.act_urls(), *self.series_urls(), *self.proof_urls(), *self.log_urls(), *super().get_urls()]

    def loaded(self, request: HttpRequest, pk: int) -> Delivery:
        """The delivery with all that the dashboard shows, in two queries; 404 if the user may not read it."""
        found = self.get_queryset(request).select_related(*_SHOWN, *_PEOPLE).prefetch_related(*sealing.READ_LISTS)
        delivery: Delivery | None = found.filter(pk=pk).first()
        if delivery is None:
            raise Http404
        return delivery

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The dashboard."""
        if request.method != "GET":
            return HttpResponseNotAllowed(["GET"])
        delivery = self.loaded(request, key_in(object_id))
        sight = masked_rows.sight(request.user, delivery)
        board = dashboard(delivery, rights_of(request.user, delivery), sight=sight)
        wanted = request.GET.get("profile", "") or _some_recipient(delivery, request.user)
        profile = chosen(delivery.message, request.user, wanted)
        context = {
            **self.admin_site.each_context(request),
            "title": str(delivery),
            "opts": self.opts,
            "original": delivery,
            "delivery": delivery,
            "board": board,
            "numbers": board.counters,
            "tab": "dashboard",
            "profile": profile,
            "preview": render(delivery.message, profile),
        }
        return TemplateResponse(request, "admin/deliveries/delivery/dashboard.html", context)

    def deployment_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The part of the dashboard that changes while something runs, for the script that refreshes it."""
        delivery = self.loaded(request, pk)
        board = dashboard(delivery, rights_of(request.user, delivery), seen=samples_of(request.GET.get("seen", "")))
        context = {"delivery": delivery, "board": board, "numbers": board.counters}
        return TemplateResponse(request, "admin/deliveries/delivery/live.html", context)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A delivery's history is its log."""
        return redirect("admin:deliveries_delivery_log", key_in(object_id))


def _some_recipient(delivery: Delivery, reader: Actor) -> str:
    """The id of a readable profile among the first that the delivery goes to, by the logs' index: a filter over
    millions may take long."""
    keys = list(delivery.sending_logs.order_by("status", "pk").values_list("profile_id", flat=True)[:LOOKED_AT])
    hidden = masked_rows.sight(reader, delivery).hidden(keys)
    return next((str(key) for key in keys if key and key not in hidden), "")


def samples_of(text: str) -> Sequence[Sample]:
    """What the browser saw before: `<seconds>:<processed>,…`, as live.html wrote it. Nonsense gives nothing."""
    try:
        pairs = [part.split(":") for part in text[:500].split(",") if part]
        return [Sample(float(at), int(number)) for at, number in pairs][-SAMPLES:]
    except ValueError:
        return []
