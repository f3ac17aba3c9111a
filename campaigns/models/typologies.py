"""Typologies, their rules, and control groups: who of a target gets no message (concepts.md, Who is left out).

What the rules mean is asked in messages/typologies.py; deliveries carries them out at preparation.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from campaigns.core.one_line import Line
from campaigns.models.audit.watched import Watched

from . import conditions
from .campaign import Brand, Campaign
from .control_rule_catalogue import CONTROL_RULES, MOST_ENTRIES, _check_conditions
from .message import Message


class TypologyRule(models.Model):
    """Leaves people out: those whom a query finds, listed addresses or domains, or who get enough mail already."""

    class Kind(models.TextChoices):
        QUERY = "query", _("Filtering: profiles that match a query")
        ADDRESSES = "addresses", _("Filtering: excluded addresses")
        DOMAINS = "domains", _("Filtering: excluded domains")
        FATIGUE = "fatigue", _("Fatigue: profiles that get enough messages")

    class Unit(models.TextChoices):
        HOURS = "hours", _("hours")
        DAYS = "days", _("days")
        WEEKS = "weeks", _("weeks")

    class Counted(models.TextChoices):
        ALL = "all", _("All deliveries")
        CAMPAIGN = "campaign", _("Those of the same campaign")
        BRAND = "brand", _("Those of the same brand")

    label = Line(_("label"), max_length=128, unique=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.QUERY)
    active = models.BooleanField(_("active"), default=True)
    order = models.PositiveSmallIntegerField(
        _("execution order"),
        default=50,
        help_text=_("Filtering rules run by it, then fatigue rules; low numbers first."),
    )
    # Application criteria: for which messages the rule is run.
    only_campaign = models.ForeignKey(
        Campaign,
        models.CASCADE,
        verbose_name=_("only messages of the campaign"),
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Empty: of any."),
    )
    only_brand = models.ForeignKey(
        Brand,
        models.CASCADE,
        verbose_name=_("only messages of the brand"),
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Empty: of any."),
    )
    conditions = models.JSONField(_("conditions"), default=list, blank=True)  # as in an audience
    entries = models.TextField(_("addresses or domains"), blank=True, help_text=_("One a line."))
    threshold = models.PositiveSmallIntegerField(
        _("threshold"), default=1, help_text=_("The most messages that a profile gets within the period; 0: none.")
    )
    threshold_field = Line(
        _("threshold of each profile"),
        max_length=80,
        blank=True,
        help_text=_("An attribute that holds a number, such as attributes.max_mails; else the threshold."),
    )
    period = models.PositiveSmallIntegerField(
        _("sliding period"),
        default=7,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text=_("Before the contact date and after it: 7 days look at two weeks."),
    )
    unit = models.CharField(_("unit"), max_length=5, choices=Unit, default=Unit.DAYS)
    counted = models.CharField(_("deliveries to count"), max_length=8, choices=Counted, default=Counted.ALL)
    modified_at = models.DateTimeField(_("modified"), auto_now=True)

    objects = Watched["TypologyRule"].as_manager()

    class Meta:
        ordering = ["order", "pk"]
        verbose_name = _("typology rule")
        verbose_name_plural = _("typology rules")

    def __str__(self) -> str:
        return f"{self.label} ({self.code})" if self.pk else self.label

    @property
    def code(self) -> str:
        """The identifier that logs quote, like RL89."""
        return f"RL{self.pk}"

    @property
    def is_fatigue(self) -> bool:
        """True if it counts messages; the others filter."""
        return self.kind == self.Kind.FATIGUE

    @property
    def reach(self) -> timedelta:
        """The sliding period: how far before and after the contact date it looks."""
        return timedelta(**{str(self.unit): self.period})

    def clean(self) -> None:
        """Conditions, lists and attribute must make sense."""

        validate_rule(self)


class Typology(models.Model):
    """A named set of rules; each message has one, and the default one if it names none."""

    label = Line(_("label"), max_length=128, unique=True)
    is_default = models.BooleanField(_("default typology"), default=False)
    rules = models.ManyToManyField(
        TypologyRule, verbose_name=_("filtering and fatigue rules"), blank=True, related_name="typologies"
    )
    # {code of a built-in control rule: "off", "warning" or "error"}, where it differs from typologies.CONTROL_RULES
    levels = models.JSONField(_("control rules"), default=dict, blank=True)
    modified_at = models.DateTimeField(_("modified"), auto_now=True)

    objects = Watched["Typology"].as_manager()

    class Meta:
        ordering = ["label"]
        verbose_name = _("typology")
        verbose_name_plural = _("typologies")
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=models.Q(is_default=True), name="one_default_typology"
            )
        ]

    def __str__(self) -> str:
        return self.label

    def save(self, *args: Any, **kwargs: Any) -> None:
        """The default one replaces the former default."""
        if self.is_default:
            type(self).objects.filter(is_default=True).exclude(pk=self.pk).update(is_default=False)
        super().save(*args, **kwargs)


class ControlGroup(models.Model):
    """Whom of a message's target nothing is sent, on purpose, to measure the effect."""

    class Extraction(models.TextChoices):
        NONE = "none", _("None")
        RANDOM = "random", _("At random")
        FIRST = "first", _("The first after sorting")

    message = models.OneToOneField(Message, models.CASCADE, related_name="control_group")
    extraction = models.CharField(_("extraction"), max_length=6, choices=Extraction, default=Extraction.NONE)
    sort_field = Line(
        _("sort by"), max_length=80, blank=True, help_text=_("A field of the profile, or attributes. and a name.")
    )
    descending = models.BooleanField(_("descending"), default=True)
    percent = models.PositiveSmallIntegerField(
        _("percent of the target"), null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    size = models.PositiveIntegerField(
        _("maximum size"), null=True, blank=True, help_text=_("With a percentage, too, the smaller of both holds.")
    )
    conditions = models.JSONField(_("excluded by a query"), default=list, blank=True)  # as in an audience

    objects = Watched["ControlGroup"].as_manager()

    class Meta:
        verbose_name = _("control group")
        verbose_name_plural = _("control groups")

    def __str__(self) -> str:
        return str(self.get_extraction_display())

    def clean(self) -> None:
        """An extraction needs its limit, a sort its field."""

        validate_group(self)


def levels(typology: Typology | None) -> Mapping[str, str]:
    """{code of a control rule: its level} where the typology changes it."""
    changed = typology.levels if typology else {}
    return {code: level for code, level in changed.items() if code in CONTROL_RULES and not CONTROL_RULES[code].fixed}


def entries(rule: TypologyRule) -> list[str]:
    """The addresses or domains that the rule lists, in lower case, each once."""
    return list(dict.fromkeys(line.strip().lower() for line in rule.entries.splitlines() if line.strip()))


def validate_rule(rule: TypologyRule) -> None:
    """Raises ValidationError by field, with words that say what to do."""
    kind = TypologyRule.Kind
    if rule.kind == kind.QUERY:
        _check_conditions(rule.conditions)
    elif rule.kind in (kind.ADDRESSES, kind.DOMAINS):
        _check_entries(rule)
    elif rule.threshold_field and conditions.attribute_of(rule.threshold_field) is None:
        words = _("Profiles have no such number. Write attributes. and a name, such as attributes.max_mails.")
        raise ValidationError({"threshold_field": words})


def validate_group(group: ControlGroup) -> None:
    """Raises ValidationError by field, with words that say what to do."""
    extraction = ControlGroup.Extraction
    if group.conditions:
        _check_conditions(group.conditions)
    if group.extraction != extraction.NONE and not (group.percent or group.size):
        raise ValidationError({"percent": _("Say how many: give a percentage, a maximum size, or both.")})
    if group.extraction == extraction.FIRST and conditions.kind_of(group.sort_field) is None:
        known = ", ".join(conditions.FIELDS)
        raise ValidationError({"sort_field": _("Sort by one of %s, or attributes. and a name.") % known})


def _check_entries(rule: TypologyRule) -> None:
    listed = entries(rule)
    if not 0 < len(listed) <= MOST_ENTRIES:
        raise ValidationError({"entries": _("List one to %d, one a line.") % MOST_ENTRIES})
    with_sign = rule.kind == TypologyRule.Kind.ADDRESSES
    wrong = next((line for line in listed if ("@" in line) is not with_sign or " " in line or "." not in line), None)
    if wrong is not None:
        words = _("“%s” is no address.") if with_sign else _("“%s” is no domain; write it like example.com.")
        raise ValidationError({"entries": words % wrong})
