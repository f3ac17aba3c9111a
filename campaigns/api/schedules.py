"""The API over when a message leaves: its schedule and its recurrence, inside the message."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from campaigns.models import Message, Schedule
from campaigns.models.schedule import TWO_TIMES, Recurrence
from campaigns.targeting.known_fields import clean_formula

from .base import InUtc, answered_by_field


class _Cleaned(InUtc, serializers.ModelSerializer[Any]):
    """Checked by the model's own rules; a nested object replaces the former one as a whole."""

    model: ClassVar[type[Schedule] | type[Recurrence]]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What the admin's form would say."""
        with answered_by_field():
            self.model(**attrs).clean()
            if attrs.get("mode") == Schedule.Mode.FORMULA:
                clean_formula(attrs.get("formula", ""))
        return attrs


class ScheduleSerializer(_Cleaned):
    """When it leaves and until when it may. Times are instants; `time_zone` is that in which people mean them."""

    model = Schedule

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


class RecurrenceSerializer(_Cleaned):
    """How often it is sent, once the series is on; `next_at` is null while it is off.

    While it is on, turning `request_confirmation` off switches it off, and so does another time or period where no
    confirmation is requested: whoever may start it looks at it and switches it on again.
    """

    weekdays = serializers.ListField(child=serializers.IntegerField(min_value=1, max_value=7), required=False)

    model = Recurrence

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
            "next_at",
        ]
        read_only_fields = ["next_at"]


def refuse_two_times(message: Message | None, given: dict[str, Any]) -> None:
    """Raises ValidationError if the message, once it has what is `given`, had both a contact date and a recurrence."""
    schedule, recurrence = (
        given[name] if name in given else getattr(message, name, None) for name in ("schedule", "recurrence")
    )
    mode = schedule.mode if isinstance(schedule, Schedule) else (schedule or {}).get("mode", Schedule.Mode.IMMEDIATE)
    if recurrence and mode != Schedule.Mode.IMMEDIATE:
        raise serializers.ValidationError({"recurrence": [TWO_TIMES]})


def save_nested(message: Message, model: Any, values: dict[str, Any] | None) -> None:
    """Give the message the row of `model` (Schedule, Recurrence, ControlGroup, TrackingOptions) with these values, or
    none."""
    found = model.objects.filter(message=message).first()
    if values is None:
        if found is not None:
            found.delete()
        return
    model(pk=found.pk if found else None, message=message, **values).save()
