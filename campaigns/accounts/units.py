"""Where users stand in the tree of units, and what they may read and write from there (security.md, Roles and units).

They read what lies above their unit, read and write what lies at or below it, and what lies beside does not exist for
them. Their unit is the highest that their groups or they themselves were given; of several as high, the first in the
order of the tree, and then the administrators are told. Nobody without a unit gets in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Length
from django.utils.translation import gettext as _

from campaigns.core.actors import Actor, Person
from campaigns.models.units import ROOT, STEP, GroupUnit, OrganizationalUnit, PersonUnit


@dataclass(frozen=True, slots=True)
class Standing:
    """`unit`: from where somebody acts, None if nowhere. `beside`: units given to them that this one does not reach."""

    unit: OrganizationalUnit | None = None
    beside: tuple[OrganizationalUnit, ...] = ()


_ATTRIBUTE = "_standing"


def standing(user: Actor) -> Standing:
    """One query, then remembered on the user object, as Django does with permissions."""
    found: Standing | None = getattr(user, _ATTRIBUTE, None)
    if found is None:
        found = _standing(user)
        setattr(user, _ATTRIBUTE, found)
    return found


def forget(holder: Actor | Group) -> None:
    """The groups or units of a person, or of a group, have changed."""
    for name in (_ATTRIBUTE, "_perm_cache", "_user_perm_cache", "_group_perm_cache"):
        holder.__dict__.pop(name, None)


def _standing(user: Actor) -> Standing:
    if user.pk is None or not user.is_active:
        return Standing()
    if user.is_superuser:
        return Standing(root())
    given = Q(pk__in=GroupUnit.objects.filter(group__user=user).values("unit"))
    given |= Q(pk__in=PersonUnit.objects.filter(user=user).values("unit"))
    units = list(OrganizationalUnit.objects.filter(given).order_by(Length("path"), "path"))
    if not units:
        return Standing()
    highest = units[0]
    return Standing(highest, tuple(unit for unit in units if not unit.path.startswith(highest.path)))


def unit_of(user: Actor) -> OrganizationalUnit | None:
    """From where `user` acts; the unit of what they make."""
    return standing(user).unit


def root() -> OrganizationalUnit:
    """All (all)."""
    return OrganizationalUnit.objects.get(pk=ROOT)


def at_root(user: Actor) -> bool:
    """True if `user` stands at All (all)."""
    unit = unit_of(user)
    return unit is not None and unit.pk == ROOT


def above(path: str) -> list[str]:
    """The paths from the root down to `path`, itself included."""
    return [path[:end] for end in range(STEP, len(path) + 1, STEP)]


# --- Questions about one object, and conditions for many --------------------------------------------------------------


def writes(user: Actor, obj: Any) -> bool:
    """True if `obj`, which has a `unit`, lies at or below the user's."""
    unit = unit_of(user)
    return unit is not None and (unit.pk == ROOT or unit.pk == obj.unit_id or obj.unit.path.startswith(unit.path))


def reads(user: Actor, obj: Any) -> bool:
    """True if `obj` lies at, below or above the user's unit."""
    unit = unit_of(user)
    return unit is not None and (writes(user, obj) or unit.path.startswith(obj.unit.path))


def below(unit: OrganizationalUnit) -> QuerySet[OrganizationalUnit]:
    """The unit and what lies below it."""
    return OrganizationalUnit.objects.filter(path__startswith=unit.path)


def writable_units(user: Actor) -> QuerySet[OrganizationalUnit]:
    """The user's unit and what lies below it."""
    unit = unit_of(user)
    return below(unit) if unit else OrganizationalUnit.objects.none()


def related_units(unit: OrganizationalUnit) -> QuerySet[OrganizationalUnit]:
    """The unit, what lies below and what lies above it: what can be read from there."""
    return OrganizationalUnit.objects.filter(Q(path__startswith=unit.path) | Q(path__in=above(unit.path)))


def readable_units(user: Actor) -> QuerySet[OrganizationalUnit]:
    """The user's unit, what lies below and what lies above it."""
    unit = unit_of(user)
    return related_units(unit) if unit else OrganizationalUnit.objects.none()


def readable(user: Actor, to: str = "unit") -> Q:
    """Rows that the user's unit lets them read; `to` leads from the row to its unit. At the root nothing is asked."""
    return Q() if at_root(user) else Q((f"{to}__in", readable_units(user)))


def writable(user: Actor, to: str = "unit") -> Q:
    """As `readable`, of what the user may write."""
    return Q() if at_root(user) else Q((f"{to}__in", writable_units(user)))


def refusal(user: Actor, obj: Any) -> str:
    """Why `user` may read this and not write it, naming resource and id."""
    words = {
        "kind": obj._meta.verbose_name,
        "id": obj.pk,
        "object": obj,
        "unit": obj.unit,
        "own": unit_of(user),
    }
    return (
        _(
            "You may read, but not change, the %(kind)s #%(id)s “%(object)s”: it belongs to %(unit)s, and you to "
            "%(own)s."
        )
        % words
    )


def require_writes(user: Actor, obj: Any) -> None:
    """Raises PermissionDenied, naming resource and id."""
    if not writes(user, obj):
        raise PermissionDenied(refusal(user, obj))


# --- People -----------------------------------------------------------------------------------------------------------


def with_unit_path(users: QuerySet[Person]) -> QuerySet[Any]:
    """`users` with the path of each one's unit as `unit_path`: the root's for superusers, None for nobody's."""
    given: Any = Q(pk__in=GroupUnit.objects.filter(group__user=OuterRef(OuterRef("pk"))).values("unit"))
    given |= Q(pk__in=PersonUnit.objects.filter(user=OuterRef(OuterRef("pk"))).values("unit"))
    given |= Q(pk=ROOT) & Exists(users.model._default_manager.filter(pk=OuterRef(OuterRef("pk")), is_superuser=True))
    highest = OrganizationalUnit.objects.filter(given).order_by(Length("path"), "path")
    found: QuerySet[Any] = users.annotate(unit_path=Subquery(highest.values("path")[:1]))
    return found


class UnitBackend(ModelBackend):
    """Django's own, but a user without a unit cannot log in, and a session ends the moment that its user loses it."""

    def user_can_authenticate(self, user: Actor | None) -> bool:
        """Active, and somewhere in the tree."""
        return user is not None and super().user_can_authenticate(user) and unit_of(user) is not None
