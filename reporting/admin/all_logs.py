"""The tracking logs of all deliveries as a list, for Administration with the unit All alone."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin

from deliveries.admin.all_logs import OfDeliveries
from reporting.models import TrackingLog


@admin.register(TrackingLog)
class TrackingLogsAdmin(OfDeliveries):
    """Opens, clicks, mirror pages and opt-outs of every delivery."""

    list_display = ["at", "delivery", "type", "link", "machine"]
    fields: ClassVar[Any] = ["delivery", "at", "type", "link", "agent", "network", "machine", "rule"]
    readonly_fields = fields
