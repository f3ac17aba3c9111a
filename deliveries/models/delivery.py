"""What happens to a message: deliveries, their batches and logs, routings, quarantine, feedback.

Two ledgers balance after every transaction (architecture.md, Two ledgers that always balance): targeted = excluded +
to deliver, and to deliver = pending + in doubt + sent + failed + cancelled. The second is a check constraint on every
batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core import secret_keys
from campaigns.core.account_names import name_field
from campaigns.core.one_line import Line
from campaigns.models import Campaign, Message

from .routing import Routing as Routing
from .states import PREPARING, State

if TYPE_CHECKING:
    Base = models.Manager["Delivery"]
else:
    Base = models.Manager


class RealDeliveries(Base):
    """What `Delivery.objects` shows, and lists, figures, reports and alerts are made of: all but the mails of
    proofs."""

    def get_queryset(self) -> models.QuerySet[Delivery]:
        """All but those of proofs (proofs.py)."""
        return super().get_queryset().filter(proof=None)


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
    # The form (sealing.py) in which whoever asked for the preparation saw it; empty: unknown.
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
