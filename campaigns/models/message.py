"""What staff write and whom they write to: brands, profiles, audiences, campaigns, messages, schedules."""

from __future__ import annotations

import zoneinfo
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.core.translate_kept import retold
from campaigns.models.audit.watched import Watched
from campaigns.models.people.consent import AddressOptIn, AddressOptOut, ConsentChange, Consenting  # noqa: F401 - Django finds them
from campaigns.scheduling import date_formula, waves

from .units import GroupUnit, OrganizationalUnit, PersonUnit, unit_field  # noqa: F401

if TYPE_CHECKING:
    from campaigns.models.people.seeds import TestProfile


def validate_time_zone(name: str) -> None:
    """`name` is an IANA zone or empty; raises ValidationError otherwise."""
    if name and name not in zoneinfo.available_timezones():
        raise ValidationError(_("%(name)s is no IANA time zone; write one like Europe/Paris."), params={"name": name})


class Brand(models.Model):
    """Who a message comes from (domain.md §1). Only administrators edit brands."""

    label = Line(_("label"), max_length=128, unique=True)
    sender_name = Line(_("sender name"), max_length=128)
    sender_address = models.EmailField(_("sender address"))
    reply_to = models.EmailField(_("reply-to address"), blank=True)
    sender_domains = models.TextField(
        _("authorised sender domains"),
        help_text=_("One a line. A sender outside them stops the preparation. *.example.com covers its subdomains."),
    )
    website = models.URLField(_("website"), blank=True)
    is_default = models.BooleanField(_("default brand"), default=False)
    unit = unit_field()

    objects = Watched["Brand"].as_manager()

    class Meta:
        ordering = ["label"]
        verbose_name = _("brand")
        verbose_name_plural = _("brands")
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=models.Q(is_default=True), name="one_default_brand"
            )
        ]

    def __str__(self) -> str:
        return self.label


class Profile(Consenting):
    """A person who may receive messages. Addresses are stored in lower case; two profiles may share one."""

    class EmailFormat(models.IntegerChoices):
        UNKNOWN = 0, _("unknown")
        TEXT = 1, _("text")
        HTML = 2, _("HTML")

    class Gender(models.IntegerChoices):
        UNKNOWN = 0, _("unknown")
        MALE = 1, _("male")
        FEMALE = 2, _("female")

    email = Line(_("e-mail"), max_length=254, blank=True)  # unchecked here: preparation excludes bad ones
    first_name = Line(_("first name"), max_length=128, blank=True)
    last_name = Line(_("last name"), max_length=128, blank=True)
    gender = models.PositiveSmallIntegerField(_("gender"), choices=Gender, default=Gender.UNKNOWN)
    birth_date = models.DateField(_("birth date"), null=True, blank=True)
    mobile = Line(_("mobile"), max_length=32, blank=True)
    city = Line(_("city"), max_length=128, blank=True)
    country = Line(_("country"), max_length=64, blank=True)
    language = Line(_("language"), max_length=16, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[validate_time_zone])
    email_format = models.PositiveSmallIntegerField(
        _("e-mail format"), choices=EmailFormat, default=EmailFormat.UNKNOWN
    )
    attributes = models.JSONField(_("attributes"), default=dict, blank=True)  # {name: text}
    unit = unit_field()
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    modified_at = models.DateTimeField(_("modified"), auto_now=True)

    class Meta:
        verbose_name = _("profile")
        verbose_name_plural = _("profiles")
        # Import and feedback look profiles up by address, people by the beginning of address or name: on PostgreSQL
        # the pattern operators serve both.
        indexes = [
            models.Index(fields=[field], name=f"profile_{field}", opclasses=["varchar_pattern_ops"])
            for field in ("email", "first_name", "last_name")
        ] + [
            # One mailbox, also in old rows with capitals, of which there are few (changes.py).
            models.Index(Lower("email"), name="profile_email_capitals", condition=~Q(email=Lower("email"))),
        ]

    def __str__(self) -> str:
        return self.email or f"#{self.pk}"

    def save(self, *args: object, **kwargs: object) -> None:
        """Lower-case the address first: quarantine and duplicates match exactly (domain.md §8)."""
        self.email = self.email.strip().lower()
        super().save(*args, **kwargs)  # type: ignore[arg-type]


class Audience(models.Model):
    """A saved population: everybody, a filter over attributes, or a list of profiles."""

    class Kind(models.TextChoices):
        ALL = "all", _("All profiles")
        FILTER = "filter", _("Profiles matching a filter")
        LIST = "list", _("A list of profiles")

    label = Line(_("label"), max_length=128, unique=True)
    kind = models.CharField(_("kind"), max_length=8, choices=Kind, default=Kind.FILTER)
    # [{"field": "country", "op": "is", "value": "FR"}, …], all of which must hold; audiences.py reads it
    conditions = models.JSONField(_("conditions"), default=list, blank=True)
    members = models.ManyToManyField(Profile, through="AudienceMember", related_name="audiences")
    unit = unit_field()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name=_("created by"),
        null=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    modified_at = models.DateTimeField(_("modified"), auto_now=True)

    objects = Watched["Audience"].as_manager()

    class Meta:
        ordering = ["label"]
        verbose_name = _("audience")
        verbose_name_plural = _("audiences")

    def __str__(self) -> str:
        return self.label


class AudienceMember(models.Model):
    """A profile's place in a list audience."""

    audience = models.ForeignKey(Audience, models.CASCADE)
    profile = models.ForeignKey(Profile, models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["audience", "profile"], name="audience_member_once")]

    def __str__(self) -> str:
        return f"{self.profile_id} in {self.audience_id}"


def default_campaign_end() -> object:
    """Start + 186 days (domain.md §11)."""
    return timezone.localdate() + timedelta(days=186)


class Campaign(models.Model):
    """A container of messages; the object on which per-campaign rights are granted."""

    class Status(models.IntegerChoices):
        EDITING = 0, _("Editing")
        STARTED = 1, _("Started")
        FINISHED = 2, _("Finished")

    label = Line(_("label"), max_length=128)
    description = Line(_("description"), max_length=512, blank=True)
    start = models.DateField(_("start"), default=timezone.localdate)
    end = models.DateField(_("end"), default=default_campaign_end)
    status = models.PositiveSmallIntegerField(_("status"), choices=Status, default=Status.EDITING)
    unit = unit_field()
    four_eyes = models.BooleanField(
        _("confirmed by another person"),
        default=False,
        help_text=_("Whoever prepared a delivery cannot confirm it: somebody else must have looked at it."),
    )
    needs_approval = models.BooleanField(
        _("approved by another person"),
        default=False,
        help_text=_("Nobody can confirm a delivery before somebody who did not prepare it has approved it."),
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name=_("created by"),
        null=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = Watched["Campaign"].as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        # The roles that can be granted everywhere (by group) or on one campaign (by guardian); permissions.py asks.
        permissions = [
            ("prepare_deliveries", "Prepare deliveries"),
            ("start_deliveries", "Start deliveries"),
            ("export_logs", "Export"),
        ]

    def __str__(self) -> str:
        return self.label

    def clean(self) -> None:
        """The end may not precede the start."""
        if self.start and self.end and self.end < self.start:
            raise ValidationError({"end": _("The campaign cannot end before it starts.")})


class Message(models.Model):
    """What staff write: content, sender and audience of one e-mail. Each sending of it is a Delivery."""

    label = Line(_("label"), max_length=128)
    description = Line(_("description"), max_length=512, blank=True)
    campaign = models.ForeignKey(Campaign, models.PROTECT, verbose_name=_("campaign"), related_name="messages")
    brand = models.ForeignKey(Brand, models.PROTECT, verbose_name=_("brand"))
    audience = models.ForeignKey(Audience, models.PROTECT, verbose_name=_("audience"), null=True, blank=True)
    typology = models.ForeignKey(
        "Typology",
        models.PROTECT,
        verbose_name=_("typology"),
        null=True,
        blank=True,
        help_text=_("Empty: the default."),
    )
    subject = Line(_("subject"), max_length=500, blank=True)
    sender_name = Line(_("sender name"), max_length=128, blank=True)
    sender_address = models.EmailField(_("sender address"), blank=True, help_text=_("Empty: the brand's."))
    reply_to = models.EmailField(_("reply-to address"), blank=True, help_text=_("Empty: the brand's."))
    html = models.TextField(_("HTML"), blank=True)
    text = models.TextField(_("text"), blank=True, help_text=_("Empty: made from the HTML."))
    proof_prefix = Line(
        _("prefix of proofs"),
        max_length=100,
        blank=True,
        default="Proof",
        help_text=_("In brackets before the subject of a proof. Empty: none, and no number."),
    )
    hide_proof_number = models.BooleanField(_("no number in the prefix of proofs"), default=False)
    traps: models.ManyToManyField[TestProfile, models.Model] = models.ManyToManyField(
        "TestProfile", verbose_name=_("traps"), blank=True, related_name="+", limit_choices_to={"trap": True},
        help_text=_("Test profiles that get the real send together with the target."),
    )  # fmt: skip
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name=_("created by"),
        null=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    modified_at = models.DateTimeField(_("modified"), auto_now=True)
    locked_at = models.DateTimeField(_("locked"), null=True, editable=False)  # set at confirmation: read-only since

    objects = Watched["Message"].as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = _("message")
        verbose_name_plural = _("messages")

    def __str__(self) -> str:
        return self.label

    def get_absolute_url(self) -> str:
        """The message's form in the admin."""
        return reverse("admin:campaigns_message_change", args=[self.pk])

    @property
    def sender(self) -> tuple[str, str]:
        """Display name and address that recipients see: the message's own, else the brand's."""
        return self.sender_name or self.brand.sender_name, self.sender_address or self.brand.sender_address


class Schedule(models.Model):
    """When a message leaves and until when it may (domain.md §5 and §6). No row means: once confirmed, defaults."""

    class Mode(models.TextChoices):
        IMMEDIATE = "immediate", _("Once confirmed")
        AT_DATE = "at_date", _("At a contact date")
        RECIPIENT_ZONE = "recipient_zone", _("At a contact date, by each recipient's own clock")
        FORMULA = "formula", _("At a date of each recipient's own, by a formula")

    message = models.OneToOneField(Message, models.CASCADE, related_name="schedule")
    mode = models.CharField(_("mode"), max_length=16, choices=Mode, default=Mode.IMMEDIATE)
    contact_date = models.DateTimeField(_("contact date"), null=True, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[validate_time_zone])
    request_confirmation = models.BooleanField(
        _("request confirmation before sending"),
        default=True,
        help_text=_(
            "Off: messages leave as soon as they are prepared, or at the contact date, warnings or not; never after an "
            "error, and only if whoever prepared them may start deliveries."
        ),
    )
    # Waves (domain.md §6): "10% 30%" or "1000 5000"; the last wave takes the rest.
    waves = Line(_("waves"), max_length=200, blank=True)
    wave_interval = models.DurationField(_("time between waves"), default=timedelta(hours=1))
    wave_limit = models.PositiveSmallIntegerField(
        _("bounces that hold later waves back, in percent"), default=10, validators=[MaxValueValidator(100)]
    )  # 0: nothing does
    formula = Line(_("date formula"), max_length=500, blank=True)  # Liquid; date_formula.py
    delivery_duration = models.DurationField(_("delivery duration"), default=timedelta(days=5))
    validity_end = models.DateTimeField(_("explicit end of validity"), null=True, blank=True)

    objects = Watched["Schedule"].as_manager()

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")

    def __str__(self) -> str:
        return str(self.get_mode_display())

    @property
    def is_dated(self) -> bool:
        """True if messages wait for the contact date."""
        return self.mode != self.Mode.IMMEDIATE

    @property
    def is_spread(self) -> bool:
        """True if each recipient has a due time of his own."""
        return self.mode in (self.Mode.RECIPIENT_ZONE, self.Mode.FORMULA)

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The zone in which its dates are meant: its own, or the server's."""
        return zoneinfo.ZoneInfo(self.time_zone or timezone.get_default_timezone_name())

    def clean(self) -> None:
        """A dated schedule needs its date; an explicit end must follow it."""
        if self.is_dated and not self.contact_date:
            raise ValidationError({"contact_date": _("Give the date from which the messages may leave.")})
        try:
            waves.check(self.waves)
        except waves.BadWaves as error:
            raise ValidationError({"waves": retold(error.args[0])}) from error
        if self.waves and self.is_spread:
            raise ValidationError({"waves": _("Where each recipient has a time of his own there are no waves.")})
        if self.mode == self.Mode.FORMULA:
            date_formula.clean(self.formula)
        if self.validity_end and self.contact_date and self.validity_end <= self.contact_date:
            raise ValidationError({"validity_end": _("The validity must end after the contact date.")})
