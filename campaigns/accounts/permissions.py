"""Who may do what: the only room that answers "may this user …?".

Three rights matter (security.md, Roles and units): *Prepare deliveries* lets people create, edit and prepare; *Start
deliveries* lets them do that and send; *Export* lets them take logs away as files. Each is held by role, and then
reaches as far as the holder's unit does (units.py: they read above it, write at and below it); or it was granted on one
campaign, through django-guardian, wherever that lies. Administrators manage people, brands and routings of their unit;
being one does not imply Start deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import BigIntegerField, Q, QuerySet
from django.db.models.functions import Cast
from django.utils.translation import gettext as _
from guardian.models import GroupObjectPermission, UserObjectPermission

from campaigns.core.actors import Actor
from campaigns.models import Campaign
from campaigns.models.units import ROOT, GroupUnit

from . import second_factor, units

if TYPE_CHECKING:
    from django.contrib.auth.models import User

PREPARE = "campaigns.prepare_deliveries"
START = "campaigns.start_deliveries"
EXPORT = "campaigns.export_logs"
VIEW, ADMINISTER = "campaigns.view_campaign", "auth.change_user"
READING = (VIEW, PREPARE, START)

ADMINISTRATORS, PREPARERS, STARTERS = "Administrators", "Prepare deliveries", "Start deliveries"
EXPORTERS, SUPERVISORS = "Export", "Delivery supervisors"

_Spec = dict[str, dict[str, tuple[str, ...]]]  # {app: {model: verbs}}
_EDIT = ("add", "change", "delete", "view")
_WRITING: _Spec = {  # model -> verbs, for whoever prepares or starts
    "campaigns": {
        "campaign": _EDIT,
        "message": _EDIT,
        "schedule": _EDIT,
        "audience": _EDIT,
        "audiencemember": _EDIT,
        "profile": _EDIT,
        "profileimport": ("add", "view"),
        "brand": ("view",),
        "typology": ("view",),
        "testprofile": _EDIT,
    },
    "deliveries": {
        "delivery": _EDIT,
        "deliveryevent": ("view",),
        "sendinglog": ("view",),
        "exclusionlog": ("view",),
        "routing": ("view",),
    },
}
_SUPERVISING: _Spec = {  # alert dashboards: administrators and delivery supervisors
    "reporting": {"alertdashboard": _EDIT, "alertcriterion": _EDIT, "alert": ("view",)},
    "auth": {"group": ("view",)},
}
_ADMINISTERING: _Spec = {
    **_SUPERVISING,
    "auth": {"user": _EDIT, "group": _EDIT},
    "campaigns": {
        "brand": _EDIT,
        "campaign": ("view",),
        "message": ("view",),
        "profile": ("view",),
        "audience": ("view",),
        "auditentry": ("view",),
        "typology": _EDIT,
        "typologyrule": _EDIT,
        "nevertracked": _EDIT,
    },
    "deliveries": {
        "routing": _EDIT,
        "quarantinedaddress": _EDIT,
        "qualificationrule": _EDIT,
        "feedbackevent": ("view",),
        "webhookendpoint": _EDIT,
        "webhookcall": ("add", "view"),
        "webhooktry": ("view",),
        "delivery": ("view",),
        "deliveryevent": ("view",),
        "sendinglog": ("view",),
        "exclusionlog": ("view",),
    },
}
ROLES: dict[str, tuple[_Spec, tuple[str, ...]]] = {
    ADMINISTRATORS: (_ADMINISTERING, ()),
    PREPARERS: (_WRITING, ("prepare_deliveries",)),
    STARTERS: (_WRITING, ("prepare_deliveries", "start_deliveries")),
    EXPORTERS: ({}, ("export_logs",)),
    SUPERVISORS: (_SUPERVISING, ()),
}


def _holds(user: Actor, permission: str, campaign: Campaign | None, within: Any = units.writes) -> bool:
    """By role, as far as the unit reaches; or by a grant on the campaign. None: in what `user` would make."""
    if not user.is_active or units.unit_of(user) is None:
        return False
    if user.has_perm(permission) and (campaign is None or within(user, campaign)):
        return True
    # A global grant answers has_perm(p) but not has_perm(p, obj), and guardian's the reverse.
    return bool(campaign is not None and user.has_perm(permission, campaign))


def may_start(user: Actor, campaign: Campaign | None) -> bool:
    """True if `user` may confirm, pause, resume and stop the campaign's deliveries; None asks for the user's unit."""
    return _holds(user, START, campaign)


def may_prepare(user: Actor, campaign: Campaign | None) -> bool:
    """True if `user` may write and prepare in this campaign. Start deliveries includes it."""
    return _holds(user, PREPARE, campaign) or may_start(user, campaign)


def may_read(user: Actor, campaign: Campaign | None) -> bool:
    """True if `user` may see the campaign, its messages and deliveries."""
    return any(_holds(user, permission, campaign, units.reads) for permission in READING)


def may_be_alerted(user: Actor, campaign: Campaign) -> bool:
    """True if an alert may tell `user` of the campaign's deliveries: their unit, or a grant, lets them read there.

    No role is asked: it is enough to be in the group that a dashboard names (security.md, Roles and units).
    """
    return user.is_active and (units.reads(user, campaign) or may_read(user, campaign))


def may_export(user: Actor, campaign: Campaign | None) -> bool:
    """True if `user` may take the campaign's logs away as files: the role Export, and may see them."""
    return _holds(user, EXPORT, campaign) and may_read(user, campaign)


def may_administer(user: Actor, obj: Any = None) -> bool:
    """True for whoever holds Administration (people, brands, routings, quarantine); of `obj`: at or above its unit."""
    if not (user.is_active and user.has_perm(ADMINISTER) and units.unit_of(user) is not None):
        return False
    return obj is None or units.writes(user, obj)


def may_lift(user: Actor, campaign: Campaign) -> bool:
    """True if `user` may take away that another person confirms or approves: an administrator of the campaign's unit or
    above, not one from elsewhere whom a grant let in. Whoever may change the campaign may set it."""
    return may_administer(user, campaign)


def may_administer_all(user: Actor) -> bool:
    """True for Administration with the unit All: what concerns everybody (quarantine, rules), and lists of all logs,
    which others reach from a delivery or a profile that they may read (security.md, Roles and units)."""
    return may_administer(user) and units.at_root(user)


def is_program(user: Actor) -> bool:
    """True for a program that acts by a token (api_tokens.py), False for a person who showed a password."""
    return hasattr(user, "token_allows")


def require_person(user: Actor) -> None:
    """Raise PermissionDenied for a token: what outlives it is not its to give or to take."""
    if is_program(user):
        raise PermissionDenied(
            _("A token cannot do this. Log in to the back office, or send your user name and password (HTTP Basic).")
        )


def readable_campaigns(user: Actor, *permissions: str) -> QuerySet[Campaign]:
    """The campaigns on which `user` holds any of `permissions` (default: those that let one read).

    Reading reaches above the user's unit, everything else from it down.
    """
    wanted = permissions or READING
    reaches = getattr(user, "token_allows", None)  # a program's token may carry fewer rights (api_tokens.py)
    wanted = tuple(filter(reaches, wanted)) if reaches else wanted
    if not user.is_active or units.unit_of(user) is None:
        return Campaign.objects.none()
    found = Q(pk__in=_granted(UserObjectPermission, wanted, user=user))
    found |= Q(pk__in=_granted(GroupObjectPermission, wanted, group__user=user))
    if any(user.has_perm(permission) for permission in wanted):
        if units.at_root(user):
            return Campaign.objects.all()
        found |= units.readable(user) if VIEW in wanted else units.writable(user)
    return Campaign.objects.filter(found)


def _granted(model: Any, permissions: Iterable[str], **whose: Any) -> QuerySet[Any]:
    """The keys of the campaigns on which guardian knows any of `permissions`, for a subquery."""
    codes = [permission.partition(".")[2] for permission in permissions]
    rows = model.objects.filter(permission__codename__in=codes, permission__content_type=_campaigns(), **whose)
    found: QuerySet[Any] = rows.annotate(campaign=Cast("object_pk", BigIntegerField())).values("campaign")
    return found


def _campaigns() -> ContentType:
    return ContentType.objects.get_for_model(Campaign)


def _require(may: Any, role: str, user: Actor, campaign: Campaign) -> None:
    if may(user, campaign):
        return
    if may(user, None):  # the role is there, the unit too far down
        raise PermissionDenied(units.refusal(user, campaign))
    raise PermissionDenied(
        _("You do not hold the role “%(role)s” for the campaign #%(id)s “%(campaign)s”.")
        % {"role": role, "campaign": campaign, "id": campaign.pk}
    )


def require_start(user: Actor, campaign: Campaign) -> None:
    """Raise PermissionDenied, with words for the person, unless `user` may start this campaign's deliveries."""
    _require(may_start, STARTERS, user, campaign)
    second_factor.require_to_start(user)


def require_prepare(user: Actor, campaign: Campaign) -> None:
    """Raise PermissionDenied, with words for the person, unless `user` may prepare this campaign's deliveries."""
    _require(may_prepare, PREPARERS, user, campaign)


def require_export(user: Actor, campaign: Campaign) -> None:
    """Raise PermissionDenied, with words for the person, unless `user` may export this campaign's logs."""
    _require(may_export, EXPORTERS, user, campaign)


def may_see_proof_domains(user: Actor) -> bool:
    """True if `user` may see which domains proofs may go to; administrators keep them (messages/proof_domains.py)."""
    return may_prepare(user, None) or may_administer(user)


def may_prove_beyond(user: Actor, campaign: Campaign, *, real: bool) -> bool:
    """True if `user` may send a proof outside the domains for proofs: Start deliveries; and Export, too, if it shows a
    `real` profile's data, which then leaves the organisation."""
    return may_start(user, campaign) and (not real or may_export(user, campaign))


def require_prove_beyond(user: Actor, campaign: Campaign, *, real: bool, words: str) -> None:
    """Raise PermissionDenied with `words`, or with those on a missing second factor, unless `may_prove_beyond`."""
    if not may_prove_beyond(user, campaign, real=real):
        raise PermissionDenied(words)
    second_factor.require_to_start(user)


def who_may_start(campaign: Campaign) -> QuerySet[User]:
    """Active users who may start this campaign's deliveries: by role from a unit at or above its own, or by a grant."""
    users = units.with_unit_path(get_user_model()._default_manager.filter(is_active=True))
    role = (
        Q(user_permissions__in=start_permission())
        | Q(groups__permissions__in=start_permission())
        | Q(is_superuser=True)
    )
    by_role = users.filter(role, unit_path__in=units.above(campaign.unit.path)).values("pk")
    here = {"object_pk": str(campaign.pk), "permission__in": start_permission()}
    granted = UserObjectPermission.objects.filter(**here).values("user")
    by_group = GroupObjectPermission.objects.filter(**here).values("group__user")
    found = Q(pk__in=by_role) | Q(pk__in=granted) | Q(pk__in=by_group)
    return users.filter(found, unit_path__isnull=False)


def start_permission() -> QuerySet[Permission]:
    """The permission of Start deliveries, for subqueries."""
    return Permission.objects.filter(content_type=_campaigns(), codename=START.partition(".")[2])


def _permissions(spec: _Spec, extra: tuple[str, ...]) -> list[Permission]:
    wanted = {
        (app, f"{verb}_{model}") for app, models in spec.items() for model, verbs in models.items() for verb in verbs
    } | {("campaigns", codename) for codename in extra}
    known = Permission.objects.select_related("content_type").filter(codename__in={code for _, code in wanted})
    return [p for p in known if (p.content_type.app_label, p.codename) in wanted]


def permissions_of(role: str) -> set[int]:
    """The keys of the permissions that make up a role."""
    return {permission.pk for permission in _permissions(*ROLES[role])}


def sync_roles() -> list[str]:
    """Create the built-in groups and give each exactly its permissions, and the unit All; safe to repeat. Out: the
    groups' names."""
    for name, (spec, extra) in ROLES.items():
        group, _made = Group.objects.get_or_create(name=name)
        group.permissions.set(_permissions(spec, extra))
        GroupUnit.objects.update_or_create(group=group, defaults={"unit_id": ROOT})
    return list(ROLES)
