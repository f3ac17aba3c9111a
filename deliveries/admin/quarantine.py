"""Admin pages of quarantined addresses, and the repair of many at once after an outage; for administrators."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from campaigns.accounts import permissions
from campaigns.admin.base import ForAllAdmin
from campaigns.admin.forms.schedule_form import LabelledSplitDateTime
from campaigns.core.web.search import starts_with
from deliveries.feedback import quarantine
from deliveries.feedback.similar_addresses import similar_to
from deliveries.models import QuarantinedAddress

Status = QuarantinedAddress.Status


class QuarantineForm(forms.ModelForm):  # type: ignore[type-arg]
    """An entry made or changed by hand."""

    class Meta:
        model = QuarantinedAddress
        fields = ["address", "status", "reason", "errors", "significant_at", "error_text"]
        widgets = {"significant_at": LabelledSplitDateTime}

    def clean_address(self) -> str:
        """Addresses match exactly and are kept in lower case (deliverability.md, Quarantine)."""
        address: str = self.cleaned_data["address"].strip().lower()
        return address


class RepairForm(forms.Form):
    """Which entries an outage made: by the words of the server and the time in which they changed."""

    text = forms.CharField(label=gettext_lazy("Error text contains"), max_length=200)
    since = forms.SplitDateTimeField(label=gettext_lazy("Changed from"), widget=LabelledSplitDateTime())
    until = forms.SplitDateTimeField(label=gettext_lazy("to"), widget=LabelledSplitDateTime())

    def found(self) -> QuerySet[QuarantinedAddress]:
        """The entries meant; nobody's complaint is undone with the others."""
        data = self.cleaned_data
        red = QuarantinedAddress.objects.filter(status__in=(Status.ERRONEOUS, Status.QUARANTINE))
        return red.filter(error_text__icontains=data["text"], modified_at__range=(data["since"], data["until"]))


@admin.register(QuarantinedAddress)
class QuarantinedAddressAdmin(ForAllAdmin):
    """What is known against addresses. Deleting an entry, or setting it Valid, frees the address."""

    form = QuarantineForm
    list_display = ["address", "status", "reason", "errors", "last_delivery", "modified_at"]
    list_filter = ["status", "reason"]
    list_select_related = ["last_delivery"]
    search_fields = ["address"]
    fields = ["address", "status", "reason", "errors", "significant_at", "error_text", "last_delivery"]
    readonly_fields = ["last_delivery"]
    ordering = ["-pk"]
    actions = ["set_valid"]
    change_list_template = "admin/deliveries/quarantinedaddress/change_list.html"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Administration with the unit All, as in the API: the list tells the addresses of every unit's people."""
        return super().has_view_permission(request, obj) and permissions.may_administer_all(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """As for seeing."""
        return self.has_view_permission(request)

    def get_urls(self) -> list[Any]:
        """With the address of the repair."""
        view = self.admin_site.admin_view(self.repair_view)
        return [path("repair/", view, name="deliveries_quarantinedaddress_repair"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: QuarantinedAddress, form: Any, change: bool) -> None:
        """What a person sets, reports do not lower; Valid forgets what was reported until now."""
        obj.by_hand = obj.status != Status.VALID
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            if obj.status == Status.VALID:
                quarantine.forget([obj.address])

    def delete_model(self, request: HttpRequest, obj: QuarantinedAddress) -> None:
        """The address starts anew."""
        with transaction.atomic():
            quarantine.forget([obj.address])
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """So do these."""
        with transaction.atomic():
            quarantine.forget(list(queryset.values_list("address", flat=True)))
            super().delete_queryset(request, queryset)

    @admin.action(description=gettext_lazy("Set Valid"), permissions=["change"])
    def set_valid(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Free the chosen addresses."""
        self._tell(request, quarantine.repair(queryset))

    def repair_view(self, request: HttpRequest) -> HttpResponse:
        """First how many an error text and a time select, then, by POST, set them Valid."""
        if not self.has_change_permission(request):
            raise PermissionDenied(_("The quarantine is kept by administrators."))
        form = RepairForm(request.POST or request.GET or None)
        known = form.is_bound and form.is_valid()
        if request.method == "POST" and known:
            self._tell(request, quarantine.repair(form.found()))
            return redirect("admin:deliveries_quarantinedaddress_changelist")
        context = {
            **self.admin_site.each_context(request),
            "title": _("Repair the quarantine"),
            "opts": self.opts,
            "form": form,
            "media": self.media + form.media,
            "number": form.found().count() if known else None,
            "some": form.found().order_by("-modified_at")[:10] if known else [],
        }
        return TemplateResponse(request, "admin/deliveries/quarantinedaddress/repair.html", context)

    def _tell(self, request: HttpRequest, number: int) -> None:
        self.message_user(request, ngettext("%d address was freed.", "%d addresses were freed.", number) % number)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By the beginning, which the index answers; where an address finds nothing, those that look like it."""
        term = search_term.strip().lower()
        if not term:
            return queryset, False
        found = queryset.filter(starts_with("address", term))
        if "@" in term and not found.exists() and (alike := similar_to(term)):
            messages.info(request, _("No entry begins like that; these look like it."))
            found = queryset.filter(address__in=alike)
        return found, False
