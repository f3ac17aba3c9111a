"""People who may get messages."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.core.time_zones import validate_time_zone
from campaigns.models.units import unit_field

from .consent import Consenting

PERSONAL_FIELDS = (  # columns that a message may quote; forms, imports, filters and the API have them in this order
    "email",
    "first_name",
    "last_name",
    "gender",
    "birth_date",
    "mobile",
    "city",
    "country",
    "language",
    "time_zone",
)


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
        """Lower-case the address first: quarantine and duplicates match exactly (deliverability.md, Quarantine)."""
        self.email = self.email.strip().lower()
        super().save(*args, **kwargs)  # type: ignore[arg-type]
