"""The table of quarantined addresses. Part of delivery.py."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.models.audit.watched import Watched

from .states import Reason


class QuarantinedAddress(models.Model):
    """What is known against an address (deliverability.md, Quarantine). Belongs to the address, never to a profile."""

    class Status(models.IntegerChoices):
        VALID = 0, _("Valid")
        ERRONEOUS = 1, _("Erroneous")
        QUARANTINE = 2, _("Quarantine")
        DENYLIST = 3, _("On denylist")

    address = Line(_("address"), max_length=254, unique=True)
    status = models.PositiveSmallIntegerField(_("status"), choices=Status, default=Status.QUARANTINE)
    reason = models.PositiveSmallIntegerField(_("error reason"), choices=Reason, default=Reason.NOT_DEFINED)
    errors = models.PositiveSmallIntegerField(_("number of errors"), default=0)
    significant_at = models.DateTimeField(_("last significant error"), null=True, blank=True)
    error_text = models.TextField(_("error text"), blank=True)
    last_delivery = models.ForeignKey(
        "deliveries.Delivery", models.SET_NULL, verbose_name=_("last delivery"), null=True, blank=True, related_name="+"
    )
    by_hand = models.BooleanField(_("set by hand"), default=False)  # then reports never lower it
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    modified_at = models.DateTimeField(_("modified"), auto_now=True)

    objects = Watched["QuarantinedAddress"].as_manager()

    class Meta:
        verbose_name = _("quarantined address")
        verbose_name_plural = _("quarantined addresses")

    def __str__(self) -> str:
        return self.address
