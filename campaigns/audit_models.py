"""The audit: one table of who did what, when, from where, with before and after. Rows are added, never changed.

Each row carries a keyed digest of its content from the first, and soon afterwards (audit_chain.py) a position and a
chain value over that digest and its predecessor's.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Unchangeable(Exception):
    """Somebody tried to change or delete rows of the audit."""

    def __init__(self) -> None:
        super().__init__("The audit is only ever added to.")


class AppendOnly(models.QuerySet["AuditEntry"]):
    """Refuses what would change rows that are there."""

    def update(self, **_: Any) -> NoReturn:
        raise Unchangeable

    def delete(self) -> NoReturn:
        raise Unchangeable

    def bulk_update(self, *_: Any, **__: Any) -> NoReturn:
        raise Unchangeable


class AuditEntry(models.Model):
    """One act, try or refusal. People are kept by name and number, so that a row outlives the account."""

    class Outcome(models.TextChoices):
        DONE = "done", _("done")
        REFUSED = "refused", _("not possible then")
        DENIED = "denied", _("without the right")
        FAILED = "failed", _("failed")

    at = models.DateTimeField(_("date"), default=timezone.now)
    act = models.CharField(_("act"), max_length=64)  # delivery.confirmed, login, user.changed …
    outcome = models.CharField(_("outcome"), max_length=8, choices=Outcome, default=Outcome.DONE)
    actor_id = models.BigIntegerField(_("account number"), null=True)
    actor = models.CharField(_("who"), max_length=150, blank=True)
    address = models.CharField(_("from"), max_length=45, blank=True)
    agent = models.CharField(_("program"), max_length=120, blank=True)
    channel = models.CharField(_("way"), max_length=16, blank=True)  # admin, api, command line, worker
    subject_type = models.CharField(_("kind"), max_length=64, blank=True)  # deliveries.delivery
    subject_id = models.CharField(_("number"), max_length=64, blank=True)
    subject = models.CharField(_("what"), max_length=200, blank=True)
    content = models.TextField(_("details"), default="{}")  # JSON as text: exactly the bytes that were signed
    digest = models.CharField(max_length=64)
    position = models.BigIntegerField(_("position"), null=True, unique=True)
    chain = models.CharField(_("chain value"), max_length=64, blank=True)

    objects = AppendOnly.as_manager()

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

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the row. Raises Unchangeable if it is there already."""
        if not self._state.adding:
            raise Unchangeable
        super().save(*args, **kwargs)

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        raise Unchangeable

    @property
    def told(self) -> dict[str, Any]:
        """The content: `before`, `after` and whatever else was told."""
        found = json.loads(self.content)
        return found if isinstance(found, dict) else {}
