"""Giving roles and units to people and groups: nobody gives more than they hold, nor anything to themselves.

A role is a set of permissions (permissions.ROLES); a group or a person holds it who has all of them. Superusers hold
everything; the built-in groups are as sync_roles made them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import CharField, Q, QuerySet
from django.db.models.functions import Cast
from django.utils.translation import gettext as _
from guardian.models import GroupObjectPermission, UserObjectPermission

from campaigns.core.actors import Actor, Person
from campaigns.models import Campaign
from campaigns.models.units import GroupUnit, OrganizationalUnit, PersonUnit

from . import permissions, units

Holder: TypeAlias = Person | Group


def _direct(holder: Holder) -> Any:
    return holder.permissions if isinstance(holder, Group) else holder.user_permissions


def roles_of(holder: Holder) -> list[str]:
    """The roles that a group or a person has by itself, not through groups."""
    held = {permission.pk for permission in _direct(holder).all()}
    return [name for name in permissions.ROLES if permissions.permissions_of(name) <= held]


def unit_given(holder: Holder) -> OrganizationalUnit | None:
    """The unit that was given to the group or the person itself."""
    given = getattr(holder, "unit_given", None)
    return given.unit if given else None


def roles_within(by: Actor) -> list[str]:
    """The roles that `by` may give: those of which they hold every permission."""
    if by.is_superuser:
        return list(permissions.ROLES)
    held = set(Permission.objects.filter(Q(user=by) | Q(group__user=by)).values_list("pk", flat=True))
    return [name for name in permissions.ROLES if permissions.permissions_of(name) <= held]


def groups_within(by: Actor) -> QuerySet[Group]:
    """The groups into which `by` may put people: with no right that `by` lacks, at or below their unit."""
    if by.is_superuser:
        return Group.objects.all()
    held = Permission.objects.filter(Q(user=by) | Q(group__user=by)).values("pk")
    more = Group.permissions.through.objects.exclude(permission__in=held).values("group")
    own = permissions.readable_campaigns(by, permissions.PREPARE, permissions.START)
    here = own.annotate(key=Cast("pk", CharField())).order_by().values("key")
    granted = GroupObjectPermission.objects.exclude(permission__in=held, object_pk__in=here).values("group")
    beneath = GroupUnit.objects.filter(unit__in=units.writable_units(by)).values("group")
    return Group.objects.exclude(pk__in=more).exclude(pk__in=granted).filter(pk__in=beneath)


def groups_seen(by: Actor) -> QuerySet[Group]:
    """The groups that exist for `by`: of their unit, of those above and below, and those that give none."""
    if by.is_superuser or units.at_root(by):
        return Group.objects.all()
    return Group.objects.filter(Q(unit_given=None) | Q(unit_given__unit__in=units.readable_units(by)))


def keeps(by: Actor, group: Group) -> bool:
    """True if `by` may change the group: none that is built in, and only at or below their unit."""
    if group.name in permissions.ROLES:
        return False
    given = unit_given(group)
    return units.at_root(by) or (given is not None and units.writable_units(by).filter(pk=given.pk).exists())


def people_within(by: Actor) -> QuerySet[Person]:
    """The people whom `by` manages: at or below their unit; those without a unit are managed at the root."""
    users = get_user_model()._default_manager.all()
    if by.is_superuser or units.at_root(by):
        return users
    unit = units.unit_of(by)
    return units.with_unit_path(users).filter(unit_path__startswith=unit.path) if unit else users.none()


def grantees(by: Actor, campaign: Campaign) -> QuerySet[Person]:
    """The people to whom `by` may grant something on the campaign: whom they manage, and who holds a grant on it
    already. All others do not exist there: no page may tell which accounts there are."""
    users = get_user_model()._default_manager
    here = UserObjectPermission.objects.filter(object_pk=str(campaign.pk), permission__content_type=_campaigns())
    return users.filter(Q(pk__in=people_within(by).values("pk")) | Q(pk__in=here.values("user")))


def grantee_groups(by: Actor, campaign: Campaign) -> QuerySet[Group]:
    """The same of groups."""
    here = GroupObjectPermission.objects.filter(object_pk=str(campaign.pk), permission__content_type=_campaigns())
    return Group.objects.filter(Q(pk__in=groups_seen(by).values("pk")) | Q(pk__in=here.values("group")))


def _campaigns() -> ContentType:
    return ContentType.objects.get_for_model(Campaign)


def outranks(by: Actor, user: Actor) -> bool:
    """True if `by` holds all rights of `user`. Only then may they set the password, with which they could log in."""
    if by.is_superuser or by.pk == user.pk:
        return True
    if user.is_superuser or user.get_all_permissions() - by.get_all_permissions():
        return False
    granted = UserObjectPermission.objects.filter(user=user).exists()
    return not granted and not GroupObjectPermission.objects.filter(group__user=user).exists()


def require_not_oneself(by: Actor, holder: Holder) -> None:
    """Raises PermissionDenied: somebody else must give, also to a group that one is in."""
    own = by.groups.filter(pk=holder.pk).exists() if isinstance(holder, Group) else by.pk == holder.pk
    if own and not by.is_superuser:
        raise PermissionDenied(_("You cannot grant rights to yourself. Ask another administrator."))


def put_into_groups(by: Actor, user: Person, wanted: Iterable[Group]) -> None:
    """Make these the user's groups. Raises PermissionDenied for one that gives more than `by` holds."""
    before, after = set(user.groups.values_list("pk", flat=True)), {group.pk for group in wanted}
    if before == after:
        return
    require_not_oneself(by, user)
    beyond = Group.objects.filter(pk__in=after - before).exclude(pk__in=groups_within(by).values("pk")).first()
    if beyond is not None:
        raise PermissionDenied(_("The group “%s” gives more than you hold.") % beyond)
    user.groups.set(after)
    units.forget(user)


@transaction.atomic
def give(by: Actor, holder: Holder, roles: Iterable[str], unit: OrganizationalUnit | None) -> None:
    """Make these the roles and the unit of a group or a person. What they hold already may stay, and may be taken.

    Raises PermissionDenied for a role that `by` lacks, for a unit that is not at or below theirs, and for themselves.
    """
    before, after = set(roles_of(holder)), set(roles)
    if before != after:
        _give_roles(by, holder, before, after)
    given = unit_given(holder)
    if given != unit:
        require_not_oneself(by, holder)
        for changed in (given, unit):
            if changed and not units.writable_units(by).filter(pk=changed.pk).exists():
                raise PermissionDenied(_("The unit %s is not at or below yours.") % changed)
        _give_unit(holder, unit)
    units.forget(holder)


def _give_roles(by: Actor, holder: Holder, before: set[str], after: set[str]) -> None:
    require_not_oneself(by, holder)
    if isinstance(holder, Group) and holder.name in permissions.ROLES:
        raise PermissionDenied(_("The roles of a built-in group are fixed."))
    if beyond := after - before - set(roles_within(by)):
        raise PermissionDenied(_("You cannot give what you do not hold: %s.") % ", ".join(sorted(beyond)))
    known = {pk for name in permissions.ROLES for pk in permissions.permissions_of(name)}
    others = {permission.pk for permission in _direct(holder).all()} - known
    _direct(holder).set(others.union(*(permissions.permissions_of(name) for name in after)))


def _give_unit(holder: Holder, unit: OrganizationalUnit | None) -> None:
    model: Any = GroupUnit if isinstance(holder, Group) else PersonUnit
    key = {"group" if isinstance(holder, Group) else "user": holder}
    if unit is None:
        model.objects.filter(**key).delete()
    else:
        model.objects.update_or_create(**key, defaults={"unit": unit})
    holder.refresh_from_db()


def require_grantable(by: Actor, holder: Holder, campaign: Campaign, codes: Iterable[str]) -> None:
    """Raises PermissionDenied if these rights on the campaign are more than `by` holds there, or for themselves.
    What was granted before may stay."""
    held = holder.groupobjectpermission_set if isinstance(holder, Group) else holder.userobjectpermission_set
    before = set(held.filter(object_pk=str(campaign.pk)).values_list("permission__codename", flat=True))
    added = set(codes) - before
    if added:
        require_not_oneself(by, holder)
    if beyond := [code for code in sorted(added) if not by.has_perm(f"campaigns.{code}")]:
        raise PermissionDenied(_("You cannot give what you do not hold: %s.") % ", ".join(beyond))


# --- Who may start, and why -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ground:
    """Why somebody may start: `kind` is superuser, group, own, grant or group_grant; `name` the group's."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        words = {
            "superuser": _("superuser"),
            "own": _("their own role"),
            "grant": _("a grant on this campaign"),
            "group": _("the group “%s”"),
            "group_grant": _("a grant on this campaign to the group “%s”"),
        }
        return words[self.kind] % self.name if self.name else words[self.kind]


@dataclass(frozen=True, slots=True)
class MayStart:
    """Somebody who may start a campaign's deliveries, from which unit, and on which grounds."""

    user: Actor
    unit: OrganizationalUnit
    grounds: tuple[Ground, ...]


def who_may_start(campaign: Campaign, most: int = 200) -> list[MayStart]:
    """The first `most` people by name, with their grounds; six queries whatever their number."""
    users: list[Any] = list(permissions.who_may_start(campaign).order_by("username")[:most])
    tree = {unit.path: unit for unit in OrganizationalUnit.objects.filter(path__in={u.unit_path for u in users})}
    over = set(units.above(campaign.unit.path))
    grounds: dict[int, list[Ground]] = {user.pk: [] for user in users}
    for user in users:
        if user.is_superuser:
            grounds[user.pk].append(Ground("superuser"))
    for kind, rows in _grounds(campaign, list(grounds)).items():
        for pk, name in rows:
            grounds[pk].append(Ground(kind, name or ""))
    by_role = {"own", "group"}
    return [
        MayStart(
            user,
            tree[user.unit_path],
            tuple(g for g in grounds[user.pk] if user.unit_path in over or g.kind not in by_role),
        )
        for user in users
    ]


def _grounds(campaign: Campaign, users: list[int]) -> dict[str, Any]:
    """{kind: rows of (user id, group name)}."""
    start = permissions.start_permission()
    here = {"object_pk": str(campaign.pk), "permission__in": start}
    members = Group.objects.filter(user__in=users)
    granted = GroupObjectPermission.objects.filter(group__user__in=users, **here)
    none = partial(map, lambda pk: (pk, ""))
    own = get_user_model()._default_manager.filter(pk__in=users, user_permissions__in=start)
    return {
        "group": members.filter(permissions__in=start).values_list("user", "name").distinct(),
        "own": none(own.values_list("pk", flat=True).distinct()),
        "grant": none(UserObjectPermission.objects.filter(user__in=users, **here).values_list("user", flat=True)),
        "group_grant": granted.values_list("group__user", "group__name").distinct(),
    }
