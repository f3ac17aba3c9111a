"""Addresses of this app outside the model admin: the way from a message to its dashboard."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path

from .act_pages import open_delivery
from .evidence import evidence_pack


def _open(request: HttpRequest, message_id: int) -> HttpResponse:
    return open_delivery(admin.site, request, message_id)


urlpatterns = [
    path("admin/campaigns/message/<int:message_id>/dashboard/", admin.site.admin_view(_open), name="delivery-open"),
    path(
        "admin/deliveries/delivery/<int:pk>/evidence/", admin.site.admin_view(evidence_pack), name="delivery-evidence"
    ),
]
