"""What was reported about messages, the mails that reported it, and the rules that judge them. Part of delivery.py."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.models.audit.watched import Watched
from deliveries.mail.qualification.engine import HARD, IGNORED, REASONS, SOFT, InvalidRule, Rule, check

from .states import FailureType, Reason


class FeedbackEvent(models.Model):
    """One answer, report or notice, kept whether or not it could be matched; UNIQUE(source, key): applied once.

    What was matched decides sending logs (reports.py) and quarantine (feedback/quarantine.py). Never edited, except
    that re-qualification renews type and reason, and a repair of the quarantine takes `counts` away.
    """

    class Source(models.IntegerChoices):
        """The door by which it came."""

        REPLY = 1, _("SMTP reply")
        INBOX = 2, _("Bounce server")
        PIPE = 3, _("Bounce pipe")
        IMAP = 4, _("IMAP mailbox")
        WEBHOOK = 5, _("Webhook")
        PASTED = 6, _("By hand")

    class Kind(models.IntegerChoices):
        """What it tells."""

        NONE = 0, _("Nothing")
        DELIVERED = 1, _("Delivered")
        DELAYED = 2, _("Delayed")
        BOUNCE = 3, _("Bounce")
        COMPLAINT = 4, _("Complaint")
        AUTO_REPLY = 5, _("Automatic reply")

    source = models.PositiveSmallIntegerField(_("source"), choices=Source)
    key = models.CharField(max_length=64, editable=False)  # names the event within its source
    at = models.DateTimeField(_("happened"))  # as the report says, never later than it was received
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    kind = models.PositiveSmallIntegerField(_("kind"), choices=Kind)
    type = models.PositiveSmallIntegerField(_("type"), choices=FailureType, default=FailureType.NONE)
    reason = models.PositiveSmallIntegerField(_("reason"), choices=Reason, default=Reason.NOT_DEFINED)
    detail = models.CharField(_("detail"), max_length=64, blank=True)
    code = models.CharField(_("SMTP code"), max_length=3, blank=True)
    status = models.CharField(_("enhanced status"), max_length=12, blank=True)
    stage = models.CharField(_("stage"), max_length=8, blank=True)
    text = models.CharField(_("server's words"), max_length=1000, blank=True)
    rule = models.CharField(_("rule"), max_length=128, blank=True)
    # The address that it is about: the sending log's once it is matched, else what the report says.
    address = models.CharField(_("address"), max_length=254, blank=True)
    # Set only by a token that was made here. Not tied by the database: events outlive logs.
    log_id = models.BigIntegerField(_("sending log"), null=True)
    counts = models.BooleanField(_("counts for the quarantine"), default=True)

    class Meta:
        verbose_name = _("feedback event")
        verbose_name_plural = _("feedback events")
        constraints = [models.UniqueConstraint(fields=["source", "key"], name="feedback_once")]
        indexes = [
            # a sending log's page: all that was said of it
            models.Index(fields=["log_id"], name="feedback_of_log", condition=Q(log_id__isnull=False)),
            # the list of those that nothing matched
            models.Index(fields=["id"], name="feedback_unmatched", condition=Q(log_id__isnull=True)),
            # quarantine: what counts for and against an address (kinds Delivered, Delayed, Bounce)
            models.Index(
                fields=["address", "at"], name="feedback_counts", condition=Q(counts=True, log_id__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.address}"


class RawReport(models.Model):
    """A mail that came to the return address, kept before it was acknowledged; applied in batches (raw_mail.py)."""

    received_at = models.DateTimeField(_("received"), default=timezone.now)
    source = models.PositiveSmallIntegerField(_("source"), choices=FeedbackEvent.Source)
    recipient = models.CharField(_("envelope recipient"), max_length=320, blank=True)
    raw = models.BinaryField()  # at most raw_mail.KEPT bytes
    applied_at = models.DateTimeField(_("applied"), null=True)

    class Meta:
        verbose_name = _("raw report")
        verbose_name_plural = _("raw reports")
        indexes = [models.Index(fields=["id"], name="report_waiting", condition=Q(applied_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.received_at:%Y-%m-%d %H:%M:%S} {self.recipient}"


def _same(values: object) -> list[tuple[str, Any]]:
    """Choices that are called like the types and reasons of sending logs, whose words are translated (states.py)."""
    return [(str(value), _(str(value).replace("_", " ").capitalize())) for value in values]  # type: ignore[attr-defined]


class QualificationRule(models.Model):
    """One rule of qualification, as administrators edit it; without any row the built-in list holds."""

    order = models.PositiveIntegerField(_("order"), help_text=_("The first rule that holds decides."))
    name = Line(_("name"), max_length=128, unique=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    pattern = models.TextField(
        _("pattern"),
        blank=True,
        help_text=_("Regular expression, searched without regard to case and accents; addresses stand as *."),
    )
    code = Line(_("SMTP code"), max_length=128, blank=True)
    status = Line(_("enhanced status"), max_length=128, blank=True)
    stage = Line(_("stage"), max_length=64, blank=True)
    type = models.CharField(_("type"), max_length=8, choices=_same((HARD, SOFT, IGNORED)))
    reason = models.CharField(_("reason"), max_length=24, choices=_same(REASONS))
    detail = Line(_("detail"), max_length=64, blank=True)

    objects = Watched["QualificationRule"].as_manager()

    class Meta:
        ordering = ["order", "pk"]
        verbose_name = _("qualification rule")
        verbose_name_plural = _("qualification rules")

    def __str__(self) -> str:
        return self.name

    @property
    def rule(self) -> Rule:
        """The rule as engine.py takes it."""
        return Rule(
            self.order, self.name, self.pattern, self.type, self.reason, self.detail, self.code, self.status, self.stage
        )

    def clean(self) -> None:
        """A rule that cannot be applied is refused here, with the reason."""
        try:
            check(self.rule, new=True)
        except InvalidRule as error:
            raise ValidationError(str(error)) from error
