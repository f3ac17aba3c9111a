"""What the API keeps: tokens with their rights, answers to be given again, who asked how often. Part of message.py."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken

from campaigns.core.one_line import Line


class ApiToken(AbstractAuthToken):  # type: ignore[misc]  # knox has no types
    """A program's key, of which only the digest is kept. It may never do more than its owner; `rights` narrows that."""

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)  # names it without telling anything
    label = Line(_("label"), max_length=128, blank=True)
    rights = models.JSONField(_("rights"), default=list)  # names of api_tokens.Right

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")

    def __str__(self) -> str:
        return self.label or f"{self.uid}"


class IdempotentRequest(models.Model):
    """A request that carried an Idempotency-Key, and its answer once there is one."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)  # of what was asked: another request may not use the key
    asked_at = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField(null=True)  # none yet: it is carried out, or was cut off
    body = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return f"{self.key} of {self.user_id}"


class ApiWindow(models.Model):
    """How many requests one caller has taken of a minute's allowance, in all processes together."""

    key = models.CharField(max_length=64, primary_key=True)  # digest of token, user or address
    window = models.BigIntegerField()  # minutes since 1970
    taken = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"{self.taken} in {self.window}"
