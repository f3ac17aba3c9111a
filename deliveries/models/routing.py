"""The mail servers that take messages, and how each reports and is treated."""

from __future__ import annotations

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.models.audit.watched import Watched
from campaigns.models.units import unit_field
from deliveries.mail import throttle

# No other variable may be named: a routing must not carry SECRET_KEY to a server of somebody's own.
VARIABLE_NAMES = r"^SMTP_PASSWORD[A-Z0-9_]*$"


class Routing(models.Model):
    """An external account: the mail server that takes the messages, and how it reports (issue: feedback)."""

    class Security(models.TextChoices):
        NONE = "none", _("None (loopback or a trusted network only)")
        STARTTLS = "starttls", _("STARTTLS")
        TLS = "tls", _("TLS from the first byte")

    class Retries(models.TextChoices):
        US = "us", _("We send again")
        SERVER = "server", _("The mail server alone")

    label = Line(_("label"), max_length=128, unique=True)
    is_default = models.BooleanField(_("default routing"), default=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    unit = unit_field()
    host = Line(_("SMTP host"), max_length=255, default="127.0.0.1")
    port = models.PositiveIntegerField(_("port"), default=25)
    security = models.CharField(_("security"), max_length=8, choices=Security, default=Security.STARTTLS)
    verify_certificate = models.BooleanField(_("verify the certificate"), default=True)
    username = Line(_("user name"), max_length=255, blank=True)
    password_variable = Line(
        _("password variable"),
        max_length=64,
        blank=True,
        validators=[RegexValidator(VARIABLE_NAMES, _("Its name must begin with SMTP_PASSWORD."))],
        help_text=_(
            "Name of the environment variable that holds the password, SMTP_PASSWORD or SMTP_PASSWORD_…; the password "
            "itself is never stored."
        ),
    )
    connections = models.PositiveSmallIntegerField(_("connections per worker"), default=8)
    return_domain = Line(
        _("return-path domain"),
        max_length=255,
        blank=True,
        help_text=_("Bounces come back there. Empty: the sender's."),
    )
    sender_masks = models.TextField(
        _("authorised sender masks"), blank=True, help_text=_("One a line, like *@example.com. Empty: any.")
    )
    feedback_service = models.BooleanField(
        _("feedback service"),
        default=False,
        help_text=_("The server reports the outcome of each message; a message counts as Sent only when it does."),
    )
    # Who tries again after a soft bounce; what the server puts off in the dialogue is always tried again by us.
    retry_by = models.CharField(_("retries after soft bounces"), max_length=8, choices=Retries, default=Retries.US)
    retry_first_day = models.PositiveSmallIntegerField(_("retries in the first 24 hours"), default=5)
    retry_gap = models.DurationField(_("least time between retries"), default=timedelta(hours=1))
    retry_every = models.DurationField(_("time between later retries"), default=timedelta(hours=24))
    domain_limits = models.JSONField(
        _("limits per domain"),
        default=dict,
        blank=True,
        help_text=_('Like {"example.com": {"connections": 2, "per_minute": 600}, "*": {"connections": 8}}.'),
    )
    # The circuit breaker (circuit_breaker.py): percent of what was processed; 0 switches it off.
    breaker_minimum = models.PositiveIntegerField(_("breaker: from so many processed"), default=50)
    breaker_hard = models.FloatField(_("breaker: hard bounces, %"), default=10.0, validators=[MaxValueValidator(100)])
    breaker_complaints = models.FloatField(
        _("breaker: complaints, %"), default=0.3, validators=[MaxValueValidator(100)]
    )

    objects = Watched["Routing"].as_manager()

    class Meta:
        ordering = ["label"]
        verbose_name = _("routing")
        verbose_name_plural = _("routings")
        constraints = [
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="one_default_routing")
        ]

    def __str__(self) -> str:
        return self.label

    def clean(self) -> None:
        """Limits that cannot be meant are refused, in words."""
        wrong = throttle.problems(self.domain_limits)
        if wrong:
            raise ValidationError({"domain_limits": wrong})
