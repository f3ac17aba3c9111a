"""Admin pages of alert dashboards, for administrators and delivery supervisors; others only receive mails.

A dashboard belongs to a unit as everything does: one edits those at and below one's own and reads those above.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.translation import gettext_lazy as _

from campaigns.accounts import grants, permissions, units
from campaigns.admin.base import ModelAdmin, StackedInline, UnitAdmin
from campaigns.core.actors import Actor
from campaigns.core.web.paging import BoundedList
from campaigns.models import Campaign
from reporting.alerts.mail import INDICATORS
from reporting.models.alert_criteria import LEVELS, Level
from reporting.models.alerts import Alert, AlertCriterion, AlertDashboard

SHOWN = 20  # mails in a dashboard's history


ANOTHER_CAMPAIGN, ANOTHER_GROUP = _("another unit's campaign"), _("another unit's group")


def campaign_name(user: Actor, campaign: Campaign | None) -> str:
    """As `user` may know it."""
    if campaign is None:
        return "-"
    return str(campaign if units.reads(user, campaign) or permissions.may_read(user, campaign) else ANOTHER_CAMPAIGN)


def group_name(user: Actor, group: Group) -> str:
    """As `user` may know it."""
    return str(group if grants.groups_seen(user).filter(pk=group.pk).exists() else ANOTHER_GROUP)


def _offer(field: Any, rows: Any, chosen: Any, name: Callable[[Any, Any], str], by: Actor) -> None:
    """Offer `rows`, and what is chosen already, which stays though `by` could not choose it."""
    field.queryset = field.queryset.filter(Q(pk__in=rows.values("pk")) | Q(pk=chosen))
    field.label_from_instance = partial(name, by)


class DashboardForm(forms.ModelForm):  # type: ignore[type-arg]
    """Groups that exist for whoever edits it."""

    by: Actor  # set by whoever shows the form

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "group" in self.fields:
            groups = grants.groups_seen(self.by)
            _offer(self.fields["group"], groups, self.instance.group_id, group_name, self.by)


class CriterionForm(forms.ModelForm):  # type: ignore[type-arg]
    """The indicators as boxes to tick; campaigns at and below the unit of whoever edits it."""

    by: Actor  # set by whoever shows the form
    columns = forms.MultipleChoiceField(
        label=_("indicators"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None: all of them."),
        choices=[(name, label) for name, (label, _value) in INDICATORS.items()],
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "campaign" in self.fields:
            campaigns = Campaign.objects.filter(units.writable(self.by))
            _offer(self.fields["campaign"], campaigns, self.instance.campaign_id, campaign_name, self.by)


class Criteria(StackedInline):
    """What to be told about."""

    model = AlertCriterion
    form = CriterionForm
    extra = 0
    reader: Actor  # an inline is made anew for each request

    def get_fields(self, request: HttpRequest, obj: AlertDashboard | None = None) -> Any:
        """Of a dashboard above, which is shown alone, the campaign as its reader may know it."""
        campaign = "campaign" if obj is None or units.writes(request.user, obj) else "campaign_seen"
        return [("kind", "level"), ("label_contains", campaign), "once_a_day", "columns"]

    def get_readonly_fields(self, request: HttpRequest, obj: AlertDashboard | None = None) -> Any:
        """What is no field of the form."""
        self.reader = request.user
        return ["campaign_seen"]

    @admin.display(description=_("only of the campaign"))
    def campaign_seen(self, criterion: AlertCriterion) -> str:
        """Its name, if the reader may know it."""
        return campaign_name(self.reader, criterion.campaign)

    def get_formset(self, request: HttpRequest, obj: AlertDashboard | None = None, **kwargs: Any) -> Any:
        """Of forms that know who edits."""
        formset = super().get_formset(request, obj, **kwargs)
        formset.form = type("ReadersCriterionForm", (formset.form,), {"by": request.user})
        return formset


def _group_seen(user: Actor) -> Callable[[AlertDashboard], str]:
    """A read-only field: the group as `user` may know it."""

    @admin.display(description=_("alert group"))
    def group_seen(dashboard: AlertDashboard) -> str:
        return group_name(user, dashboard.group)

    return group_seen


@admin.register(AlertDashboard)
class AlertDashboardAdmin(UnitAdmin):
    """Dashboards; off until somebody enables them. Those above one's unit are shown, without what they told."""

    form = DashboardForm
    inlines = [Criteria]
    list_select_related = ["group"]
    readonly_fields = ["told"]
    fieldsets = [
        (None, {"fields": ["label", "enabled", "group", "told"]}),
        (_("Which deliveries"), {"fields": ["minimum_target", "window_hours"]}),
        (
            _("Limits"),
            {
                "fields": [
                    ("soft_ratio", "hard_ratio"),
                    "pending_minutes",
                    ("throughput_minutes", "throughput_processed", "throughput_minimum"),
                    "progress_processed",
                ]
            },
        ),
    ]

    class Media:
        css = {"all": ["reporting/alerts.css"]}

    def get_list_display(self, request: HttpRequest) -> Any:
        """The group as the reader may know it."""
        return ["label", "enabled", _group_seen(request.user), "unit"]

    def get_fieldsets(self, request: HttpRequest, obj: AlertDashboard | None = None) -> Any:
        """Of one above neither what it told of others' deliveries nor a group that does not exist for the reader."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return [(None, {"fields": ["label", "enabled", _group_seen(request.user)]}), *fieldsets[1:]]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """One that knows who edits."""
        form = super().get_form(request, obj, change=change, **kwargs)
        return type("ReadersDashboardForm", (form,), {"by": request.user})

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
        """The last mails, the newest first, each leading to its text; none of a time when it watched more."""
        here = dashboard.alerts.filter(unit__in=units.below(dashboard.unit)).order_by("-pk") if dashboard.pk else None
        mails = here[:SHOWN] if here is not None else []
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
class AlertAdmin(BoundedList, ModelAdmin):
    """What dashboards at and below one's unit told; nobody writes here."""

    list_display = ["at", "dashboard", "subject", "recipients"]
    list_filter = [("dashboard", admin.RelatedOnlyFieldListFilter)]  # of those in the list
    list_select_related = ["dashboard"]
    date_hierarchy = "at"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        """One above tells of deliveries beside."""
        return super().get_queryset(request).filter(units.writable(request.user))

    def has_view_permission(self, request: HttpRequest, obj: Alert | None = None) -> bool:
        """By the model's right, and the unit that the dashboard had."""
        within = obj is None or units.writes(request.user, obj)
        return super().has_view_permission(request, obj) and within

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Alerts come from the look at the deliveries."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was told was told."""
        return False
