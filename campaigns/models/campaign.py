"""Brands, and the campaigns that messages belong to."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.models.audit.watched import Watched

from .units import unit_field


class Brand(models.Model):
    """Who a message comes from. Only administrators edit brands."""

    label = Line(_("label"), max_length=128, unique=True)
    sender_name = Line(_("sender name"), max_length=128)
    sender_address = models.EmailField(_("sender address"))
    reply_to = models.EmailField(_("reply-to address"), blank=True)
    sender_domains = models.TextField(
        _("authorised sender domains"),
        help_text=_("One a line. A sender outside them stops the preparation. *.example.com covers its subdomains."),
    )
    website = models.URLField(_("website"), blank=True)
    is_default = models.BooleanField(_("default brand"), default=False)
    unit = unit_field()

    objects = Watched["Brand"].as_manager()

    class Meta:
        ordering = ["label"]
        verbose_name = _("brand")
        verbose_name_plural = _("brands")
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=models.Q(is_default=True), name="one_default_brand"
            )
        ]

    def __str__(self) -> str:
        return self.label


def default_campaign_end() -> object:
    """Start + 186 days, as in Adobe Campaign."""
    return timezone.localdate() + timedelta(days=186)


class Campaign(models.Model):
    """A container of messages; the object on which per-campaign rights are granted."""

    class Status(models.IntegerChoices):
        EDITING = 0, _("Editing")
        STARTED = 1, _("Started")
        FINISHED = 2, _("Finished")

    label = Line(_("label"), max_length=128)
    description = Line(_("description"), max_length=512, blank=True)
    start = models.DateField(_("start"), default=timezone.localdate)
    end = models.DateField(_("end"), default=default_campaign_end)
    status = models.PositiveSmallIntegerField(_("status"), choices=Status, default=Status.EDITING)
    unit = unit_field()
    four_eyes = models.BooleanField(
        _("confirmed by another person"),
        default=False,
        help_text=_("Whoever prepared a delivery cannot confirm it: somebody else must have looked at it."),
    )
    needs_approval = models.BooleanField(
        _("approved by another person"),
        default=False,
        help_text=_("Nobody can confirm a delivery before somebody who did not prepare it has approved it."),
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name=_("created by"),
        null=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = Watched["Campaign"].as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        # The roles that can be granted everywhere (by group) or on one campaign (by guardian); permissions.py asks.
        permissions = [
            ("prepare_deliveries", "Prepare deliveries"),
            ("start_deliveries", "Start deliveries"),
            ("export_logs", "Export"),
        ]

    def __str__(self) -> str:
        return self.label

    def clean(self) -> None:
        """The end may not precede the start."""
        if self.start and self.end and self.end < self.start:
            raise ValidationError({"end": _("The campaign cannot end before it starts.")})
