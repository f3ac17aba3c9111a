"""What the audit hears by itself: log-ins, and changes of accounts, groups, rights, tokens and other watched tables."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import connection, models
from django.db.models.signals import m2m_changed, post_delete, post_migrate, post_save, pre_save
from django.dispatch import receiver

from . import audit, throttling
from .audit_models import AuditEntry

_SECRET = frozenset({"password", "secret", "old_secret", "digest", "token_key"})
_UNTOLD = frozenset({"last_login", "modified_at"})
_BEFORE = "_audit_before"


def watch(model: type[models.Model], *relations: str, name: str = "") -> None:
    """Write down each row added, changed or deleted through the ORM, with the fields that differ; and who is put into
    or taken out of the many-to-many `relations`. The acts are called <name>.added, .changed and .deleted."""
    name = name or model._meta.model_name or ""
    uid = f"audit-{model._meta.label_lower}"
    pre_save.connect(_remember, sender=model, dispatch_uid=uid)
    post_save.connect(_Saved(name), sender=model, dispatch_uid=uid, weak=False)
    post_delete.connect(_Deleted(name), sender=model, dispatch_uid=uid, weak=False)
    for relation in relations:
        through = getattr(model, relation).through
        m2m_changed.connect(_Related(name, relation), sender=through, dispatch_uid=f"{uid}-{relation}", weak=False)


def _values(row: models.Model) -> dict[str, Any]:
    values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    return {name: _told(name, value) for name, value in values.items() if name not in _UNTOLD}


def _told(name: str, value: Any) -> Any:
    """A secret only tells whether it is another than before."""
    if name in _SECRET and value:
        return f"(secret {hashlib.sha256(str(value).encode()).hexdigest()[:6]})"
    return value


def _remember(sender: type[models.Model], instance: models.Model, raw: bool = False, **_: Any) -> None:
    before = sender._base_manager.filter(pk=instance.pk).first() if instance.pk is not None and not raw else None
    setattr(instance, _BEFORE, _values(before) if before is not None else None)


class _Saved:
    """A row was saved."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, instance: models.Model, raw: bool = False, **_: Any) -> None:
        """Write down what differs, if anything does."""
        before, after = getattr(instance, _BEFORE, None), _values(instance)
        if raw:
            return
        if before is None:
            audit.record(f"{self.name}.added", subject=instance, after=after)
            return
        differing = [name for name in after if before.get(name) != after[name]]
        if differing:
            was, now = ({name: values.get(name) for name in differing} for values in (before, after))
            audit.record(f"{self.name}.changed", subject=instance, before=was, after=now)


class _Deleted:
    """A row was deleted."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, instance: models.Model, **_: Any) -> None:
        """Write down what it was."""
        audit.record(f"{self.name}.deleted", subject=instance, before=_values(instance))


class _Related:
    """Somebody was put into a group, a group was given a permission …"""

    def __init__(self, name: str, relation: str) -> None:
        self.name, self.relation = name, relation

    def __call__(
        self, instance: models.Model, action: str, model: type[models.Model], pk_set: set[Any] | None, **_: Any
    ) -> None:
        """Write down what was added or removed; clearing says it before the rows are gone."""
        verb = {"post_add": "added", "post_remove": "removed", "pre_clear": "cleared"}.get(action)
        if verb is None or (verb != "cleared" and not pk_set):
            return
        who = [str(row) for row in model._base_manager.filter(pk__in=pk_set or ()).order_by("pk")[:200]]
        act = f"{self.name}.{self.relation}_{verb}"
        audit.record(act, subject=instance, names=who, other=model._meta.label_lower)


def watch_accounts() -> None:
    """Accounts, groups, units, every kind of right; and what campaigns and brands ask for."""
    from django.contrib.auth.models import Group
    from guardian.models import GroupObjectPermission, UserObjectPermission

    from .api_models import ApiToken
    from .models import Brand, Campaign, ProofDomain
    from .unit_models import GroupUnit, OrganizationalUnit, PersonUnit

    watch(get_user_model(), "groups", "user_permissions")
    watch(Group, "permissions")
    watch(UserObjectPermission, name="right")
    watch(GroupObjectPermission, name="right")
    watch(ApiToken, name="token")
    for unit in (OrganizationalUnit, GroupUnit, PersonUnit):
        watch(unit, name="unit")
    watch(Campaign)
    watch(Brand)
    watch(ProofDomain)


@receiver(user_logged_in, dispatch_uid="audit-login")
def _logged_in(user: Any, **_: Any) -> None:
    audit.record("login", by=user)


@receiver(user_logged_out, dispatch_uid="audit-logout")
def _logged_out(user: Any, **_: Any) -> None:
    if user is not None:
        audit.record("logout", by=user)


@receiver(user_login_failed, dispatch_uid="audit-login-failed")
def _login_failed(credentials: dict[str, Any], request: Any = None, **_: Any) -> None:
    """A name that is nobody's is not kept: people type passwords into the wrong field. A try that came too soon was
    not looked at, and could fill the table."""
    if getattr(request, throttling.WAIT, 0):
        return
    name = str(credentials.get("username") or "").replace("\0", "")
    known = get_user_model()._default_manager.filter(username=name).first() if name else None
    audit.record("login.failed", by=known, outcome=AuditEntry.Outcome.FAILED, known=known is not None)


def protect(**_: Any) -> None:
    """Let the database itself refuse changes and deletions, too, but for sealing and for what is over its time."""
    statements = _SQLITE if connection.vendor == "sqlite" else _POSTGRES
    fixed = [field.column for field in AuditEntry._meta.concrete_fields if field.name not in ("position", "chain")]
    words = {
        "table": AuditEntry._meta.db_table,
        "same": " OR ".join(f"NEW.{name} {_DIFFERS[connection.vendor]} OLD.{name}" for name in fixed),
    }
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement % words)


def unprotect() -> None:
    """Take the database's own refusals away: for tests that empty the tables, and for moving to another database."""
    table = AuditEntry._meta.db_table
    suffix = "" if connection.vendor == "sqlite" else f" ON {table}"
    with connection.cursor() as cursor:
        for name in ("audit_no_change", "audit_no_delete", *(() if not suffix else ("audit_no_truncate",))):
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}{suffix}")


_DIFFERS = {"sqlite": "IS NOT", "postgresql": "IS DISTINCT FROM"}
_SQLITE: Iterable[str] = (
    "DROP TRIGGER IF EXISTS audit_no_change",
    "DROP TRIGGER IF EXISTS audit_no_delete",
    """CREATE TRIGGER audit_no_change BEFORE UPDATE ON %(table)s WHEN OLD.position IS NOT NULL OR %(same)s
       BEGIN SELECT RAISE(ABORT, 'The audit is only ever added to.'); END""",
    """CREATE TRIGGER audit_no_delete BEFORE DELETE ON %(table)s WHEN OLD.position IS NULL OR NOT EXISTS (
         SELECT 1 FROM %(table)s p WHERE p.act = 'audit.purged' AND CAST(p.subject_id AS INTEGER) >= OLD.position)
       BEGIN SELECT RAISE(ABORT, 'The audit is only ever added to.'); END""",
)
_POSTGRES: Iterable[str] = (
    """CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'The audit is only ever added to.'; END $$""",
    """CREATE OR REPLACE FUNCTION audit_refuse_early() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN
         IF OLD.position IS NULL OR NOT EXISTS (SELECT 1 FROM %(table)s p
            WHERE p.act = 'audit.purged'
              AND CASE WHEN p.act = 'audit.purged' THEN p.subject_id::bigint >= OLD.position END)
         THEN RAISE EXCEPTION 'The audit is only ever added to.'; END IF;
         RETURN OLD;
       END $$""",
    "DROP TRIGGER IF EXISTS audit_no_change ON %(table)s",
    "DROP TRIGGER IF EXISTS audit_no_delete ON %(table)s",
    "DROP TRIGGER IF EXISTS audit_no_truncate ON %(table)s",
    """CREATE TRIGGER audit_no_change BEFORE UPDATE ON %(table)s FOR EACH ROW
       WHEN (OLD.position IS NOT NULL OR %(same)s) EXECUTE FUNCTION audit_refuse()""",
    """CREATE TRIGGER audit_no_delete BEFORE DELETE ON %(table)s FOR EACH ROW EXECUTE FUNCTION audit_refuse_early()""",
    """CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON %(table)s EXECUTE FUNCTION audit_refuse()""",
)


def listen() -> None:
    """Start hearing; called once the apps are ready."""
    from django.conf import settings

    watch_accounts()
    if settings.AUDIT_TRIGGERS:
        post_migrate.connect(protect, dispatch_uid="audit-protect")
