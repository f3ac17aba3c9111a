"""What ends with a password, an account or a second factor: all tokens and sessions of its person, by whichever road.

Somebody who changes a password because another knows it wants that other out; so does who switches an account off, or
takes a lost phone out of use. Heard from the rows themselves, so that no page, command or program is forgotten.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.hashers import get_hasher, identify_hasher
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver
from django.utils import timezone

from campaigns.audit import trail
from campaigns.core.actors import Person
from campaigns.models.accounts import SecondFactor
from campaigns.models.api import ApiToken

_WHY = "_why_all_ends"


def end_all(user: Person, why: str) -> None:
    """End all tokens and sessions of a person. In: `why`, in a word for the audit."""
    with transaction.atomic():
        tokens, _each = ApiToken.objects.filter(user_id=user.pk).delete()
        sessions = _end_sessions(user.pk)
        if tokens or sessions:
            trail.record("access.ended", subject=user, why=why, tokens=tokens, sessions=sessions)


def _end_sessions(user_id: int) -> int:
    """A session says whose it is only when it is read, so all that last are: some hundred in a back office."""
    lasting = Session.objects.filter(expire_date__gt=timezone.now())
    own = [row.pk for row in lasting.iterator() if row.get_decoded().get(SESSION_KEY) == str(user_id)]
    for start in range(0, len(own), 500):
        Session.objects.filter(pk__in=own[start : start + 500]).delete()
    return len(own)


@receiver(pre_save, sender=settings.AUTH_USER_MODEL, dispatch_uid="what-ends-an-account")
def _before(instance: Any, raw: bool = False, update_fields: frozenset[str] | None = None, **_: Any) -> None:
    """Find out what the save will change."""
    setattr(instance, _WHY, "")
    written = {"password", "is_active"} & (update_fields if update_fields is not None else {"password", "is_active"})
    if raw or not written or instance.pk is None:
        return
    before = get_user_model()._base_manager.filter(pk=instance.pk).values("password", "is_active").first()
    if before is None:
        return
    if "is_active" in written and before["is_active"] and not instance.is_active:
        setattr(instance, _WHY, "deactivated")
        return
    other = "password" in written and before["password"] != instance.password
    if other and not _is_only_hashed_anew(instance, before["password"], update_fields):
        setattr(instance, _WHY, "password")


@receiver(post_save, sender=settings.AUTH_USER_MODEL, dispatch_uid="what-ends-an-account")
def _after(instance: Any, **_: Any) -> None:
    if why := getattr(instance, _WHY, ""):
        end_all(instance, why)


def _is_only_hashed_anew(user: Person, before: str, update_fields: frozenset[str] | None) -> bool:
    """A log-in hashes the same password again when the hasher has become stronger (AbstractBaseUser.check_password):
    then nothing is new. It saves that field alone, and nobody has set a password."""
    if update_fields is None or set(update_fields) != {"password"} or getattr(user, "_password", None) is not None:
        return False
    try:
        hasher, preferred = identify_hasher(before), get_hasher()
    except ValueError:
        return False
    return bool(hasher.algorithm != preferred.algorithm or preferred.must_update(before))


@receiver(post_delete, sender=SecondFactor, dispatch_uid="what-ends-an-account")
def _factor_gone(instance: SecondFactor, origin: Any = None, **_: Any) -> None:
    """Not when the account itself is deleted, which takes all with it."""
    if instance.confirmed_at is not None and SecondFactor in (type(origin), getattr(origin, "model", None)):
        end_all(instance.user, "second factor")
