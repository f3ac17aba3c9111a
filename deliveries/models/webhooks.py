"""Webhooks that leave: who is told of what happens to deliveries, and what was told, tried and answered. Part of
delivery.py."""

from __future__ import annotations

import base64
import secrets
import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.models.audit.watched import Watched


def new_secret() -> str:
    """32 random bytes in base64, as Standard Webhooks wants a key to be."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


class WebhookEndpoint(models.Model):
    """An address of somebody's program that wants to hear of events. Only administrators make one.

    Its secret is shown to its maker once and read by nobody afterwards: only posts are signed with it.
    """

    label = Line(_("label"), max_length=128, unique=True)
    url = models.URLField(_("address"), max_length=500, help_text=_("Begins with https://."))
    kinds = models.JSONField(_("events"), default=list, blank=True, help_text=_("Empty: all."))
    enabled = models.BooleanField(_("enabled"), default=True)
    secret = models.CharField(max_length=64, default=new_secret, editable=False)
    old_secret = models.CharField(max_length=64, blank=True, editable=False)  # until the day after a rotation is over
    rotated_at = models.DateTimeField(_("secret made"), default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = Watched["WebhookEndpoint"].as_manager()

    class Meta:
        ordering = ["label"]
        verbose_name = _("webhook endpoint")
        verbose_name_plural = _("webhook endpoints")

    def __str__(self) -> str:
        return self.label


class WebhookCall(models.Model):
    """One event for one endpoint: written with the event, in the same transaction, and posted afterwards."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        DELIVERED = "delivered", _("Delivered")
        GIVEN_UP = "given_up", _("Given up")

    uid = models.UUIDField(_("identifier"), default=uuid.uuid4, unique=True, editable=False)  # the same in every try
    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, verbose_name=_("endpoint"), related_name="calls")
    kind = models.CharField(_("event"), max_length=64)
    delivery_id = models.BigIntegerField(_("delivery"), null=True, db_index=True)  # a call outlives its delivery
    payload = models.JSONField(_("content"), default=dict)
    created_at = models.DateTimeField(_("date"), default=timezone.now)
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.WAITING)
    tries_made = models.PositiveSmallIntegerField(_("tries"), default=0)
    due_at = models.DateTimeField(_("due"), null=True, default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("webhook call")
        verbose_name_plural = _("webhook calls")
        indexes = [models.Index(fields=["due_at"], name="webhook_due", condition=Q(due_at__isnull=False))]

    def __str__(self) -> str:
        return f"{self.kind} → {self.endpoint}"


class WebhookTry(models.Model):
    """One try to post a call. No status: there was no answer."""

    call = models.ForeignKey(WebhookCall, models.CASCADE, related_name="tries")
    at = models.DateTimeField(_("date"), default=timezone.now)
    status = models.PositiveSmallIntegerField(_("HTTP status"), null=True)
    words = models.CharField(_("words"), max_length=500, blank=True)
    milliseconds = models.PositiveIntegerField(_("milliseconds"), default=0)

    class Meta:
        ordering = ["pk"]
        verbose_name = _("try")
        verbose_name_plural = _("tries")

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S}: {self.status or self.words}"
