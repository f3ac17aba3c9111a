"""Tokens of programs: one may carry fewer rights than its owner, ends by itself, and is shown once.

A right names a role (domain.md §3.3). Every token reads what its owner may read; the others are asked each time of the
owner *and* of the token, so a role that he loses is lost to his tokens at once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet, TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework.exceptions import AuthenticationFailed

from . import access, units
from .api_models import ApiToken
from .said import said

DAYS, MOST_DAYS = 90, 366
MOST_TOKENS = 100  # of one person
_MORE = gettext_noop("This token may not give what it does not have: %(rights)s.")
_TOO_MANY = gettext_noop("There are %(number)s tokens already; end some.")


class Right(TextChoices):
    """What a token may be used for, if its owner may do it."""

    READ = "read", _("Read")
    PREPARE = "prepare", _("Prepare deliveries")
    START = "start", _("Start deliveries")
    EXPORT = "export", _("Export")
    ADMINISTER = "administer", _("Administer")


ALL = frozenset(Right.values)
_ROLES = {access.PREPARE: Right.PREPARE, access.START: Right.START, access.EXPORT: Right.EXPORT}
_PREPARED = frozenset({  # models that whoever prepares may write
    "campaign", "message", "schedule", "recurrence", "audience", "audiencemember", "profile", "profileimport",
    "delivery",
})  # fmt: skip
_OURS = frozenset({"campaigns", "deliveries", "reporting"})


def right_for(permission: str) -> Right:
    """Which right a token needs for one of Django's permissions; what nobody thought of is administration."""
    if permission in _ROLES:
        return _ROLES[permission]
    app, _dot, codename = permission.partition(".")
    verb, _line, model = codename.partition("_")
    if app not in _OURS:
        return Right.ADMINISTER
    if verb == "view":
        return Right.READ
    return Right.PREPARE if model in _PREPARED else Right.ADMINISTER


def allows(rights: Iterable[str], permission: str) -> bool:
    """True if a token of these rights may be used where `permission` is asked for. Starting includes preparing."""
    needed, held = right_for(permission), set(rights)
    return needed == Right.READ or needed in held or (needed == Right.PREPARE and Right.START in held)


def narrow(user: Any, rights: Iterable[str]) -> Any:
    """Make this user object answer no where the token does not reach; access.py asks it like any other."""
    held, ask = frozenset(rights) | {Right.READ}, user.has_perm
    user.token_rights, user.token_allows = held, functools.partial(allows, held)
    user.has_perm = lambda permission, obj=None: allows(held, permission) and ask(permission, obj)
    return user


class TokenAuthentication(KnoxAuthentication):  # type: ignore[misc]  # knox has no types
    """Knox's, with the token's rights."""

    def authenticate_credentials(self, token: bytes) -> Any:
        """Raises AuthenticationFailed, also for what is no text."""
        return super().authenticate_credentials(token.decode("ascii", "replace").encode())

    def validate_user(self, auth_token: ApiToken) -> Any:
        """The owner, narrowed."""
        user, token = super().validate_user(auth_token)
        if units.unit_of(user) is None:  # nobody without a unit gets in (domain.md §3.4)
            raise AuthenticationFailed("The token's owner has no organisational unit.")
        return narrow(user, token.rights), token


class NotGiven(ValueError):
    """The token cannot be made; the sentence (said.py) says why."""


def give(by: Any, label: str, rights: Iterable[str], days: int = DAYS) -> tuple[ApiToken, str]:
    """Make a token for `by`. Out: it and its secret, which nobody can show again. Raises NotGiven."""
    wanted, own = set(rights) | {Right.READ}, getattr(by, "token_rights", ALL)
    if wanted - own:
        missing = ", ".join(sorted(wanted - own))
        raise NotGiven(said(_MORE, rights=missing))
    with transaction.atomic():
        if tokens_of(by).count() >= MOST_TOKENS:
            raise NotGiven(said(_TOO_MANY, number=MOST_TOKENS))
        rights = [right for right in Right.values if right in wanted]
        made: tuple[ApiToken, str] = ApiToken.objects.create(
            user=by, expiry=timedelta(days=days), label=label, rights=rights
        )
        return made


def tokens_of(user: Any) -> QuerySet[ApiToken]:
    """The user's tokens that are still good, newest first."""
    good: QuerySet[ApiToken] = ApiToken.objects.filter(expiry__gt=timezone.now())
    return good.filter(user_id=user.pk).order_by("-created")


def visible(user: Any) -> QuerySet[ApiToken]:
    """Those that `user` may see and end: his own; everybody's if he administers all."""
    if access.may_administer_all(user):
        good: QuerySet[ApiToken] = ApiToken.objects.filter(expiry__gt=timezone.now())
        return good.select_related("user").order_by("-created")
    return tokens_of(user).select_related("user")
