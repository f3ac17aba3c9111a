"""Schedule and recurrence inside the message form: a date is a wall clock in their own zone, not in the server's."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib.admin.widgets import AdminSplitDateTime
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from campaigns.models import Schedule
from campaigns.models.schedule import TWO_TIMES, Recurrence
from campaigns.scheduling.calendar import LAST_DAY, change_of_clock, instant, named, wall_clock
from campaigns.targeting.known_fields import clean_formula


class LabelledSplitDateTime(AdminSplitDateTime):
    """The admin's two inputs, each with a name of its own for who cannot see where they stand."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        for part, label in zip(self.widgets, (_("Date"), _("Time")), strict=True):
            part.attrs["aria-label"] = label


class WallClockField(forms.SplitDateTimeField):
    """Date and time without a zone, as people read them off a clock."""

    widget = LabelledSplitDateTime

    def compress(self, data_list: Any) -> datetime | None:
        """The two parts as one naive datetime; None if both are empty."""
        if not data_list or (data_list[0] in self.empty_values and data_list[1] in self.empty_values):
            return None
        day, clock = data_list
        if day in self.empty_values:
            raise ValidationError(self.error_messages["invalid_date"], code="invalid_date")
        if clock in self.empty_values:
            raise ValidationError(self.error_messages["invalid_time"], code="invalid_time")
        return datetime.combine(day, clock)


class ZonedForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form whose `clocks` are read and shown in the zone that its field `time_zone` names."""

    clocks: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.notes: list[str] = []  # once cleaned: what becomes of clocks that summer time changes
        zone = self._zone(self.instance.time_zone)
        for name in self.clocks:
            held = getattr(self.instance, name)
            if held:
                self.initial[name] = wall_clock(held, zone)

    def clean(self) -> dict[str, Any]:
        """Turn the clocks into instants."""
        values = super().clean() or self.cleaned_data
        zone = self._zone(values.get("time_zone", ""))
        for name in self.clocks:
            if values.get(name):
                self._note(values[name], zone)
                values[name] = instant(values[name], zone)
        return values

    def _note(self, clock: datetime, zone: ZoneInfo) -> None:
        """Tell what becomes of a clock that summer time skips, or lets come twice."""
        words = {
            "skipped": _("%(clock)s does not exist in %(zone)s, since the clocks go forward: it stands for %(meant)s."),
            "twice": _("%(clock)s comes twice in %(zone)s, since the clocks go back: the first one counts."),
        }.get(change_of_clock(clock, zone))
        if words:
            meant = f"{wall_clock(instant(clock, zone), zone):%Y-%m-%d %H:%M}"
            self.notes.append(words % {"clock": f"{clock:%Y-%m-%d %H:%M}", "zone": zone.key, "meant": meant})

    @staticmethod
    def _zone(name: str) -> ZoneInfo:
        return named(name) or ZoneInfo(timezone.get_default_timezone_name())  # a wrong name is told at its own field


class ScheduleForm(ZonedForm):
    """When the messages leave and until when they may."""

    clocks = ("contact_date", "validity_end")
    contact_date = WallClockField(label=_("Contact date"), required=False, help_text=_("In the time zone below."))
    validity_end = WallClockField(
        label=_("Explicit end of validity"),
        required=False,
        help_text=_("In the time zone below. Empty: contact date plus the duration. 3.5 days are used at most."),
    )

    class Meta:
        model = Schedule
        fields = [
            "mode",
            "contact_date",
            "time_zone",
            "formula",
            "request_confirmation",
            "waves",
            "wave_interval",
            "wave_limit",
            "delivery_duration",
            "validity_end",
        ]
        widgets = {"formula": forms.TextInput(attrs={"class": "vLargeTextField code", "spellcheck": "false"})}
        help_texts = {
            "time_zone": _("Like Europe/Paris. Empty: the server's."),
            "waves": _(
                "Shares or numbers, such as 10% 30% or 1000 5000; the last wave takes the rest. Empty: no waves."
            ),
            "wave_interval": _("Hours:minutes:seconds."),
            "wave_limit": _("Of what was tried so far; 0: they never wait for it."),
            "formula": _(
                "Each recipient's own date in Liquid, like {{ renewal_date | add_days: -14 }} or "
                "{{ contact_date | add_hours: points }}. Without a time it is the contact date's clock on that day; "
                "whoever has no readable date gets the message at the contact date."
            ),
            "delivery_duration": _("Days and hours:minutes:seconds, such as 2 12:00:00; 3.5 days are used at most."),
        }

    def clean(self) -> dict[str, Any]:
        """The formula's names must be fields that profiles have."""
        values = super().clean()
        if values.get("mode") == Schedule.Mode.FORMULA:
            clean_formula(values.get("formula", ""))
        return values


class RecurrenceForm(ZonedForm):
    """How often the message is sent. Nothing happens until the series is switched on at its dashboard."""

    clocks = ("until",)
    weekdays = forms.TypedMultipleChoiceField(
        label=_("Days of the week"),
        coerce=int,
        required=False,
        choices=[(number, WEEKDAYS[number - 1]) for number in range(1, 8)],
        widget=forms.CheckboxSelectMultiple,
    )
    month_day = forms.TypedChoiceField(
        label=_("Day of the month"),
        coerce=int,
        choices=[*((day, str(day)) for day in range(1, 32)), (LAST_DAY, _("the last"))],
    )
    until = WallClockField(label=_("Until"), required=False, help_text=_("In the time zone above. Empty: without end."))

    class Meta:
        model = Recurrence
        fields = [
            "frequency",
            "at",
            "weekdays",
            "month_day",
            "cron",
            "time_zone",
            "until",
            "aggregation",
            "request_confirmation",
        ]
        help_texts = {
            "time_zone": _("Like Europe/Paris. Empty: the server's."),
            "cron": _("Minute, hour, day of the month, month, day of the week; for the frequency “cron” alone."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["month_day"] = str(self.instance.month_day)  # as choices are compared: else it looks changed

    def clean(self) -> dict[str, Any]:
        """Beside it, in the same form, the schedule must name no date of its own."""
        values = super().clean()
        usual = Schedule.Mode.IMMEDIATE
        if self.data.get("schedule-0-mode", usual) != usual and not self.data.get("schedule-0-DELETE"):
            raise ValidationError({"frequency": gettext(TWO_TIMES)})
        return values
