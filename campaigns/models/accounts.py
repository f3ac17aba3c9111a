"""What logging in keeps: failed tries of late, and people's second factors."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core import secret_keys


class LoginTries(models.Model):
    """Failed tries that have something in common: a name and an address, a name, an address, or a known browser."""

    key = models.CharField(max_length=64, primary_key=True)  # a digest: names that are nobody's may be passwords
    failures = models.PositiveIntegerField(default=0)
    since = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField(default=timezone.now)  # nothing is tried before

    def __str__(self) -> str:
        return f"{self.failures} since {self.since}"


class SecondFactor(models.Model):
    """A person's authenticator app (TOTP). Its secret is derived from the salt and the key in use when it was set up,
    and is not kept; under a later key it is kept enciphered (second_factor.py)."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="second_factor")
    salt = models.CharField(max_length=43)
    # The name of the key with which the secret is derived, or enciphered if it is kept; '': noted none yet, the oldest.
    key = models.CharField(
        max_length=secret_keys.NAME_LENGTH, default=secret_keys.present_name, db_default="", blank=True
    )
    enciphered = models.CharField(max_length=40, default="", db_default="", blank=True)  # the secret, in hexadecimal
    confirmed_at = models.DateTimeField(_("in use since"), null=True)
    last_step = models.BigIntegerField(default=0)  # of the last code that was taken: none is taken twice
    recovery = models.JSONField(default=list)  # digests of the recovery codes that are left

    class Meta:
        verbose_name = _("second factor")
        verbose_name_plural = _("second factors")

    def __str__(self) -> str:
        return str(self.user)
