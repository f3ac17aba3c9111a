"""Alert dashboards, their criteria, and what was told (concepts.md, What alerts tell)."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.models import Campaign
from campaigns.models.audit.watched import Watched
from campaigns.models.units import unit_field
from deliveries.models import Delivery

from .alert_criteria import Level

_ratio = [MinValueValidator(0), MaxValueValidator(1)]


class AlertDashboard(models.Model):
    """What a group of people is told about, in one mail. Off by default. It watches the deliveries at and below its
    unit, and each member is told of those that lie where they may read."""

    label = Line(_("label"), max_length=128, unique=True)
    enabled = models.BooleanField(_("enabled"), default=False)
    group = models.ForeignKey(
        Group, models.PROTECT, verbose_name=_("alert group"), related_name="+", help_text=_("Its members get the mail.")
    )
    minimum_target = models.PositiveIntegerField(
        _("target minimum size"), default=50, help_text=_("Smaller deliveries raise no alert.")
    )
    window_hours = models.PositiveIntegerField(
        _("hours around now"), default=24, help_text=_("Deliveries whose contact date lies further away are left out.")
    )
    soft_ratio = models.FloatField(_("soft bounce ratio"), default=0.05, validators=_ratio)
    hard_ratio = models.FloatField(_("hard bounce ratio"), default=0.05, validators=_ratio)
    pending_minutes = models.PositiveIntegerField(_("minutes in start pending"), default=20)
    throughput_minutes = models.PositiveIntegerField(_("throughput: minutes after the start"), default=20)
    throughput_processed = models.FloatField(_("throughput: only if processed below"), default=0.8, validators=_ratio)
    throughput_minimum = models.PositiveIntegerField(_("minimum throughput (messages an hour)"), default=1000)
    progress_processed = models.FloatField(_("in progress: processed ratio above"), default=0, validators=_ratio)
    unit = unit_field()

    objects = Watched["AlertDashboard"].as_manager()

    class Meta:
        ordering = ["label"]
        verbose_name = _("alert dashboard")
        verbose_name_plural = _("alert dashboards")

    def __str__(self) -> str:
        return self.label


class AlertCriterion(models.Model):
    """One thing to be told about."""

    class Kind(models.TextChoices):
        FAILED = "failed", _("Failed deliveries")
        PREPARATION_FAILED = "preparation_failed", _("Deliveries whose preparation failed")
        SOFT_BOUNCES = "soft_bounces", _("Deliveries with a high soft bounce ratio")
        HARD_BOUNCES = "hard_bounces", _("Deliveries with a high hard bounce ratio")
        START_PENDING = "start_pending", _("Deliveries long in start pending")
        LOW_THROUGHPUT = "low_throughput", _("Deliveries with a low throughput")
        IN_PROGRESS = "in_progress", _("Deliveries in progress")

    dashboard = models.ForeignKey(AlertDashboard, models.CASCADE, related_name="criteria")
    kind = models.CharField(_("criterion"), max_length=24, choices=Kind)
    label_contains = Line(_("only if the label contains"), max_length=128, blank=True)
    campaign = models.ForeignKey(
        Campaign, models.CASCADE, verbose_name=_("only of the campaign"), null=True, blank=True, related_name="+"
    )
    level = models.CharField(
        _("alert type"),
        max_length=8,
        blank=True,
        choices=[(level.name, _(level.value)) for level in Level],
        help_text=_("Empty: as is usual for the criterion."),
    )
    columns = models.JSONField(_("indicators"), default=list, blank=True)  # names in alerts/mail.py; none: all
    once_a_day = models.BooleanField(
        _("first occurrence of the day only"), default=True, help_text=_("Off: in every mail.")
    )

    objects = Watched["AlertCriterion"].as_manager()

    class Meta:
        ordering = ["pk"]
        verbose_name = _("criterion")
        verbose_name_plural = _("criteria")
        constraints = [models.UniqueConstraint(fields=["dashboard", "kind"], name="alert_criterion_once")]

    def __str__(self) -> str:
        return str(self.get_kind_display())


class AlertOccurrence(models.Model):
    """A delivery met a criterion on that day: told once."""

    criterion = models.ForeignKey(AlertCriterion, models.CASCADE, related_name="occurrences")
    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="+")
    day = models.DateField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["criterion", "delivery", "day"], name="alert_once_a_day")]

    def __str__(self) -> str:
        return f"{self.criterion}: DM{self.delivery_id} on {self.day}"


class Alert(models.Model):
    """A mail of a dashboard: written first, then sent, so that a kill in between loses none."""

    dashboard = models.ForeignKey(
        AlertDashboard, models.CASCADE, verbose_name=_("alert dashboard"), related_name="alerts"
    )
    unit = unit_field()  # the dashboard's then: it may be moved, and what it told before is not for its new readers
    at = models.DateTimeField(_("date"), default=timezone.now)
    subject = models.CharField(_("subject"), max_length=255)
    text = models.TextField(_("text"))
    # [{"people": [ids of users], "letters": {language: [subject, text, HTML with colours]}}], a part for those who may
    # read the same deliveries. Written before parts were made: the letters of the whole, by language.
    letters = models.JSONField(default=list, editable=False)
    sent_at = models.DateTimeField(_("sent"), null=True)
    recipients = models.PositiveIntegerField(_("recipients"), default=0)

    class Meta:
        ordering = ["-at"]
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")

    def __str__(self) -> str:
        return self.subject
