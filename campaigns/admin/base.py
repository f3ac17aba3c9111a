"""How the admin asks permissions.py: base classes for models that belong to campaigns.

The admin's list, form, buttons and own views show and allow what permissions.py says; model permissions alone would let
somebody with rights on one campaign into none, and somebody with rights on the model into all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.utils.translation import gettext_lazy as _

from campaigns.accounts import permissions, units
from campaigns.admin.forms.edit_conflicts import NoticesOthers
from campaigns.core.web.paging import BoundedList
from campaigns.models import Campaign

if TYPE_CHECKING:  # the stubs' classes are generic, Django's are not
    ModelAdmin = admin.ModelAdmin[Any]
    StackedInline = admin.StackedInline[Any, Any]
else:
    ModelAdmin, StackedInline = admin.ModelAdmin, admin.StackedInline


def readable(request: HttpRequest) -> QuerySet[Campaign]:
    """The campaigns that the user may read, as a queryset for subqueries."""
    return permissions.readable_campaigns(request.user)


def writable(request: HttpRequest) -> QuerySet[Campaign]:
    """The campaigns in which the user may write and prepare."""
    return permissions.readable_campaigns(request.user, permissions.PREPARE, permissions.START)


def _any_of(request: HttpRequest, campaigns: Callable[[HttpRequest], QuerySet[Campaign]]) -> bool:
    """The side bar asks for each model, several times a page: asking once is enough."""
    answers: dict[str, bool] = request.__dict__.setdefault("_campaign_rights", {})
    if campaigns.__name__ not in answers:
        answers[campaigns.__name__] = campaigns(request).exists()
    return answers[campaigns.__name__]


def reads_somewhere(request: HttpRequest) -> bool:
    """True if there may be something to list: a global right, or a grant on some campaign."""
    user = request.user
    if (
        user.has_perm("campaigns.view_campaign")
        or user.has_perm(permissions.PREPARE)
        or user.has_perm(permissions.START)
    ):
        return True
    return _any_of(request, readable)


def writes_somewhere(request: HttpRequest) -> bool:
    """True if the user may prepare in some campaign, or in any that will be made."""
    if permissions.may_prepare(request.user, None):
        return True
    return _any_of(request, writable)


def key_in(text: str) -> int:
    """The key that a part of an address names. Raises Http404 for what no row can have."""
    if not text.isdecimal() or len(text) > 18:
        raise Http404
    return int(text)


class UnitChoices(NoticesOthers):
    """Offers of what has a unit only what the user may read, and to administrators the units at and below their own."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A key that is not offered is refused as if there were no such row."""
        model = db_field.remote_field.model
        if db_field.name == "unit":
            kwargs["queryset"] = units.writable_units(request.user)
            kwargs["initial"] = units.unit_of(request.user)
        elif "queryset" not in kwargs and hasattr(model, "unit"):
            kwargs["queryset"] = model._default_manager.filter(units.readable(request.user))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A unit is chosen from the list, not made or changed beside it."""
        formfield = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "unit" and formfield is not None:
            formfield.widget = getattr(formfield.widget, "widget", formfield.widget)
        return formfield


class UnitOwned(UnitChoices):
    """For models that have a unit: what is made gets its maker's; administrators may move it at and below their own."""

    shows_unit = True

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """With the unit at the end."""
        unit: Any = (_("Organisational unit"), {"fields": ["unit"]})
        return [*super().get_fieldsets(request, obj), *([unit] if self.shows_unit else [])]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """The unit is fixed for whoever is no administrator of it."""
        fixed = list(super().get_readonly_fields(request, obj))
        return fixed if permissions.may_administer(request.user, obj) else [*fixed, "unit"]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The creator's unit, unless an administrator chose another."""
        if not change and "unit" not in form.fields:
            obj.unit = units.unit_of(request.user)
        super().save_model(request, obj, form, change)


class UnitAdmin(UnitOwned):
    """Users do not see rows of units beside theirs, and read those above; below, the model's rights decide.

    `lends`: the verbs that a role in some campaign gives, too.
    """

    lends: frozenset[str] = frozenset()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """What the user's unit lets them read."""
        return super().get_queryset(request).filter(units.readable(request.user))

    def _may(self, request: HttpRequest, verb: str, obj: Any, within: Callable[[Any, Any], bool]) -> bool:
        user = request.user
        role = user.has_perm(f"{self.opts.app_label}.{verb}_{self.opts.model_name}")
        if not (role or (verb in self.lends and writes_somewhere(request))):
            return False
        return units.unit_of(user) is not None if obj is None else within(user, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Shown in the index to whoever may see the list."""
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """At, below and above the user's unit; whoever may change it may see it."""
        return any(self._may(request, verb, obj, units.reads) for verb in ("view", "change"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """In the user's unit."""
        return self._may(request, "add", None, units.writes)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """At and below the user's unit."""
        return self._may(request, "change", obj, units.writes)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for changing."""
        return self._may(request, "delete", obj, units.writes)


class ForAllAdmin(NoticesOthers):
    """What belongs to nobody's unit and so to everybody's: only Administration with the unit All writes it."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """At the root."""
        return super().has_add_permission(request) and units.at_root(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """At the root."""
        return super().has_change_permission(request, obj) and units.at_root(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """At the root."""
        return super().has_delete_permission(request, obj) and units.at_root(request.user)


class WholeLogAdmin(BoundedList, ModelAdmin):
    """A log of everybody's doings: read by Administration with the unit All, 403 for all others."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """At the root."""
        return permissions.may_administer_all(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """As for seeing."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: what happens writes it."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False


class InCampaign(admin.SimpleListFilter):
    """By one of the campaigns that the user may read."""

    title = _("campaign")
    parameter_name = "campaign"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The newest hundred; the search box finds the others."""
        return [(str(pk), label) for pk, label in readable(request).order_by("-pk").values_list("pk", "label")[:100]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Its rows."""
        value = self.value() or ""
        return queryset.filter(campaign_id=int(value)) if value.isdecimal() and len(value) < 19 else queryset


class ScopedAdmin(UnitChoices):
    """For models that belong to a campaign: read by whoever may read it, written by whoever may prepare in it."""

    def campaign_of(self, obj: Any) -> Campaign:
        """The campaign whose rights decide about `obj`."""
        campaign: Campaign = obj.campaign
        return campaign

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """What the user may read; the rest does not exist for them."""
        return super().get_queryset(request).filter(campaign__in=readable(request))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Shown in the index to whoever may read some campaign."""
        return reads_somewhere(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Without an object: the list, which shows what is readable."""
        if obj is None:
            return reads_somewhere(request)
        return permissions.may_read(request.user, self.campaign_of(obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Somewhere is enough: the form offers those campaigns alone."""
        return writes_somewhere(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """By the object's campaign."""
        if obj is None:
            return writes_somewhere(request)
        return permissions.may_prepare(request.user, self.campaign_of(obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As for changing."""
        return self.has_change_permission(request, obj)
