"""Addresses of this app for programs: the doors by which mail services report."""

from __future__ import annotations

from django.urls import path

from deliveries.feedback.esp_webhooks import receive
from deliveries.lifecycle.proofs.pages import verdict_page

urlpatterns = [
    path("proof/<str:token>/", verdict_page, name="proof-verdict"),
    path("feedback/<slug:provider>/", receive, name="feedback-signed"),
    path("feedback/<slug:provider>/<str:secret>/", receive, name="feedback"),
]
