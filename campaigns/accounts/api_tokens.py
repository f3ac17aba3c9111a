"""Tokens of programs: one may carry fewer rights than its owner, ends by itself, and is shown once.

A right names a role (security.md, Roles and units). Every token reads what its owner may read; the other rights are
asked each time of the owner *and* of the token, so a role that is lost is lost to the tokens at once.

Making tokens and ending others takes the person, with password or session: a token that fell into wrong hands can make
nothing that outlives it, and end nothing but itself. All of a person's tokens end with the password (log_outs.py).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import QuerySet, TextChoices
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop
from knox.auth import TokenAuthentication as KnoxAuthentication
from rest_framework.exceptions import AuthenticationFailed

from campaigns.core.actors import Person
from campaigns.core.kept_text import keep
from campaigns.models.api import ApiToken

from . import permissions, units

DAYS, MOST_DAYS = 90, 366
MOST_TOKENS = 100  # of one person
MOST_LOG_INS = 20  # of these made by POST /api/token/, which has no label; then the oldest ends
LOG_IN = timedelta(hours=10)
_TOO_MANY = gettext_noop("There are %(number)s tokens already; end some.")


class Right(TextChoices):
    """What a token may be used for, if its owner may do it."""

    READ = "read", _("Read")
    PREPARE = "prepare", _("Prepare deliveries")
    START = "start", _("Start deliveries")
    EXPORT = "export", _("Export")
    ADMINISTER = "administer", _("Administer")


ALL = frozenset(Right.values)
_ROLES = {permissions.PREPARE: Right.PREPARE, permissions.START: Right.START, permissions.EXPORT: Right.EXPORT}
_PREPARED = frozenset(
    {  # models that whoever prepares may write
        "campaign",
        "message",
        "schedule",
        "recurrence",
        "audience",
        "audiencemember",
        "profile",
        "profileimport",
        "delivery",
    }
)
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


def narrow(user: Person, rights: Iterable[str], token: ApiToken | None = None) -> Person:
    """Make this user object answer no where the token does not reach; permissions.py asks it like any other."""
    held, ask = frozenset(rights) | {Right.READ}, user.has_perm
    narrowed: Any = user
    narrowed.token_rights, narrowed.token_allows = held, functools.partial(allows, held)
    narrowed.token = token
    narrowed.has_perm = lambda permission, obj=None: allows(held, permission) and ask(permission, obj)
    return user


class TokenAuthentication(KnoxAuthentication):  # type: ignore[misc]  # knox has no types
    """Knox's, with the token's rights."""

    def authenticate_credentials(self, token: bytes) -> Any:
        """Raises AuthenticationFailed, also for what is no text."""
        return super().authenticate_credentials(token.decode("ascii", "replace").encode())

    def validate_user(self, auth_token: ApiToken) -> Any:
        """The owner, narrowed."""
        user, token = super().validate_user(auth_token)
        if units.unit_of(user) is None:  # nobody without a unit gets in
            raise AuthenticationFailed("The token's owner has no organisational unit.")
        return narrow(user, token.rights, token), token

    def _cleanup_token(self, auth_token: ApiToken) -> bool:
        """Whether it has ended. Knox would read all tokens of its owner, at each request; clean_up() deletes them."""
        return auth_token.expiry is not None and auth_token.expiry < timezone.now()


class NotGiven(ValueError):
    """The token cannot be made; the sentence (kept_text.py) says why."""


def give(by: Person, label: str, rights: Iterable[str], days: int = DAYS) -> tuple[ApiToken, str]:
    """Make a token for `by`. Out: it and its secret, which nobody can show again. Raises PermissionDenied for a token
    that would make another, NotGiven."""
    permissions.require_person(by)
    wanted = set(rights) | {Right.READ}
    with transaction.atomic():
        _one_at_a_time(by)
        if tokens_of(by).exclude(label="").count() >= MOST_TOKENS:
            raise NotGiven(keep(_TOO_MANY, number=MOST_TOKENS))
        return _made(by, label, wanted, timedelta(days=days))


def log_in(by: Person) -> tuple[ApiToken, str]:
    """A token with all rights of `by` for ten hours; of more than MOST_LOG_INS of them the oldest end. Raises
    PermissionDenied for a token."""
    permissions.require_person(by)
    with transaction.atomic():
        _one_at_a_time(by)
        for old in tokens_of(by).filter(label="")[MOST_LOG_INS - 1 :]:
            old.delete()
        return _made(by, "", ALL, LOG_IN)


def end(by: Person, token: ApiToken) -> None:
    """Make a token good for nothing, at once. Raises PermissionDenied for a token that would end another."""
    own: ApiToken | None = getattr(by, "token", None)
    if not (permissions.is_program(by) and own is not None and own.pk == token.pk):
        permissions.require_person(by)
    token.delete()


def _one_at_a_time(owner: Person) -> None:
    """Hold the owner's row to the end of the transaction: many requests at once make no more than one after another."""
    get_user_model()._default_manager.select_for_update().only("pk").get(pk=owner.pk)


def _made(owner: Person, label: str, rights: Iterable[str], lasts: timedelta) -> tuple[ApiToken, str]:
    ordered = [right for right in Right.values if right in rights]
    made: tuple[ApiToken, str] = ApiToken.objects.create(user=owner, expiry=lasts, label=label, rights=ordered)
    return made


def clean_up() -> None:
    """Once a day: tokens that have ended."""
    ApiToken.objects.filter(expiry__lt=timezone.now()).delete()


def tokens_of(user: Person) -> QuerySet[ApiToken]:
    """The user's tokens that are still good, newest first."""
    good: QuerySet[ApiToken] = ApiToken.objects.filter(expiry__gt=timezone.now())
    return good.filter(user_id=user.pk).order_by("-created")


def visible(user: Person) -> QuerySet[ApiToken]:
    """The tokens that `user` may see and end: their own; everybody's for who administers all."""
    if permissions.may_administer_all(user):
        good: QuerySet[ApiToken] = ApiToken.objects.filter(expiry__gt=timezone.now())
        return good.select_related("user").order_by("-created")
    return tokens_of(user).select_related("user")
