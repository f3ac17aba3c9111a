"""The logs of a delivery: who gets it, who was left out, what happened."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.translate_kept import translate_json
from campaigns.models import Profile

from .batch import Batch
from .delivery import Delivery
from .states import FailureType, LogStatus, Reason


class SendingLog(models.Model):
    """One row per delivery and recipient. UNIQUE(delivery, address): the database lets nobody be mailed twice."""

    class Retry(models.IntegerChoices):
        """Who tries again after a report; our own tries are rows with a due time."""

        NONE = 0, _("Nobody")
        SERVER = 1, _("The mail server")
        OVER = 2, _("Nobody any more: the validity is over")

    # Neither is tied by the database: a check for each row would cost a third of the time of preparing, and without an
    # index of its own each batch deleted would scan the whole table.
    delivery = models.ForeignKey(
        Delivery,
        models.CASCADE,
        verbose_name=_("delivery"),
        related_name="sending_logs",
        db_index=False,
        db_constraint=False,
    )
    batch = models.ForeignKey(
        Batch, models.DO_NOTHING, null=True, related_name="sending_logs", db_index=False, db_constraint=False
    )
    # A log outlives its profile, so the database does not tie them.
    profile = models.ForeignKey(Profile, models.DO_NOTHING, null=True, related_name="sending_logs", db_constraint=False)
    address = models.CharField(_("address"), max_length=254)
    status = models.PositiveSmallIntegerField(_("status"), choices=LogStatus, default=LogStatus.PENDING)
    failure_type = models.PositiveSmallIntegerField(
        _("nature of failure"), choices=FailureType, default=FailureType.NONE
    )
    reason = models.PositiveSmallIntegerField(_("reason"), choices=Reason, default=Reason.NOT_DEFINED)
    reply = models.CharField(_("server's words"), max_length=500, blank=True)
    date = models.DateTimeField(_("date"))  # preparation; then of the last change of status
    test_profile = models.BooleanField(_("test profile"), default=False)
    # Sending: a claimed row is Pending with the fence of the lease that claimed it. No due time: nothing more to try.
    claim_fence = models.PositiveIntegerField(null=True)
    claims = models.PositiveSmallIntegerField(default=0)  # claims without an outcome: a poison recipient shows here
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    due_at = models.DateTimeField(_("due"), null=True)
    relayed_at = models.DateTimeField(_("relayed"), null=True)
    # Feedback: time and weight of the fact that decided the status (transitions.py, so that any order converges).
    last_event_at = models.DateTimeField(null=True)
    last_event_rank = models.PositiveSmallIntegerField(default=0)
    retry_state = models.PositiveSmallIntegerField(choices=Retry, default=Retry.NONE)
    # Later facts are timestamps beside the status.
    opened_at = models.DateTimeField(_("opened"), null=True)
    clicked_at = models.DateTimeField(_("clicked"), null=True)
    opted_out_at = models.DateTimeField(_("opted out"), null=True)
    complained_at = models.DateTimeField(_("complained"), null=True)

    class Meta:
        verbose_name = _("sending log")
        verbose_name_plural = _("sending logs")
        constraints = [models.UniqueConstraint(fields=["delivery", "address"], name="sending_log_once")]
        indexes = [
            # claim: the next due rows of a batch; recovery: those of them that a dead lease had claimed
            # (fill_factor.py)
            models.Index(fields=["batch", "due_at"], name="log_due", condition=Q(due_at__isnull=False)),
            # expiry: the rows that the server was still trying
            models.Index(fields=["batch"], name="log_server_retries", condition=Q(retry_state=1)),
            # the Sending logs tab, whole and by status, paged by key
            models.Index(fields=["delivery", "status", "id"], name="log_tab"),
        ]

    def __str__(self) -> str:
        return f"{self.address} (DM{self.delivery_id})"


class ExclusionLog(models.Model):
    """One row per profile left out at preparation, with the first cause that removed it."""

    delivery = models.ForeignKey(
        Delivery, models.CASCADE, verbose_name=_("delivery"), related_name="exclusion_logs", db_index=False
    )
    profile = models.ForeignKey(Profile, models.DO_NOTHING, null=True, related_name="+", db_constraint=False)
    # Whom a list left out, of which people learn the number alone: shown nowhere; later runs of an execution read it.
    hidden_profile = models.BigIntegerField(null=True, editable=False)
    address = models.CharField(_("address"), max_length=254, blank=True)
    cause = models.PositiveSmallIntegerField(_("cause"), choices=Reason)
    rule = models.PositiveIntegerField(_("rule"), default=0)  # the typology rule, which may be gone since; 0: none
    date = models.DateTimeField(_("date"))

    class Meta:
        verbose_name = _("exclusion log")
        verbose_name_plural = _("exclusion logs")
        indexes = [models.Index(fields=["delivery", "cause", "id"], name="exclusion_tab")]

    def __str__(self) -> str:
        return f"{self.address or self.profile_id or self.pk}: {self.words} (DM{self.delivery_id})"

    @property
    def words(self) -> str:
        """The cause, with the code of the rule if it was one: Excluded by a fatigue rule (RL89)."""
        return f"{self.get_cause_display()} (RL{self.rule})" if self.rule else str(self.get_cause_display())


class ExclusionCause(models.Model):
    """How many a cause left out of a delivery, zero included: read instead of counting the log."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="exclusion_causes")
    cause = models.PositiveSmallIntegerField(_("cause"), choices=Reason)
    rule = models.PositiveIntegerField(_("rule"), default=0)  # see ExclusionLog
    rule_label = models.CharField(max_length=128, blank=True)  # as it was called then
    volume = models.PositiveIntegerField(_("volume"), default=0)
    date = models.DateTimeField(_("date"), default=timezone.now)

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["delivery", "cause", "rule"], name="exclusion_cause_once")]

    def __str__(self) -> str:
        return f"{self.words}: {self.volume}"

    @property
    def code(self) -> str:
        """What tells it from the delivery's other causes, for addresses and programs: 9, or 12-89 of a rule."""
        return f"{self.cause}-{self.rule}" if self.rule else str(self.cause)

    @property
    def words(self) -> str:
        """The cause for people: Quarantined address, or At most two a week (RL89)."""
        return f"{self.rule_label} (RL{self.rule})" if self.rule else str(self.get_cause_display())


class DeliveryEvent(models.Model):
    """A line of a delivery's message log."""

    class Severity(models.IntegerChoices):
        INFO = 0, _("Information")
        WARNING = 1, _("Warning")
        ERROR = 2, _("Error")

    delivery = models.ForeignKey(
        Delivery, models.CASCADE, verbose_name=_("delivery"), related_name="events", db_index=False
    )
    at = models.DateTimeField(_("date"), default=timezone.now)
    severity = models.PositiveSmallIntegerField(_("severity"), choices=Severity, default=Severity.INFO)
    code = models.CharField(_("code"), max_length=64)  # stable, for programs: prepared, confirmed, refused …
    message = models.TextField(_("message"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, verbose_name=_("user"), null=True, related_name="+"
    )
    details = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("log message")
        verbose_name_plural = _("log messages")
        indexes = [models.Index(fields=["delivery", "-id"], name="event_tab")]  # the Log tab, newest first

    def __str__(self) -> str:
        return self.message

    @property
    def words(self) -> str:
        """The message in the reader's language."""
        return translate_json(self.details.get("said"), self.message)
