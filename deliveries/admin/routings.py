"""Admin pages of routings, for administrators."""

from __future__ import annotations

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from campaigns.admin.base import UnitAdmin
from deliveries.models.routing import Routing


@admin.register(Routing)
class RoutingAdmin(UnitAdmin):
    """Mail servers; the password stays in the environment."""

    list_display = ["label", "host", "port", "security", "enabled", "is_default", "feedback_service"]
    fieldsets = [
        (None, {"fields": ["label", "is_default", "enabled"]}),
        (
            _("Mail server"),
            {
                "fields": [
                    "host",
                    "port",
                    "security",
                    "verify_certificate",
                    "username",
                    "password_variable",
                    "connections",
                    "domain_limits",
                ]
            },
        ),
        (_("Addresses"), {"fields": ["return_domain", "sender_masks"]}),
        (_("Feedback"), {"fields": ["feedback_service"]}),
        (_("Retries"), {"fields": ["retry_by", "retry_first_day", "retry_gap", "retry_every"]}),
        (_("Circuit breaker"), {"fields": ["breaker_minimum", "breaker_hard", "breaker_complaints"]}),
    ]
