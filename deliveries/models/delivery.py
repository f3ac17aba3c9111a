"""What happens to a message: deliveries, their batches and logs, routings, quarantine, feedback.

Two ledgers balance after every transaction (house): targeted = excluded + to deliver, and
to deliver = pending + in doubt + sent + failed + cancelled. The second is a check constraint on every batch.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core import secret_keys
from campaigns.core.account_names import name_field
from campaigns.core.one_line import Line
from campaigns.core.translate_kept import again
from campaigns.models import Campaign, Message, Profile

from .real_deliveries import RealDeliveries
from .routing import Routing as Routing
from .states import ENDED, PREPARING, FailureType, LogStatus, Reason, State


class Delivery(models.Model):
    """One sending of a message. `state` is written by states.advance() alone."""

    message = models.ForeignKey(Message, models.PROTECT, verbose_name=_("message"), related_name="deliveries")
    # Copied from the message, so that lists and rights need no join and a row stays true after edits.
    campaign = models.ForeignKey(Campaign, models.PROTECT, verbose_name=_("campaign"), related_name="deliveries")
    label = Line(_("label"), max_length=128)
    state = models.PositiveSmallIntegerField(_("state"), choices=State, default=State.EDITING, editable=False)
    paused_from = models.PositiveSmallIntegerField(null=True, editable=False)
    routing = models.ForeignKey(Routing, models.PROTECT, verbose_name=_("routing"), null=True)
    feedback_service = models.BooleanField(
        _("feedback service"), default=False, editable=False
    )  # frozen at confirmation, like who retries
    retry_by = models.CharField(max_length=8, choices=Routing.Retries, default=Routing.Retries.US, editable=False)

    # Preparation: each run has its number, which its transactions check; content is what recipients will get.
    preparation = models.PositiveIntegerField(default=0, editable=False)
    preparation_at = models.DateTimeField(null=True, editable=False)  # last sign of life of a running preparation
    progress = models.PositiveSmallIntegerField(default=0, editable=False)  # percent
    content = models.JSONField(default=dict, editable=False)
    fingerprint = models.JSONField(default=dict, editable=False)  # {part: digest}; fingerprint.py
    # The form (seal.py) in which whoever asked for the preparation saw it; empty: unknown.
    asked_for = models.JSONField(default=dict, editable=False)
    # The key that signs its letters' tokens (compose.py). Empty: prepared before tokens had purposes (old_tokens.py).
    token_key = models.CharField(
        max_length=12, default=secret_keys.present_name, db_default="", blank=True, editable=False
    )
    around = models.JSONField(default=dict, editable=False)  # what stood around it once confirmed (rerouting.py)
    targeted = models.PositiveIntegerField(_("targeted"), default=0, editable=False)
    excluded = models.PositiveIntegerField(_("excluded"), default=0, editable=False)
    to_deliver = models.PositiveIntegerField(_("to deliver"), default=0, editable=False)

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    created_by_name = name_field()
    prepared_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    prepared_by_name = name_field()
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    confirmed_by_name = name_field()
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    prepared_at = models.DateTimeField(_("prepared"), null=True, editable=False)
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, editable=False)
    contact_date = models.DateTimeField(_("contact date"), null=True, editable=False)  # confirmation time if immediate
    started_at = models.DateTimeField(_("started"), null=True, editable=False)
    finished_at = models.DateTimeField(_("finished"), null=True, editable=False)
    validity_end = models.DateTimeField(_("valid until"), null=True, editable=False)
    # When the rows of a preparation are due (schedules by the recipient's clock spread them).
    first_due_at = models.DateTimeField(null=True, editable=False)
    last_due_at = models.DateTimeField(null=True, editable=False)
    # Confirming: frozen at preparation whether it needs nobody; until when it may be undone at no cost; from when on
    # starting it would be so late that somebody must confirm again.
    starts_by_itself = models.BooleanField(default=False, editable=False)
    undo_until = models.DateTimeField(null=True, editable=False)
    start_by = models.DateTimeField(null=True, editable=False)
    # Executions of a recurrence (executions.py): the slot is the time that was intended for this one.
    parent = models.ForeignKey(
        "self", models.PROTECT, verbose_name=_("series"), null=True, related_name="executions", editable=False
    )
    slot = models.DateTimeField(_("slot"), null=True, editable=False)
    period = models.CharField(_("period"), max_length=10, blank=True, editable=False)  # see schedules.period
    expires_at = models.DateTimeField(null=True, editable=False)  # from when on nobody may confirm it any more
    asks = models.BooleanField(default=False, editable=False)  # people are yet to be told that it waits for them
    # The proof that it carries to its readers; NULL for all that is no proof (proofs.py).
    proof = models.ForeignKey("Proof", models.CASCADE, null=True, related_name="+", editable=False)
    # Of a series: the sums of its executions that were deleted (deletion.py), which its own figures keep.
    kept_figures = models.JSONField(default=dict, editable=False)
    # Since when the first waves bounce so much that later ones are held back (wave_gates.py).
    held_since = models.DateTimeField(_("later waves held back since"), null=True, editable=False)
    # What keeps it from sending right now (the mail server is down, say); empty when nothing does.
    hindrance = models.CharField(_("hindrance"), max_length=500, blank=True, editable=False)
    hindered_since = models.DateTimeField(null=True, editable=False)

    # Distinct sending logs with an open or a click, refreshed by reporting (hourly, or Compute stats).
    opens = models.PositiveIntegerField(_("opens"), default=0, editable=False)
    clicks = models.PositiveIntegerField(_("clicks"), default=0, editable=False)
    stats_at = models.DateTimeField(_("figures refreshed"), null=True, editable=False)

    objects = RealDeliveries()
    everything: models.Manager[Delivery] = models.Manager()  # with proofs: for what sends, counts rows and forgets

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes = [models.Index(fields=["state", "id"], name="delivery_state")]  # the sweeper's and the lists' question
        constraints = [models.UniqueConstraint(fields=["parent", "slot"], name="one_execution_per_slot")]

    def __str__(self) -> str:
        return f"{self.label} ({self.code})"

    def get_absolute_url(self) -> str:
        """The dashboard in the admin."""
        return reverse("admin:deliveries_delivery_change", args=[self.pk])

    @property
    def code(self) -> str:
        """The identifier that people quote, like DM95."""
        return f"DM{self.pk}"

    @property
    def is_series(self) -> bool:
        """The parent of a recurrence's executions: it is never sent itself."""
        return self.parent_id is None and hasattr(self.message, "recurrence")

    @property
    def is_preparing(self) -> bool:
        """A preparation runs or waits for a worker."""
        return self.state in PREPARING

    @property
    def has_ended(self) -> bool:
        """Nothing will be sent any more."""
        return self.state in ENDED


class Batch(models.Model):
    """A slice of a delivery's sending logs that one worker leases at a time; carries their counters."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="batches")
    number = models.PositiveIntegerField()
    # Lease (leases.py): who holds it, until when; the fence rises with every lease and stamps claims and journals.
    fence = models.PositiveIntegerField(default=0)
    holder = models.CharField(max_length=255, blank=True)
    lease_until = models.DateTimeField(null=True)
    next_due_at = models.DateTimeField(null=True, default=timezone.now)  # NULL: nothing left to send here
    gated = models.BooleanField(default=False)  # of a later wave: not to be taken before it is let go (wave_gates.py)
    # Counters, changed with the rows they count (statuses.py).
    total = models.PositiveIntegerField(default=0)
    pending = models.PositiveIntegerField(default=0)
    in_doubt = models.PositiveIntegerField(default=0)
    sent = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    relayed = models.PositiveIntegerField(default=0)  # handed to the mail server, whatever came of it
    retrying = models.PositiveIntegerField(default=0)  # will be tried again: deferred Pending and soft Failed rows
    hard = models.PositiveIntegerField(default=0)  # of failed
    soft = models.PositiveIntegerField(default=0)  # of failed
    complaints = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="batch_number"),
            models.CheckConstraint(
                condition=Q(total=F("pending") + F("in_doubt") + F("sent") + F("failed") + F("cancelled")),
                name="batch_balances",
            ),
        ]
        indexes = [
            # the sweeper: batches with due rows
            models.Index(fields=["next_due_at"], name="batch_due", condition=Q(next_due_at__isnull=False)),
            # the sweeper: batches whose retries end with the validity
            models.Index(fields=["delivery"], name="batch_retrying", condition=Q(retrying__gt=0)),
        ]

    def __str__(self) -> str:
        return f"DM{self.delivery_id}/{self.number}"


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
    """A line of a delivery's message log (domain.md §2.7)."""

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
        return again(self.details.get("said"), self.message)


DUE = Q(next_due_at__lte=Now()) | Q(next_due_at__lte=F("delivery__started_at"))  # the same, of batches
