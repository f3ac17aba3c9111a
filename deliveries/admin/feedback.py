"""Admin pages of what was reported about messages, and of the rules that judge it; for administrators."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from campaigns.admin.base import ForAllAdmin, WholeLogAdmin
from deliveries.feedback import active_rules
from deliveries.mail.bounces.parser import parse
from deliveries.mail.bounces.report import NONE, Judge, Report
from deliveries.models.feedback import FeedbackEvent, QualificationRule


@admin.register(QualificationRule)
class QualificationRuleAdmin(ForAllAdmin):
    """Rules in their order; while there are none, the built-in list holds, which can be copied here."""

    list_display = ["name", "order", "enabled", "type", "reason", "pattern"]
    list_editable = ["order", "enabled"]
    list_filter = ["type", "enabled"]
    search_fields = ["name", "pattern"]
    list_per_page = 200  # their order is edited in the list
    change_list_template = "admin/deliveries/qualificationrule/change_list.html"

    def get_urls(self) -> list[Any]:
        """With the address that copies the built-in list, and the one that tries the rules on a pasted bounce."""
        view = self.admin_site.admin_view
        return [
            path("copy-defaults/", view(self.copy_view), name="deliveries_qualificationrule_copy"),
            path("try/", view(self.try_view), name="deliveries_qualificationrule_try"),
            *super().get_urls(),
        ]

    def try_view(self, request: HttpRequest) -> HttpResponse:
        """What the rules in force say of a pasted mail or reply; nothing is kept."""
        if not self.has_view_permission(request):
            raise PermissionDenied(_("Qualification rules are kept by administrators."))
        pasted = request.POST.get("pasted", "")
        context = {
            **self.admin_site.each_context(request),
            "title": _("Try the rules"),
            "opts": self.opts,
            "pasted": pasted,
            "verdicts": _verdicts(pasted) if pasted.strip() else None,
        }
        return TemplateResponse(request, "admin/deliveries/qualificationrule/try.html", context)

    def copy_view(self, request: HttpRequest) -> HttpResponse:
        """POST alone: make the built-in rules editable."""
        if not self.has_add_permission(request):
            raise PermissionDenied(_("Qualification rules are kept by administrators."))
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        number = active_rules.copy_defaults()
        text = (
            ngettext("%d rule was copied.", "%d rules were copied.", number)
            if number
            else _("There are rules already.")
        )
        messages.info(request, text % number if number else text)
        return redirect("admin:deliveries_qualificationrule_changelist")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """From now on this process judges by it; the others within seconds."""
        super().save_model(request, obj, form, change)
        active_rules.renew()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """As after saving."""
        super().delete_model(request, obj)
        active_rules.renew()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """As after saving."""
        super().delete_queryset(request, queryset)
        active_rules.renew()


def _verdicts(pasted: str) -> list[Report]:
    """Of each recipient of a mail; a text without header fields is taken as a server's reply."""
    rules = active_rules.rules()
    reports = parse(pasted.encode(errors="replace"), rules=rules)
    if any(report.kind != NONE for report in reports):
        return reports
    return [Judge(rules).report("", [pasted], action="")]


class Matched(admin.SimpleListFilter):
    """Whether the report could be tied to a message."""

    title = gettext_lazy("matched")
    parameter_name = "matched"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """(value, label)."""
        return [("no", _("Nothing matches it")), ("yes", _("Tied to a message"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """By whether a sending log is named."""
        return queryset if self.value() is None else queryset.filter(log_id__isnull=self.value() == "no")


@admin.register(FeedbackEvent)
class FeedbackEventAdmin(WholeLogAdmin):
    """Every report, matched or not; a record that nobody edits."""

    list_display = ["address", "received_at", "source", "kind", "type", "reason", "rule"]
    list_filter = [Matched, "kind", "source"]
    ordering = ["-pk"]
    show_facets = admin.ShowFacets.NEVER
    actions = ["apply_rules_again"]

    def has_qualify_permission(self, request: HttpRequest) -> bool:
        """Whoever keeps the rules may apply them again."""
        return request.user.has_perm("deliveries.change_qualificationrule")  # the list is for the root alone

    @admin.action(description=gettext_lazy("Apply the qualification rules again"), permissions=["qualify"])
    def apply_rules_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Judge the chosen reports by the rules in force now."""
        number = active_rules.requalify(queryset)
        self.message_user(request, ngettext("%d verdict changed.", "%d verdicts changed.", number) % number)
