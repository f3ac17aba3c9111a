"""The audit: one table of who did what, when, from where, with before and after, and the values beside it.

Rows are added, never changed. Each carries a keyed digest of its content from the first, and soon afterwards
(chain.py) a position and a chain value over that digest and its predecessor's. No value that could tell of a
person stands in what is signed (audit_values.py): it stands beside, where it can be erased, and the chain still holds.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from . import audit_values
from .audit_values import Kind


class Unchangeable(Exception):
    """Somebody tried to change or delete rows of the audit."""

    def __init__(self) -> None:
        super().__init__("The audit is only ever added to.")


class AppendOnly(models.QuerySet[Any]):
    """Refuses what would change rows that are there."""

    def update(self, **_: Any) -> NoReturn:
        raise Unchangeable

    def delete(self) -> NoReturn:
        raise Unchangeable

    def bulk_update(self, *_: Any, **__: Any) -> NoReturn:
        raise Unchangeable


class _Fixed(models.Model):
    """A row that is added and never changed."""

    objects = AppendOnly.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the row. Raises Unchangeable if it is there already."""
        if not self._state.adding:
            raise Unchangeable
        super().save(*args, **kwargs)

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        raise Unchangeable


class AuditEntry(_Fixed):
    """One act, try or refusal. Whoever acted is named by number; the name stands beside, and outlives the account.

    version 1: entries of former times, with names, addresses and values in the signed text itself (the `old_` columns).
    """

    class Outcome(models.TextChoices):
        DONE = "done", _("done")
        REFUSED = "refused", _("not possible then")
        DENIED = "denied", _("without the right")
        FAILED = "failed", _("failed")

    at = models.DateTimeField(_("date"), default=timezone.now)
    act = models.CharField(_("act"), max_length=64)  # delivery.confirmed, login, user.changed …
    outcome = models.CharField(_("outcome"), max_length=8, choices=Outcome, default=Outcome.DONE)
    actor_id = models.BigIntegerField(_("account number"), null=True)
    old_actor = models.CharField(_("who"), max_length=150, blank=True, db_column="actor")
    old_address = models.CharField(_("from"), max_length=45, blank=True, db_column="address")
    old_agent = models.CharField(_("program"), max_length=120, blank=True, db_column="agent")
    channel = models.CharField(_("way"), max_length=16, blank=True)  # admin, api, command line, worker
    subject_type = models.CharField(_("kind"), max_length=64, blank=True)  # deliveries.delivery
    subject_id = models.CharField(_("number"), max_length=64, blank=True)
    old_subject = models.CharField(_("what"), max_length=200, blank=True, db_column="subject")
    content = models.TextField(_("details"), default="{}")  # JSON as text: exactly the bytes that were signed
    digest = models.CharField(max_length=64)
    position = models.BigIntegerField(_("position"), null=True, unique=True)
    chain = models.CharField(_("chain value"), max_length=64, blank=True)
    version = models.PositiveSmallIntegerField(_("version"), default=audit_values.VERSION, db_default=1)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit")
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["subject_type", "subject_id", "id"], name="audit_subject"),
            models.Index(fields=["act", "id"], name="audit_act"),
            models.Index(fields=["at"], name="audit_at"),
            models.Index(fields=["id"], name="audit_unsealed", condition=Q(position=None)),
        ]

    def __str__(self) -> str:
        return f"{self.act} {self.subject} ({self.actor})"

    @property
    def signed_content(self) -> dict[str, Any]:
        """The content as it is signed: since version 2 `told` and `digests`."""
        found = json.loads(self.content)
        return found if isinstance(found, dict) else {}

    @property
    def digests(self) -> dict[str, list[str]]:
        """Of each value that stands beside, by its path: which sides it has, and its digest. None in version 1."""
        found = self.signed_content.get("digests", {}) if self.version >= audit_values.VERSION else {}
        return found if isinstance(found, dict) else {}

    @property
    def told(self) -> dict[str, Any]:
        """`before`, `after` and whatever else was told; "(erased)" for what was erased since."""
        if self.version < audit_values.VERSION:
            return self.signed_content
        return audit_values.merged(self.signed_content, self.beside.all())

    def _who(self, path: str, old: str) -> str:
        if self.version < audit_values.VERSION:
            return old
        return audit_values.one(self.digests, self.beside.all(), path)

    @property
    def actor(self) -> str:
        """The name of whoever acted; '' for nobody."""
        return self._who("actor", self.old_actor)

    @property
    def address(self) -> str:
        """The address that the request came from."""
        return self._who("address", self.old_address)

    @property
    def agent(self) -> str:
        """The program that asked."""
        return self._who("agent", self.old_agent)

    @property
    def subject(self) -> str:
        """What the act was about, as people call it."""
        return self._who("subject", self.old_subject)


class AuditValue(_Fixed):
    """A value beside an entry: its digest is in the chain, with the salt that stands here as its key. Deleted by
    erasure.py, which writes that down, and with its entry when the time is over."""

    entry = models.ForeignKey(AuditEntry, models.PROTECT, related_name="beside", db_index=False)
    path = models.CharField(max_length=audit_values.LONGEST_PATH)  # before+after/email, words, details/filters, actor …
    kind = models.CharField(max_length=9, choices=[(kind.value, kind.value) for kind in Kind])  # of whom it tells
    before = models.TextField(null=True)  # noqa: DJ001 - JSON; null: there is no such side
    after = models.TextField(null=True)  # noqa: DJ001
    salt = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["entry", "path"], name="audit_value_once")]

    def __str__(self) -> str:
        return f"{self.path} of entry {self.entry_id}"
