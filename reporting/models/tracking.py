"""What recipients did, and the figures that come of it: tracking logs, tracked URLs, refreshed figures."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from deliveries.models import Delivery, SendingLog


class TrackingType(models.IntegerChoices):
    """What happened, with the codes of Adobe Campaign."""

    CLICK = 1, _("Email click")
    OPEN = 2, _("Open")
    OPT_OUT = 3, _("Opt-out")
    MIRROR = 6, _("Mirror page")


OPENING = (1, 2, 3, 6, 10, 11)  # each of them implies an open (concepts.md, The figures)
CLICKING = (1, 10, 11)


class TrackingLog(models.Model):
    """One event of one recipient, raw and kept; `machine` and `rule` are what the rules of `version` make of it."""

    # Tied by no constraint, like sending logs: making and dropping a partition would have to lock all deliveries.
    delivery = models.ForeignKey(
        Delivery,
        models.CASCADE,
        verbose_name=_("delivery"),
        related_name="tracking_logs",
        db_constraint=False,
        db_index=False,
    )
    # Sending logs go by set-based statements: neither Django nor the database follows this tie.
    sending_log = models.ForeignKey(
        SendingLog,
        models.DO_NOTHING,
        verbose_name=_("sending log"),
        related_name="tracking_logs",
        db_constraint=False,
        db_index=False,
    )
    type = models.PositiveSmallIntegerField(_("type"), choices=TrackingType)
    link = models.PositiveIntegerField(_("link"), null=True)  # number of the link in the content; of clicks alone
    at = models.DateTimeField(_("date"))
    agent = models.CharField(_("program"), max_length=200, blank=True)
    network = models.CharField(_("network"), max_length=43, blank=True)  # /24 or /48, never a whole address
    head = models.BooleanField(default=False)  # asked for the headers alone
    machine = models.BooleanField(_("machine"), default=False)
    rule = models.CharField(_("rule"), max_length=16, blank=True)  # which made it a machine's (bot_detection.py)
    version = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name = _("tracking log")
        verbose_name_plural = _("tracking logs")
        indexes = [
            models.Index(fields=["delivery", "type", "id"], name="tracking_tab"),
            # a profile's history, the rules' look at what else a recipient did, and all that the figures ask of a row
            models.Index(fields=["sending_log", "delivery", "type", "machine", "link"], name="tracking_recipient"),
        ]

    def __str__(self) -> str:
        return f"{self.get_type_display()}: {self.sending_log_id} (DM{self.delivery_id})"


class TrackedUrl(models.Model):
    """A link of a delivery's content, made when its first event comes. Links of other kinds have no number."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="tracked_urls", db_index=False)
    place = models.PositiveIntegerField()  # its place among all links of the content
    link = models.PositiveIntegerField(_("link"), null=True)
    label = Line(_("label"), max_length=255, blank=True)
    category = Line(_("category"), max_length=64, blank=True)
    kind = models.CharField(_("kind"), max_length=8)  # tracked, mirror, optout, never
    part = models.CharField(_("part"), max_length=8)  # HTML or Text
    url = models.TextField(_("URL"))

    class Meta:
        ordering = ["place"]
        verbose_name = _("tracked URL")
        verbose_name_plural = _("tracked URLs")
        constraints = [models.UniqueConstraint(fields=["delivery", "place"], name="tracked_url_once")]

    def __str__(self) -> str:
        return self.label or self.url


class TrackingBuffer(models.Model):
    """How far a buffer file has been folded into tracking logs; moves in the transaction that makes the rows."""

    name = models.CharField(max_length=255, primary_key=True)
    offset = models.PositiveBigIntegerField(default=0)
    folded_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.name} up to {self.offset}"


class Figures(models.Model):
    """What the last refresh found of a delivery beside its opens and clicks, which stand on the delivery itself."""

    delivery = models.OneToOneField(Delivery, models.CASCADE, primary_key=True, related_name="figures_of")
    people_opens = models.PositiveIntegerField(default=0)  # distinct Sent rows, machines left out
    people_clicks = models.PositiveIntegerField(default=0)
    mirrors = models.PositiveIntegerField(default=0)  # distinct Sent rows
    opt_outs = models.PositiveIntegerField(default=0)
    all_opens = models.PositiveIntegerField(default=0)  # events, and rows with another event but no open
    all_clicks = models.PositiveIntegerField(default=0)  # events
    sent = models.PositiveIntegerField(default=0)  # Sent rows then
    last_log = models.PositiveBigIntegerField(default=0)  # newest tracking log counted
    version = models.PositiveSmallIntegerField(default=0)  # of the rules about machines
    refreshed_at = models.DateTimeField(default=timezone.now)
    breakdown = models.JSONField(default=dict)  # breakdown.py; for reports of deliveries too big to sum while one waits
    counting_until = models.DateTimeField(null=True)  # somebody computes the stats until then at most
    # Retention deletes the logs; from the first on nothing is counted from them any more.
    purging_at = models.DateTimeField(null=True)
    purged_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"Figures of DM{self.delivery_id}"
