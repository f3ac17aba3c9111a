"""Who did something, by name: what was done outlives the account that did it.

A model whose `prepared_by`, say, leads to an account and becomes NULL with it keeps the name in `prepared_by_name`,
which is written when the account is deleted. `tests/config/test_accounts.py` holds every key to an account, and what
becomes of it.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models.signals import pre_delete
from django.utils.translation import gettext as _

LONGEST = 150  # characters of a user name
_SUFFIX = "_name"


def name_field() -> Any:
    """The field that keeps the name for the key of the same name without `_name`."""
    return models.CharField(max_length=LONGEST, blank=True, default="", editable=False)


def name_of(row: models.Model, key: str) -> str:
    """The account's name, also after its end; '' if there never was one."""
    user = getattr(row, key)
    return str(user) if user is not None else str(getattr(row, key + _SUFFIX))


def gone(name: str) -> str:
    """The name of an account that there is no more, for pages."""
    return name or _("a deleted account")


def kept_keys() -> list[models.ForeignKey[Any, Any]]:
    """Every key to an account beside which a name is kept."""
    target = get_user_model()
    keys = [field for model in apps.get_models() for field in model._meta.concrete_fields]
    return [
        key for key in keys if isinstance(key, models.ForeignKey) and key.related_model is target and _keeps_name(key)
    ]


def _keeps_name(key: models.ForeignKey[Any, Any]) -> bool:
    return any(field.name == key.name + _SUFFIX for field in key.model._meta.concrete_fields)


def _keep(instance: Any, **_: Any) -> None:
    """Before an account goes, in the same transaction."""
    for key in kept_keys():
        rows = key.model._base_manager.filter(**{key.name: instance, key.name + _SUFFIX: ""})
        rows.update(**{key.name + _SUFFIX: instance.get_username()})


def listen() -> None:
    """Start keeping names; called once the apps are ready."""
    pre_delete.connect(_keep, sender=settings.AUTH_USER_MODEL, dispatch_uid="account-names")
