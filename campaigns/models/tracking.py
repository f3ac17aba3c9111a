"""How staff track a message, and the URLs that are never tracked (proofs-and-tracking.md, Tracking)."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator, URLValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.models.audit.watched import Watched

_web = URLValidator(schemes=["http", "https"])


class TrackingOptions(models.Model):
    """The tracking of one message; no row means: active, pixel at the bottom, the usual time, the brand's website."""

    message = models.OneToOneField("campaigns.Message", models.CASCADE, related_name="tracking")
    active = models.BooleanField(
        _("activate tracking"), default=True, help_text=_("Off: links lead where they say, and nothing tells of opens.")
    )
    pixel_at_top = models.BooleanField(
        _("tell of opens from the top"),
        default=False,
        help_text=_("The image stands before the content, where long mails that are cut off still have it."),
    )
    days = models.PositiveSmallIntegerField(
        _("tracking validity (days)"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text=_("From the contact date; afterwards links lead to the address below. Empty: the usual."),
    )
    fallback_url = models.URLField(
        _("address after the validity"),
        max_length=500,
        blank=True,
        validators=[_web],
        help_text=_("Empty: the brand's website."),
    )

    objects = Watched["TrackingOptions"].as_manager()

    class Meta:
        verbose_name = _("tracking")
        verbose_name_plural = _("tracking")

    def __str__(self) -> str:
        return str(_("tracked") if self.active else _("not tracked"))


class NeverTracked(models.Model):
    """A URL that somebody marked `data-track="never"` once: it is not tracked in later messages either."""

    url = models.TextField(_("URL"), unique=True)
    since = models.DateTimeField(_("since"), default=timezone.now, editable=False)

    objects = Watched["NeverTracked"].as_manager()

    class Meta:
        ordering = ["url"]
        verbose_name = _("URL that is never tracked")
        verbose_name_plural = _("URLs that are never tracked")

    def __str__(self) -> str:
        return self.url
