"""Audiences: who a message is for."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.models.audit.watched import Watched
from campaigns.models.units import unit_field

from .profile import Profile


class Audience(models.Model):
    """A saved population: everybody, a filter over attributes, or a list of profiles."""

    class Kind(models.TextChoices):
        ALL = "all", _("All profiles")
        FILTER = "filter", _("Profiles matching a filter")
        LIST = "list", _("A list of profiles")

    label = Line(_("label"), max_length=128, unique=True)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind, default=Kind.FILTER)
    # [{"field": "country", "op": "is", "value": "FR"}, …], all of which must hold; audiences.py reads it
    conditions = models.JSONField(_("conditions"), default=list, blank=True)
    members = models.ManyToManyField(Profile, through="AudienceMember", related_name="audiences")
    unit = unit_field()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name=_("created by"),
        null=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    modified_at = models.DateTimeField(_("modified"), auto_now=True)

    objects = Watched["Audience"].as_manager()

    class Meta:
        ordering = ["label"]
        verbose_name = _("audience")
        verbose_name_plural = _("audiences")

    def __str__(self) -> str:
        return self.label


class AudienceMember(models.Model):
    """A profile's place in a list audience."""

    audience = models.ForeignKey(Audience, models.CASCADE)
    profile = models.ForeignKey(Profile, models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["audience", "profile"], name="audience_member_once")]

    def __str__(self) -> str:
        return f"{self.profile_id} in {self.audience_id}"
