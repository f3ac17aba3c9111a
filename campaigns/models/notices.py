"""Which notices users do not want, and in which language they read the others."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class NoticeOff(models.Model):
    """A kind of notice (notices.Notice) that a user switched off. No row: they get it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notices_off")
    kind = models.CharField(max_length=16)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "kind"], name="notice_off_once")]

    def __str__(self) -> str:
        return f"no {self.kind} for {self.user_id}"


class ReaderLanguage(models.Model):
    """The language of somebody's mails (languages.py)."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+")
    language = models.CharField(max_length=16)

    def __str__(self) -> str:
        return f"{self.language} for {self.user_id}"
