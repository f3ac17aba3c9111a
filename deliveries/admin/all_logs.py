"""The logs of all deliveries as lists of their own, for Administration with the unit All alone.

Others reach the same rows from a delivery or a profile that they may read.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from campaigns.admin.base import WholeLogAdmin
from deliveries.models import DeliveryEvent, ExclusionLog, SendingLog


class OfDeliveries(WholeLogAdmin):
    """Newest first by key, and by a delivery's code: what no index answers for millions of rows is not offered."""

    ordering = ["-pk"]
    sortable_by = ()
    list_select_related = ["delivery"]
    show_facets = admin.ShowFacets.NEVER
    actions = None
    search_fields = ["delivery__pk"]  # get_search_results() decides; this shows the search bar
    search_help_text = _("A delivery's code, like DM12.")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """That delivery's rows."""
        term = search_term.strip().upper().removeprefix("DM")
        if not term:
            return queryset, False
        return queryset.filter(delivery_id=int(term)) if term.isdecimal() and len(term) < 19 else queryset.none(), False


@admin.register(SendingLog)
class SendingLogsAdmin(OfDeliveries):
    """Every recipient of every delivery."""

    list_display = ["address", "delivery", "status", "failure_type", "reason", "date"]
    fields: ClassVar[Any] = ["delivery", "address", "status", "failure_type", "reason", "reply", "date", "attempts"]
    readonly_fields = fields


@admin.register(ExclusionLog)
class ExclusionLogsAdmin(OfDeliveries):
    """Everybody who was left out of a delivery."""

    list_display = ["address", "delivery", "cause", "date"]
    fields: ClassVar[Any] = ["delivery", "address", "cause", "date"]
    readonly_fields = fields


@admin.register(DeliveryEvent)
class MessageLogAdmin(OfDeliveries):
    """Every line of every delivery's log."""

    list_display = ["at", "delivery", "severity", "code", "message", "user"]
    list_select_related = ["delivery", "user"]
    fields: ClassVar[Any] = ["delivery", "at", "severity", "code", "message", "user"]
    readonly_fields = fields
