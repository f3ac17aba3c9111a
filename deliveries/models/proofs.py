"""Proofs (proofs-and-tracking.md, Proofs): what was sent to whom before the real thing, and what they said of it.

A proof leaves as one or several deliveries of its own (`Delivery.proof`), which `Delivery.objects` does not show: no
list, figure, report or alert knows them unless it asks `Delivery.everything`.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.account_names import gone, name_field, name_of
from campaigns.models import Profile
from campaigns.models.people.seeds import TestProfile

MOST = 100  # mails of a proof, and substitutions among them


class Proof(models.Model):
    """One pressing of “Send a test”. `fingerprint`: the seal of what was sent."""

    delivery = models.ForeignKey("deliveries.Delivery", models.CASCADE, related_name="proofs")
    number = models.PositiveIntegerField(_("number"))
    sent_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    sent_by_name = name_field()
    sent_at = models.DateTimeField(_("sent"), default=timezone.now)
    fingerprint = models.JSONField(default=dict)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["delivery", "number"], name="proof_number")]

    def __str__(self) -> str:
        return f"Proof {self.number} of DM{self.delivery_id}"

    @property
    def sender(self) -> str:
        """Who sent it, by name."""
        return gone(name_of(self, "sent_by"))


class ProofRecipient(models.Model):
    """A mail of a proof: written for a test profile, or for a real one and sent to somebody else's address.

    The sending log of a proof names no profile, so that nothing that counts by profile (fatigue, history, opting out)
    takes it for a real message; the profile stands here.
    """

    proof = models.ForeignKey(Proof, models.CASCADE, related_name="recipients")
    address = models.CharField(_("address"), max_length=254)
    test_profile = models.ForeignKey(TestProfile, models.SET_NULL, null=True, related_name="+")
    # A proof outlives the profile, so the database does not tie them.
    profile = models.ForeignKey(Profile, models.DO_NOTHING, null=True, related_name="+", db_constraint=False)
    prefix = models.CharField(max_length=600, blank=True)  # before the subject, brackets and number included
    sending_log = models.ForeignKey(
        "deliveries.SendingLog", models.DO_NOTHING, null=True, related_name="+", db_constraint=False
    )

    def __str__(self) -> str:
        return self.address


class Verdict(models.Model):
    """Somebody approved or refused: a user, or the reader of a proof by the link in their mail (`address`).

    A user's verdict holds for the `fingerprint` that they saw; empty: nothing was prepared, so it releases nothing. It
    has no address, which tells it from a reader's when its account is gone.
    """

    delivery = models.ForeignKey("deliveries.Delivery", models.CASCADE, related_name="verdicts")
    proof = models.ForeignKey(Proof, models.CASCADE, null=True, related_name="verdicts")
    approved = models.BooleanField(_("approved"))
    comment = models.TextField(_("comment"), blank=True)
    at = models.DateTimeField(_("date"), default=timezone.now)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    user_name = name_field()
    address = models.CharField(_("address"), max_length=254, blank=True)
    fingerprint = models.JSONField(default=dict)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{'approved' if self.approved else 'refused'} by {self.who}"

    @property
    def who(self) -> str:
        """The user by name, or the address that the proof went to."""
        return self.address or gone(name_of(self, "user"))


class ProofTally(models.Model):
    """How many mails one sending of a proof had (limits.py). Account and message are kept by number: what was
    sent counts after they, or the delivery, are deleted."""

    sent_at = models.DateTimeField(default=timezone.now)
    sender = models.BigIntegerField()
    message = models.BigIntegerField()
    mails = models.PositiveIntegerField()

    class Meta:
        indexes = [
            models.Index(fields=["message", "sent_at"], name="proof_tally_message"),
            models.Index(fields=["sender", "sent_at"], name="proof_tally_sender"),
        ]

    def __str__(self) -> str:
        return f"{self.mails} at {self.sent_at:%Y-%m-%d %H:%M}"
