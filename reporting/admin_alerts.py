"""Admin pages of alert dashboards, for administrators and delivery supervisors; others only receive mails."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from campaigns.admin_scope import ModelAdmin, StackedInline
from campaigns.admin_versions import NoticesOthers

from .alert_mail import INDICATORS
from .alert_models import Alert, AlertCriterion, AlertDashboard
from .criteria import LEVELS, Level

SHOWN = 20  # mails in a dashboard's history


class CriterionForm(forms.ModelForm):  # type: ignore[type-arg]
    """The indicators as boxes to tick."""

    columns = forms.MultipleChoiceField(
        label=_("indicators"), required=False, widget=forms.CheckboxSelectMultiple, help_text=_("None: all of them."),
        choices=[(name, label) for name, (label, _value) in INDICATORS.items()],
    )  # fmt: skip


class Criteria(StackedInline):
    """What to be told about."""

    model = AlertCriterion
    form = CriterionForm
    fields = [("kind", "level"), ("label_contains", "campaign"), "once_a_day", "columns"]
    extra = 0


@admin.register(AlertDashboard)
class AlertDashboardAdmin(NoticesOthers):
    """Dashboards; off until somebody enables them."""

    list_display = ["label", "enabled", "group"]
    inlines = [Criteria]
    readonly_fields = ["told"]
    fieldsets = [
        (None, {"fields": ["label", "enabled", "group", "told"]}),
        (_("Which deliveries"), {"fields": ["minimum_target", "window_hours"]}),
        (
            _("Limits"),
            {
                "fields": [
                    ("soft_ratio", "hard_ratio"), "pending_minutes",
                    ("throughput_minutes", "throughput_processed", "throughput_minimum"), "progress_processed",
                ]
            },
        ),
    ]  # fmt: skip

    class Media:
        css = {"all": ["reporting/alerts.css"]}

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """A new dashboard for which nothing was chosen tells of all that goes wrong."""
        super().save_related(request, form, formsets, change)
        if not change and not form.instance.criteria.exists():
            wrong = [kind for kind, level in LEVELS.items() if level is not Level.INFO]
            AlertCriterion.objects.bulk_create(AlertCriterion(dashboard=form.instance, kind=kind) for kind in wrong)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Its history goes with a dashboard, though nobody may delete a single mail from it."""
        found, counts, needed, protected = super().get_deleted_objects(objs, request)
        return found, counts, needed - {str(Alert._meta.verbose_name)}, protected

    @admin.display(description=_("history"))
    def told(self, dashboard: AlertDashboard) -> str:
        """The last mails, the newest first, each leading to its text."""
        mails = dashboard.alerts.order_by("-pk")[:SHOWN] if dashboard.pk else []
        lines = [
            (
                f"{timezone.localtime(a.at):%Y-%m-%d %H:%M}",
                reverse("admin:reporting_alert_change", args=[a.pk]),
                a.subject,
            )
            for a in mails
        ]
        return format_html_join("", '<p class="al-told">{} <a href="{}">{}</a></p>', lines) or "-"


@admin.register(Alert)
class AlertAdmin(ModelAdmin):
    """What was told; nobody writes here."""

    list_display = ["at", "dashboard", "subject", "recipients"]
    list_filter = ["dashboard"]
    list_select_related = ["dashboard"]
    date_hierarchy = "at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Alerts come from the look at the deliveries."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was told was told."""
        return False
