"""Addresses of this app: what recipients reach, and the pages that belong to deliveries and profiles in the admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from reporting.admin import delivery_pages, export_pages, log_pages, profile_pages, report_pages
from reporting.tracking import pages

_inside = admin.site.admin_view
_DELIVERY = "admin/deliveries/delivery/<int:pk>/"

urlpatterns = [
    path("t/o/<str:token>.gif", pages.open_pixel, name="tracking-open"),
    path("t/c/<str:token>/<int:index>", pages.click, name="tracking-click"),
    path("t/m/<str:token>", pages.mirror, name="tracking-mirror"),
    path("t/u/<str:token>", pages.opt_out, name="tracking-optout"),
    path(f"{_DELIVERY}compute-stats/", _inside(delivery_pages.compute_stats), name="delivery-compute-stats"),
    path(f"{_DELIVERY}tracking-logs/", _inside(log_pages.tracking_logs), name="delivery-tracking-logs"),
    path(f"{_DELIVERY}tracked-urls/", _inside(log_pages.tracked), name="delivery-tracked-urls"),
    path(f"{_DELIVERY}rows/<slug:name>/", _inside(log_pages.rows_of_figure), name="delivery-rows"),
    path(
        f"{_DELIVERY}export/sending-logs/",
        _inside(log_pages.export),
        {"what": "sending-logs"},
        name="delivery-export-sending-logs",
    ),
    path(f"{_DELIVERY}export/<slug:what>/", _inside(log_pages.export), name="delivery-export"),
    path(f"{_DELIVERY}export-progress/<slug:key>/", _inside(export_pages.progress), name="delivery-export-progress"),
    path(f"{_DELIVERY}report/", _inside(report_pages.delivery_report), name="delivery-report"),
    path(f"{_DELIVERY}hot-clicks/", _inside(report_pages.hot_clicks_page), name="delivery-hot-clicks"),
    path(f"{_DELIVERY}sending-logs/<int:row>/copy/", _inside(report_pages.copy_of), name="delivery-copy"),
    path(f"{_DELIVERY}tracked-urls/<int:place>/", _inside(log_pages.name_url), name="delivery-name-url"),
    path("admin/campaigns/campaign/<int:pk>/report/", _inside(report_pages.campaign_report), name="campaign-report"),
    path(
        "admin/campaigns/profile/<int:pk>/touchpoints/", _inside(profile_pages.profile_history), name="profile-history"
    ),
]
