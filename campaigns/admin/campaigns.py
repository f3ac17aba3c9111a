"""Admin pages of campaigns, of who holds which role in one, and of brands."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from guardian.admin import (
    AdminGroupObjectPermissionsForm,
    AdminUserObjectPermissionsForm,
    GroupManage,
    GuardedModelAdminMixin,
    UserManage,
)

from campaigns.accounts import grants, permissions
from campaigns.core.actors import person
from campaigns.messages import senders
from campaigns.models import Brand, Campaign, Message

from .base import ScopedAdmin, UnitAdmin, UnitOwned, key_in
from .units import who_may_start

GRANTED = (
    "view_campaign",
    "prepare_deliveries",
    "start_deliveries",
    "export_logs",
)  # what a grant on one campaign can say


class _RolesOnly:
    """Offers the rights that mean something on one campaign, not every model permission."""

    def get_obj_perms_field_choices(self) -> list[tuple[str, str]]:
        """(codename, name) of each right that may be granted."""
        choices = dict(super().get_obj_perms_field_choices())  # type: ignore[misc]
        return [(codename, choices[codename]) for codename in GRANTED]

    def get_obj_perms_field_widget(self) -> type[forms.Widget]:
        """Four boxes: guardian's pair of lists is for hundreds of rights, and names its helps for nobody."""
        return forms.CheckboxSelectMultiple


class UserGrants(_RolesOnly, AdminUserObjectPermissionsForm):
    """A user's rights on one campaign."""


class GroupGrants(_RolesOnly, AdminGroupObjectPermissionsForm):
    """A group's rights on one campaign."""


class KnownUser(UserManage):
    """Whom to grant something, by name; whoever is not `known` is answered as if there were no such account."""

    known: Any = None

    def clean_user(self) -> User:
        """Raises ValidationError, in guardian's words."""
        found: User = _known(self, "user", {User.USERNAME_FIELD: self.cleaned_data["user"]})
        return found


class KnownGroup(GroupManage):
    """The same for groups."""

    known: Any = None

    def clean_group(self) -> Group:
        """Raises ValidationError, in guardian's words."""
        found: Group = _known(self, "group", {"name": self.cleaned_data["group"]})
        return found


def _known(form: Any, field: str, name: dict[str, str]) -> Any:
    found = form.known.filter(**name).first()
    if found is None:
        raise ValidationError(form.fields[field].error_messages["does_not_exist"])
    return found


@admin.register(Campaign)
class CampaignAdmin(GuardedModelAdminMixin, UnitOwned, ScopedAdmin):
    """Campaigns, and for administrators the roles granted on each."""

    change_form_template = "admin/campaigns/campaign/change_form.html"  # type: ignore[misc]
    list_display = ["label", "status", "start", "end", "messages_written"]
    list_filter = ["status"]
    search_fields = ["label"]
    fields = ["label", "description", "start", "end", "status", "four_eyes", "needs_approval", "may_start_here"]
    readonly_fields = ["may_start_here"]

    def get_readonly_fields(self, request: HttpRequest, obj: Campaign | None = None) -> Any:
        """Whoever is bound by the rule of the second person cannot lift it."""
        fixed = list(super().get_readonly_fields(request, obj))
        if obj is None or permissions.may_lift(request.user, obj):
            return fixed
        return [*fixed, *(name for name in ("four_eyes", "needs_approval") if getattr(obj, name))]

    def campaign_of(self, obj: Any) -> Campaign:
        """The campaign itself."""
        campaign: Campaign = obj
        return campaign

    def get_queryset(self, request: HttpRequest) -> Any:
        """The readable ones, with the number of their messages."""
        each = Message.objects.filter(campaign=OuterRef("pk")).order_by().values("campaign")
        number = Coalesce(Subquery(each.annotate(number=Count("pk")).values("number")), 0)
        return permissions.readable_campaigns(request.user).annotate(message_count=number).order_by("-pk")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A new campaign has no grants yet, so only a role held everywhere lets one make it."""
        return permissions.may_prepare(request.user, None)

    @admin.display(description=_("messages"), ordering="message_count")
    def messages_written(self, campaign: Any) -> int:
        """How many messages it has."""
        return int(campaign.message_count)

    @admin.display(description=_("may start here"))
    def may_start_here(self, campaign: Campaign) -> str:
        """The names of those who may confirm this campaign's deliveries."""
        if not campaign.pk:
            return "-"
        names = [user.get_username() for user in permissions.who_may_start(campaign).order_by("username")[:50]]
        url = reverse("admin:campaigns_campaign_who", args=[campaign.pk])
        return format_html('{} <a href="{}">{}</a>', ", ".join(names) or _("nobody"), url, _("Who may start, and why?"))

    def get_urls(self) -> list[Any]:
        """With the page that says who may start, and why."""
        view = self.admin_site.admin_view(who_may_start)
        return [path("<int:pk>/who/", view, name="campaigns_campaign_who"), *super().get_urls()]  # type: ignore[no-untyped-call]

    def save_model(self, request: HttpRequest, obj: Campaign, form: Any, change: bool) -> None:
        """Remember who made it."""
        if not change:
            obj.created_by = person(request.user)
        super().save_model(request, obj, form, change)

    # guardian's pages ask for change rights alone, with which people could grant themselves more.

    def obj_perms_manage_view(self, request: HttpRequest, object_pk: str) -> HttpResponse:
        """Who holds what here, for administrators."""
        return self._managed(request, super().obj_perms_manage_view, object_pk)

    def obj_perms_manage_user_view(self, request: HttpRequest, object_pk: str, user_id: str) -> HttpResponse:
        """A user's rights here, for administrators; a change is written to the campaign's history."""
        return self._managed(request, super().obj_perms_manage_user_view, object_pk, user_id, whose="user")

    def obj_perms_manage_group_view(self, request: HttpRequest, object_pk: str, group_id: str) -> HttpResponse:
        """A group's rights here, for administrators; a change is written to the campaign's history."""
        return self._managed(request, super().obj_perms_manage_group_view, object_pk, group_id, whose="group")

    def _managed(self, request: HttpRequest, view: Any, *ids: str, whose: str = "") -> HttpResponse:
        campaign = permissions.readable_campaigns(request.user).filter(pk=key_in(ids[0])).first()
        if campaign is None and permissions.may_administer(request.user):
            raise Http404
        if not permissions.may_administer(request.user, campaign):
            raise PermissionDenied(_("Rights on a campaign are granted by administrators of its unit or above."))
        if whose and campaign is not None:
            grantees: Any = grants.grantees if whose == "user" else grants.grantee_groups
            holder = get_object_or_404(grantees(request.user, campaign), pk=key_in(ids[1]))
            if request.method == "POST":
                grants.require_grantable(request.user, holder, campaign, request.POST.getlist("permissions"))
        response: HttpResponse = view(request, *(str(key_in(part)) for part in ids))
        if whose and response.status_code == 302:  # saved
            rights = ", ".join(request.POST.getlist("permissions")) or "none"
            self.log_change(request, Campaign.objects.get(pk=ids[0]), f"Rights of {whose} #{ids[1]}: {rights}.")
            if campaign is not None and not grantees(request.user, campaign).filter(pk=holder.pk).exists():
                return redirect("admin:campaigns_campaign_permissions", campaign.pk)  # known by that grant alone
        return response

    def get_obj_perms_base_context(self, request: HttpRequest, obj: Campaign) -> dict[str, Any]:
        """guardian's context, with a title that says what the page is and those rights alone as columns."""
        base: Any = super().get_obj_perms_base_context
        context: dict[str, Any] = base(request, obj)
        shown = [right for right in context["model_perms"] if right.codename in GRANTED]
        return context | {"title": _("Who may do what in “%s”") % obj, "model_perms": shown}

    def get_obj_perms_user_select_form(self, request: HttpRequest) -> type[KnownUser]:
        """Knows whom the administrator may know."""
        return type("KnownUserForm", (KnownUser,), {"known": self._grantees(request, grants.grantees)})

    def get_obj_perms_group_select_form(self, request: HttpRequest) -> type[KnownGroup]:
        """Knows which groups the administrator may know."""
        return type("KnownGroupForm", (KnownGroup,), {"known": self._grantees(request, grants.grantee_groups)})

    def _grantees(self, request: HttpRequest, within: Any) -> Any:
        match = request.resolver_match
        assert match is not None
        return within(request.user, Campaign(pk=key_in(match.kwargs["object_pk"])))

    def get_obj_perms_manage_user_form(self, request: HttpRequest) -> type[UserGrants]:
        """The rights that mean something here."""
        return UserGrants

    def get_obj_perms_manage_group_form(self, request: HttpRequest) -> type[GroupGrants]:
        """The rights that mean something here."""
        return GroupGrants

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """guardian's pages ask without an object: administrators may open them."""
        return super().has_change_permission(request, obj) or (obj is None and permissions.may_administer(request.user))


@admin.register(Brand)
class BrandAdmin(UnitAdmin):
    """Brands: seen by whoever writes messages, edited by administrators."""

    list_display = ["label", "sender_name", "sender_address", "is_default"]
    fields = ["label", "sender_name", "sender_address", "reply_to", "sender_domains", "website", "is_default"]
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}

    def save_model(self, request: HttpRequest, obj: Brand, form: Any, change: bool) -> None:
        """An administrator may let answers go elsewhere, and is told so."""
        super().save_model(request, obj, form, change)
        if obj.reply_to and not senders.covers(obj, obj.reply_to):
            words = _("Answers go to %(address)s, which is not in a domain of this brand.")
            self.message_user(request, words % {"address": obj.reply_to}, messages.WARNING)
