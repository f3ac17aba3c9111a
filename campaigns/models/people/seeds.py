"""Test profiles: addresses of our own that get proofs, and real sends as traps (proofs-and-tracking.md, Traps); never
part of a target."""

from __future__ import annotations

from datetime import date

from django.db import models
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.core.time_zones import validate_time_zone
from campaigns.models.audit.watched import Watched
from campaigns.models.units import unit_field

from .profile import PERSONAL_FIELDS, Profile

QUOTED = (*(name for name in PERSONAL_FIELDS if name != "mobile"), "email_format", "attributes")


class TestProfile(models.Model):
    """A fictitious person, or one of us, with the values that a message quotes. The address is kept in lower case."""

    __test__ = False  # pytest takes the name for a test

    label = Line(_("label"), max_length=128, unique=True)
    email = models.EmailField(_("e-mail"), max_length=254)
    proofs = models.BooleanField(
        _("gets proofs"), default=True, help_text=_("Off: it is kept, and nobody can send it a test.")
    )
    trap = models.BooleanField(
        _("may get real sends"),
        default=False,
        help_text=_("As a trap: messages that name it reach it together with their target."),
    )
    first_name = Line(_("first name"), max_length=128, blank=True)
    last_name = Line(_("last name"), max_length=128, blank=True)
    gender = models.PositiveSmallIntegerField(_("gender"), choices=Profile.Gender, default=Profile.Gender.UNKNOWN)
    birth_date = models.DateField(_("birth date"), null=True, blank=True)
    city = Line(_("city"), max_length=128, blank=True)
    country = Line(_("country"), max_length=64, blank=True)
    language = Line(_("language"), max_length=16, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[validate_time_zone])
    email_format = models.PositiveSmallIntegerField(
        _("e-mail format"), choices=Profile.EmailFormat, default=Profile.EmailFormat.UNKNOWN
    )
    attributes = models.JSONField(_("attributes"), default=dict, blank=True)  # {name: text}
    unit = unit_field()

    objects = Watched["TestProfile"].as_manager()

    class Meta:
        ordering = ["label"]
        verbose_name = _("test profile")
        verbose_name_plural = _("test profiles")

    def __str__(self) -> str:
        return f"{self.label} <{self.email}>"

    def save(self, *args: object, **kwargs: object) -> None:
        """Lower-case the address first, as profiles do: quarantine matches exactly."""
        self.email = self.email.strip().lower()
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    def as_profile(self) -> Profile:
        """A profile, not saved, that messages are written for as for any other."""
        return Profile(**{name: getattr(self, name) for name in QUOTED})

    def frozen(self) -> dict[str, object]:
        """What as_profile() is made of, for JSON."""
        return {name: value.isoformat() if isinstance(value := getattr(self, name), date) else value for name in QUOTED}
