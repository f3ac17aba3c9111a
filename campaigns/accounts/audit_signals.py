"""What the audit hears by itself: log-ins, and changes of rows of the models that sides.py says are told."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import models
from django.db.models.signals import m2m_changed, post_delete, post_migrate, post_save, pre_save
from django.dispatch import receiver

from campaigns.audit import trail, triggers
from campaigns.core.actors import Person
from campaigns.models.audit import sides as audit_sides
from campaigns.models.audit import watched
from campaigns.models.audit.audit_values import Kind
from campaigns.models.audit.entries import AuditEntry
from campaigns.models.audit.sides import Told

from . import login_throttle

_BEFORE = "_audit_before"
_NAMED = 200  # members whose names are told


def watch(
    model: type[models.Model],
    *relations: str,
    name: str = "",
    about: Kind = Kind.OTHER,
    untold: frozenset[str] = frozenset(),
) -> None:
    """Write down each row added, changed or deleted through the ORM, with the fields that differ; and who is put into
    or taken out of the many-to-many `relations`. The acts are called <name>.added, .changed and .deleted."""
    usual = Told(name or model._meta.model_name or "", relations, about)
    declare_and_hear({model._meta.label_lower: Told(usual.name, relations, about, usual.untold | untold)})


def declare_and_hear(sides: dict[str, audit_sides.Side]) -> None:
    """Take these sides (sides.py), and hear of the models that are told."""
    from django.apps import apps

    audit_sides.declare(sides)
    for label, side in sides.items():
        if isinstance(side, Told):
            _hear(apps.get_model(label), side)


def _hear(model: type[models.Model], told: Told) -> None:
    uid = f"audit-{model._meta.label_lower}"
    pre_save.connect(_remember, sender=model, dispatch_uid=uid)
    post_save.connect(_saved, sender=model, dispatch_uid=uid)
    post_delete.connect(_deleted, sender=model, dispatch_uid=uid)
    for relation in told.relations:
        through = getattr(model, relation).through
        m2m_changed.connect(_Related(told.name, relation), sender=through, dispatch_uid=f"{uid}-{relation}", weak=False)


def _told(model: type[models.Model]) -> Told:
    told = audit_sides.told_of(model)
    assert told is not None, model
    return told


def _remember(sender: type[models.Model], instance: models.Model, raw: bool = False, **_: Any) -> None:
    """What the row said before it is saved; it is asked of the database, for the instance may be stale."""
    before = None
    if not raw and not watched.is_quiet() and instance.pk is not None:
        before = sender._base_manager.filter(pk=instance.pk).first()
    setattr(instance, _BEFORE, watched.values(before, _told(sender)) if before is not None else None)


def _saved(
    sender: type[models.Model], instance: models.Model, raw: bool = False, update_fields: Any = None, **_: Any
) -> None:
    """Write down what differs, if anything does."""
    if raw or watched.is_quiet():
        return
    told, before = _told(sender), getattr(instance, _BEFORE, None)
    if before is None:
        watched.tell(f"{told.name}.added", instance, lambda: (None, watched.filled(watched.values(instance, told))))
        return
    was, now = watched.differing(before, watched.values(instance, told, update_fields))
    if now:
        watched.tell(f"{told.name}.changed", instance, lambda: (was, now))


def _deleted(sender: type[models.Model], instance: models.Model, **_: Any) -> None:
    """Write down what the row was."""
    if not watched.is_quiet():
        told = _told(sender)
        watched.tell(f"{told.name}.deleted", instance, lambda: (watched.filled(watched.values(instance, told)), None))


class _Related:
    """Somebody was put into a group, a group was given a permission, a list got members …"""

    def __init__(self, name: str, relation: str) -> None:
        self.name, self.relation = name, relation

    def __call__(
        self, instance: models.Model, action: str, model: type[models.Model], pk_set: set[Any] | None, **_: Any
    ) -> None:
        """Write down what was added or removed; clearing says it before the rows are gone. Recipients are told by
        number alone."""
        verb = {"post_add": "added", "post_remove": "removed", "pre_clear": "cleared"}.get(action)
        if verb is None or (verb != "cleared" and not pk_set) or watched.is_quiet():
            return
        about = audit_sides.about(model)
        keys = sorted(pk_set or ())
        trail.record(
            f"{self.name}.{self.relation}_{verb}",
            subject=instance,
            about=about,
            number=len(keys),
            references=keys[: watched.REFERENCES],
            other=model._meta.label_lower,
            names=None if about is Kind.RECIPIENT else _names(model, keys),
        )


def _names(model: type[models.Model], keys: list[Any]) -> list[str]:
    return [str(row) for row in model._base_manager.filter(pk__in=keys[:_NAMED]).order_by("pk")]


@receiver(user_logged_in, dispatch_uid="audit-login")
def _logged_in(user: Person, **_: Any) -> None:
    trail.record("login", by=user)


@receiver(user_logged_out, dispatch_uid="audit-logout")
def _logged_out(user: Person, **_: Any) -> None:
    if user is not None:
        trail.record("logout", by=user)


@receiver(user_login_failed, dispatch_uid="audit-login-failed")
def _login_failed(credentials: dict[str, Any], request: Any = None, **_: Any) -> None:
    """A name that is nobody's is not kept: people type passwords into the wrong field. A try that came too soon was
    not looked at, and could fill the table."""
    if getattr(request, login_throttle.WAIT, 0):
        return
    name = str(credentials.get("username") or "").replace("\0", "")
    known = get_user_model()._default_manager.filter(username=name).first() if name else None
    trail.record("login.failed", by=known, outcome=AuditEntry.Outcome.FAILED, known=known is not None)


def listen() -> None:
    """Start hearing; called once the apps are ready."""
    from django.conf import settings

    declare_and_hear(audit_sides.CAMPAIGNS)
    if settings.AUDIT_TRIGGERS:
        post_migrate.connect(triggers.protect, dispatch_uid="audit-protect")
