"""Admin pages of the tree of units, and of who may start a campaign's deliveries, and why."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.accounts import grants, permissions, units
from campaigns.admin.forms.edit_conflicts import NoticesOthers
from campaigns.models import Campaign
from campaigns.models.units import ROOT, OrganizationalUnit

SHOWN = 200  # people on a page


@admin.register(OrganizationalUnit)
class UnitsAdmin(NoticesOthers):
    """The tree, for administrators: they change what lies below their own unit. All (all) is fixed."""

    list_display = ["indented", "name", "groups_here"]
    list_display_links = ["indented"]
    search_fields = ["label", "name"]
    fields = ["label", "name", "parent"]
    ordering = ["path"]
    list_per_page = 500  # a tree is read as a whole

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrganizationalUnit]:
        """What can be read from the administrator's own."""
        return units.readable_units(request.user).order_by("path").prefetch_related("groups__group")

    @admin.display(description=gettext_lazy("unit"))
    def indented(self, unit: OrganizationalUnit) -> str:
        """As deep as it lies."""
        return format_html('<span class="unit-depth-{}">{}{}</span>', unit.depth, "— " * unit.depth, unit.label)

    @admin.display(description=gettext_lazy("groups"))
    def groups_here(self, unit: Any) -> str:
        """The groups that give it."""
        return ", ".join(given.group.name for given in unit.groups.all()) or "-"

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Within the administrator's own unit, or one below it."""
        if db_field.name == "parent":
            kwargs["queryset"] = units.writable_units(request.user)
            kwargs["initial"] = units.unit_of(request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Administration's."""
        return permissions.may_administer(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """As for seeing."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Below one's own."""
        return permissions.may_administer(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Below one's own: nobody renames or moves the unit that they stand on."""
        if obj is None or not permissions.may_administer(request.user):
            return permissions.may_administer(request.user)
        own = units.unit_of(request.user)
        return own is not None and obj.pk != ROOT and obj.path != own.path and obj.path.startswith(own.path)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for changing; the database refuses while something belongs to it."""
        return self.has_change_permission(request, obj)


def who_may_start(request: HttpRequest, pk: int) -> HttpResponse:
    """Who may start this campaign's deliveries, and why. 404 if the user may not read it, 403 for whoever neither
    prepares in it nor administers it."""
    campaign = permissions.readable_campaigns(request.user).select_related("unit").filter(pk=pk).first()
    if campaign is None:
        raise Http404
    if not (permissions.may_administer(request.user, campaign) or permissions.may_prepare(request.user, campaign)):
        raise PermissionDenied(_("Who may do what is shown to who prepares here, and to administrators."))
    context = {
        **admin.site.each_context(request),
        "title": _("Who may start deliveries of “%s”") % campaign,
        "opts": Campaign._meta,
        "campaign": campaign,
        "people": grants.who_may_start(campaign, SHOWN),
        "most": SHOWN,
        "administers": permissions.may_administer(request.user, campaign),
    }
    return TemplateResponse(request, "campaigns/who_may_start.html", context)
