"""What staff write and whom they write to: brands, profiles, audiences, campaigns, messages, schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.models.audit.watched import Watched
from campaigns.models.people.audience import Audience

from .campaign import Brand, Campaign

if TYPE_CHECKING:
    from campaigns.models.people.seeds import TestProfile


class Message(models.Model):
    """What staff write: content, sender and audience of one e-mail. Each sending of it is a Delivery."""

    label = Line(_("label"), max_length=128)
    description = Line(_("description"), max_length=512, blank=True)
    campaign = models.ForeignKey(Campaign, models.PROTECT, verbose_name=_("campaign"), related_name="messages")
    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"))
    audience = models.ForeignKey(Audience, models.PROTECT, verbose_name=_("audience"), null=True, blank=True)
    typology = models.ForeignKey(
        "Typology",
        models.PROTECT,
        verbose_name=_("typology"),
        null=True,
        blank=True,
        help_text=_("Empty: the default."),
    )
    subject = Line(_("subject"), max_length=500, blank=True)
    sender_name = Line(_("sender name"), max_length=128, blank=True)
    sender_address = models.EmailField(_("sender address"), blank=True, help_text=_("Empty: the brand's."))
    reply_to = models.EmailField(_("reply-to address"), blank=True, help_text=_("Empty: the brand's."))
    html = models.TextField(_("HTML"), blank=True)
    text = models.TextField(_("text"), blank=True, help_text=_("Empty: made from the HTML."))
    proof_prefix = Line(
        _("prefix of proofs"),
        max_length=100,
        blank=True,
        default="Proof",
        help_text=_("In brackets before the subject of a proof. Empty: none, and no number."),
    )
    hide_proof_number = models.BooleanField(_("no number in the prefix of proofs"), default=False)
    traps: models.ManyToManyField[TestProfile, models.Model] = models.ManyToManyField(
        "TestProfile",
        verbose_name=_("traps"),
        blank=True,
        related_name="+",
        limit_choices_to={"trap": True},
        help_text=_("Test profiles that get the real send together with the target."),
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
    modified_at = models.DateTimeField(_("modified"), auto_now=True)
    locked_at = models.DateTimeField(_("locked"), null=True, editable=False)  # set at confirmation: read-only since

    objects = Watched["Message"].as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("message")
        verbose_name_plural = _("messages")

    def __str__(self) -> str:
        return self.label

    def get_absolute_url(self) -> str:
        """The message's form in the admin."""
        return reverse("admin:campaigns_message_change", args=[self.pk])

    @property
    def sender(self) -> tuple[str, str]:
        """Display name and address that recipients see: the message's own, else the brand's."""
        return self.sender_name or self.brand.sender_name, self.sender_address or self.brand.sender_address
