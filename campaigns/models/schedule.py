"""The recurrence of a message: the slots in which it is sent again and again (concepts.md, When it leaves)."""

from __future__ import annotations

import zoneinfo
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models, transaction
from django.dispatch import Signal
from django.utils import timezone
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from campaigns.core.one_line import Line
from campaigns.core.time_zones import validate_time_zone
from campaigns.core.translate_kept import translated
from campaigns.models.audit.watched import Watched
from campaigns.scheduling import calendar, date_formula, waves

from .message import Message

TWO_TIMES = gettext_noop(
    "A recurring message leaves at the times of its recurrence. Choose “Once confirmed” in its schedule, or remove "
    "the recurrence."
)


# A series that is on goes off because its recurrence was changed; sent in the transaction of the change.
# In: `recurrence`, as it becomes; `changed`: names of its fields.
went_off = Signal()
SLOTS = ("frequency", "at", "weekdays", "month_day", "cron", "time_zone", "until", "aggregation")


class Recurrence(models.Model):
    """How often a message is sent. It rests until somebody switches it on
    (deliveries/lifecycle/recurrence/executions.py)."""

    class Frequency(models.TextChoices):
        DAILY = "daily", _("Every day")
        WEEKLY = "weekly", _("On days of the week")
        MONTHLY = "monthly", _("On a day of the month")
        CRON = "cron", _("By a cron expression")

    class Aggregation(models.TextChoices):
        NONE = "none", _("None: each execution by itself")
        DAY = "day", _("By day")
        WEEK = "week", _("By week")
        MONTH = "month", _("By month")
        YEAR = "year", _("By year")

    message = models.OneToOneField(Message, models.CASCADE, related_name="recurrence")
    frequency = models.CharField(_("frequency"), max_length=8, choices=Frequency, default=Frequency.WEEKLY)
    at = models.TimeField(_("at"), default=time(9))
    weekdays = models.JSONField(_("days of the week"), default=list, blank=True)  # [1 (Monday) … 7]
    month_day = models.PositiveSmallIntegerField(_("day of the month"), default=1)  # schedules.LAST_DAY: the last
    cron = Line(_("cron expression"), max_length=128, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[validate_time_zone])
    until = models.DateTimeField(_("until"), null=True, blank=True)
    aggregation = models.CharField(_("aggregation"), max_length=8, choices=Aggregation, default=Aggregation.NONE)
    request_confirmation = models.BooleanField(_("request confirmation for each execution"), default=True)
    # On from here: the slot that comes next, and in whose name. No slot: the recurrence is off.
    next_at = models.DateTimeField(_("next execution"), null=True, db_index=True, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+")
    switched_off = False  # by the last save

    objects = Watched["Recurrence"].as_manager()

    class Meta:
        verbose_name = _("recurrence")
        verbose_name_plural = _("recurrences")

    def __str__(self) -> str:
        return str(self.get_frequency_display())

    def save(self, *args: Any, **kwargs: Any) -> None:
        """What was changed while it is on holds from the next slot on; a slot that has come already stays due.

        Where executions would start without being asked, a change of the slots switches the series off: whoever may
        start it looks at it and switches it on again. On and off are no fields of a form: the database's hold.
        """
        with transaction.atomic():
            changed = self._go_on() if self.pk else []
            super().save(*args, **kwargs)
            self.switched_off = bool(changed)
            if changed:
                went_off.send(type(self), recurrence=self, changed=changed)

    def _go_on(self) -> list[str]:
        """Take over whether it is on from its row, locked. Out: the changed fields for which it goes off."""
        held = Recurrence.objects.select_for_update().filter(pk=self.pk).first()
        if held is None:
            return []
        self.next_at, self.owner_id = held.next_at, held.owner_id
        if self.next_at is None:
            return []
        asked = ["request_confirmation"] if held.request_confirmation else []
        changed = [] if self.request_confirmation else asked + self.changed_slots(held)
        now = timezone.now()
        if changed:
            self.next_at = None
        elif self.next_at > now:
            self.next_at = next(iter(self.upcoming(now, 1)), None)
        return changed

    def changed_slots(self, other: Recurrence) -> list[str]:
        """The names of the fields that say when it is executed and that differ from another's."""
        return [name for name in SLOTS if getattr(self, name) != getattr(other, name)]

    def clean(self) -> None:
        """It must make sense. That it is the only thing that says when the message leaves is looked at where both are
        known: in the message's form, in the API, and at the preparation."""
        try:
            calendar.check_cron(self.expression)
        except calendar.BadRecurrence as error:
            fields = {self.Frequency.WEEKLY: "weekdays", self.Frequency.MONTHLY: "month_day"}
            raise ValidationError(
                {fields.get(self.Frequency(self.frequency), "cron"): translated(error.args[0])}
            ) from error
        if self.request_confirmation and self.aggregation != self.Aggregation.NONE:
            words = _("Confirmation can be requested only without aggregation.")
            raise ValidationError({"request_confirmation": words})

    @property
    def expression(self) -> str:
        """The cron expression of its slots. Raises schedules.BadRecurrence."""
        if self.frequency == self.Frequency.DAILY:
            return calendar.daily(self.at)
        if self.frequency == self.Frequency.WEEKLY:
            return calendar.weekly(self.at, self.weekdays)
        if self.frequency == self.Frequency.MONTHLY:
            return calendar.monthly(self.at, self.month_day)
        return self.cron

    @property
    def zone(self) -> ZoneInfo:
        """The zone of its clock: its own, or the server's."""
        return calendar.named(self.time_zone) or ZoneInfo(timezone.get_default_timezone_name())

    def upcoming(self, after: datetime, number: int = 10) -> list[datetime]:
        """The next slots after an instant, none of them after `until`."""
        found = calendar.next_slots(self.expression, self.zone, after, number)
        return [slot for slot in found if self.until is None or slot <= self.until]

    def occurrences(self, after: datetime, number: int = 10) -> list[tuple[str, str]]:
        """The next slots for people: (when, by the clock of its zone; a note where summer time changed before it)."""
        found, before = [], None
        for slot in self.upcoming(after, number):
            local = slot.astimezone(self.zone)
            note = _("The clocks have changed.") if before not in (None, local.utcoffset()) else ""
            before = local.utcoffset()
            weekday, offset = WEEKDAYS_ABBR[local.weekday()], f"{local:%z}"
            found.append((f"{weekday} {local:%Y-%m-%d %H:%M} (GMT{offset[:3]}:{offset[3:5]})", str(note)))
        return found

    def period(self, slot: datetime) -> str:
        """The name of the period to which the slot's figures are added; empty without aggregation."""
        return calendar.period(slot, self.zone, self.aggregation)


class Schedule(models.Model):
    """When a message leaves and until when it may (concepts.md, When it leaves). No row: once confirmed, defaults."""

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
    # Waves: "10% 30%" or "1000 5000"; the last wave takes the rest.
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
        """True if each recipient has their own due time."""
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
            raise ValidationError({"waves": translated(error.args[0])}) from error
        if self.waves and self.is_spread:
            raise ValidationError({"waves": _("Waves cannot be combined with per-recipient send times.")})
        if self.mode == self.Mode.FORMULA:
            date_formula.clean(self.formula)
        if self.validity_end and self.contact_date and self.validity_end <= self.contact_date:
            raise ValidationError({"validity_end": _("The validity must end after the contact date.")})
