"""Admin pages of people and groups: roles and units. Nobody gives more than they hold, nor anything to themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.accounts import grants, permissions, units
from campaigns.admin.forms.edit_conflicts import NoticesOthers
from campaigns.core.actors import Actor
from campaigns.core.one_line import single_line
from campaigns.models.units import OrganizationalUnit

if TYPE_CHECKING:
    _UserAdmin = UserAdmin[User]
    _ModelForm = forms.ModelForm[Any]
else:
    _UserAdmin, _ModelForm = UserAdmin, forms.ModelForm
admin.site.unregister([User, Group])


class GrantForm(_ModelForm):
    """Roles and unit of a person or a group, as far as `by` may give them; what is held already may stay."""

    by: Actor  # set by whoever shows the form
    held_roles = forms.MultipleChoiceField(
        label=gettext_lazy("Roles"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("You can give what you hold yourself. Roles of several groups are added up."),
    )
    own_unit = forms.ModelChoiceField(
        label=gettext_lazy("Organisational unit"),
        required=False,
        queryset=OrganizationalUnit.objects.all(),
        help_text=gettext_lazy("Of several the highest counts. Whoever has none, here or by a group, cannot log in."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in {"name", "first_name", "last_name"} & set(self.fields):
            self.fields[name].validators.append(single_line)
        if self.instance.pk and self.instance == self.by and not self.by.is_superuser:
            del self.fields["held_roles"], self.fields["own_unit"]  # nobody gives to themselves
        held = grants.roles_of(self.instance) if self.instance.pk else []
        given = grants.unit_given(self.instance) if self.instance.pk else units.unit_of(self.by)
        if "held_roles" in self.fields:
            known = {*grants.roles_within(self.by), *held}
            roles: Any = self.fields["held_roles"]
            roles.choices, roles.initial = [(name, _(name)) for name in permissions.ROLES if name in known], held
        if "own_unit" in self.fields:
            choice: Any = self.fields["own_unit"]
            choice.queryset, choice.initial = units.writable_units(self.by), given
            if given:
                choice.queryset |= OrganizationalUnit.objects.filter(pk=given.pk)


class _Granting:
    """What the pages of people and of groups share."""

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """A form that knows who gives."""
        form: Any = super().get_form(request, obj, change=change, **kwargs)  # type: ignore[misc]
        return type(form.__name__, (form,), {"by": request.user})

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Roles and unit, by the one function that gives them."""
        super().save_related(request, form, formsets, change)  # type: ignore[misc]
        given = form.cleaned_data
        roles = given["held_roles"] if "held_roles" in given else grants.roles_of(form.instance)
        unit = given["own_unit"] if "own_unit" in given else grants.unit_given(form.instance)
        if not change and isinstance(form.instance, User):
            unit = unit or units.unit_of(request.user)  # whoever is made belongs somewhere
        grants.give(request.user, form.instance, roles, unit)


class PersonForm(GrantForm):
    """A person; groups that give more than the administrator holds are not offered."""

    class Meta:
        model = User
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "groups" in self.fields:
            groups: Any = self.fields["groups"]
            own: Any = self.instance.groups.values("pk") if self.instance.pk else Group.objects.none().values("pk")
            offered = grants.groups_within(self.by).values("pk")
            groups.queryset = Group.objects.filter(pk__in=offered) | Group.objects.filter(pk__in=own)


_PERSON: Any = (
    gettext_lazy("Roles and units"),
    {"fields": ["groups", "held_roles", "own_unit", "acts_from"]},
)


@admin.register(User)
class PeopleAdmin(NoticesOthers, _Granting, _UserAdmin):
    """People at and below the administrator's unit. They cannot make or change a superuser, nor raise themselves."""

    form: Any = type("PersonChangeForm", (PersonForm, UserChangeForm), {})
    list_display = ("username", "email", "first_name", "last_name", "roles", "acts_from", "is_active")
    list_filter = (("groups", admin.RelatedOnlyFieldListFilter), "is_active", "is_staff")  # of people seen here
    readonly_fields = ("last_login", "date_joined", "acts_from")
    filter_horizontal = ()
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        (gettext_lazy("Person"), {"fields": ["first_name", "last_name", "email", "is_active", "is_staff"]}),
        _PERSON,
        (gettext_lazy("Beyond roles"), {"fields": ["is_superuser", "user_permissions"], "classes": ["collapse"]}),
        (gettext_lazy("Dates"), {"fields": ["last_login", "date_joined"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """With the groups, which the list shows."""
        people = grants.people_within(request.user).order_by("username")
        return people.prefetch_related("groups", "user_permissions", "unit_given__unit")

    @admin.display(description=gettext_lazy("roles"))
    def roles(self, user: User) -> str:
        """The groups, by name, and the user's own roles."""
        return ", ".join([*(group.name for group in user.groups.all()), *grants.roles_of(user)])

    @admin.display(description=gettext_lazy("acts from"))
    def acts_from(self, user: User) -> str:
        """The user's unit, marked if units beside it were given, too, of which the tree's order chose one."""
        if not user.pk:
            return "-"
        standing = units.standing(user)
        if standing.unit is None:
            return _("no unit: cannot log in")
        beside = ", ".join(unit.label for unit in standing.beside)
        warning = _("not from %s, which lies beside it") % beside
        return f"{standing.unit} ⚠ {warning}" if beside else str(standing.unit)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Flags and single permissions that would exceed the administrator's rights; all of their own rights."""
        fixed = list(super().get_readonly_fields(request, obj))
        if request.user.is_superuser:
            return fixed
        own = ["groups"] if obj is not None and obj.pk == request.user.pk else []
        return [*fixed, "is_superuser", "user_permissions", *own]

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Nobody is offered to give themselves anything; new people get their rights on the next page."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or obj.pk != request.user.pk or request.user.is_superuser:
            return fieldsets
        mine = (_PERSON[0], {"fields": ["groups", "acts_from"]})
        return [mine if fieldset is _PERSON else fieldset for fieldset in fieldsets]

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        """A new person has a name and a password alone."""
        if obj is None:
            return _UserAdmin.get_form(self, request, obj, change=change, **kwargs)
        return super().get_form(request, obj, change=change, **kwargs)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        """Refuse first: the groups are saved with the form."""
        if change and "groups" in form.cleaned_data:
            grants.put_into_groups(request.user, form.instance, form.cleaned_data["groups"])
        return super().save_form(request, form, change)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """With somebody's password one could act as them: only who holds all their rights sets it."""
        user = self.get_object(request, id)
        if user is not None and not grants.outranks(request.user, user):
            words = _("“%s” has rights you do not have. Only a superuser can change their password.")
            raise PermissionDenied(words % user)
        return super().user_change_password(request, id, form_url)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Only superusers change a superuser's account, password included."""
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or not obj.is_superuser or bool(request.user.is_superuser))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """As for changing."""
        allowed = super().has_delete_permission(request, obj)
        return allowed and (obj is None or not obj.is_superuser or bool(request.user.is_superuser))


class GroupForm(GrantForm):
    """A group with its roles and its unit."""

    class Meta:
        model = Group
        fields = "__all__"


@admin.register(Group)
class RolesAdmin(NoticesOthers, _Granting, GroupAdmin):
    """Groups and their roles; single permissions are a superuser's affair, the built-in groups sync_roles'."""

    form = GroupForm
    list_display = ("name", "roles", "unit")
    fields = ("name", "held_roles", "own_unit", "permissions")
    filter_horizontal = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        """Without those of units beside; with what the list shows."""
        return grants.groups_seen(request.user).prefetch_related("permissions").select_related("unit_given__unit")

    @admin.display(description=gettext_lazy("roles"))
    def roles(self, group: Group) -> str:
        """By name."""
        return ", ".join(_(name) for name in grants.roles_of(group)) or "-"

    @admin.display(description=gettext_lazy("organisational unit"))
    def unit(self, group: Group) -> str:
        """What it gives its members."""
        return str(grants.unit_given(group) or "-")

    def get_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        """What a form would ask, told of a group that is only looked at."""
        if obj is not None and not self.has_change_permission(request, obj):
            return ("name", "roles", "unit", "permissions")
        return self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        """Among all permissions are some that would let an administrator do anything."""
        fixed = [*super().get_readonly_fields(request, obj), "roles", "unit"]
        return fixed if request.user.is_superuser else [*fixed, "permissions"]

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """The built-in ones are read-only; others can be changed at or below the administrator's unit."""
        return super().has_change_permission(request, obj) and (obj is None or grants.keeps(request.user, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """As for changing."""
        return super().has_delete_permission(request, obj) and (obj is None or grants.keeps(request.user, obj))
