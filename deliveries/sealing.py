"""What is sealed: reads the parts of a message that the fingerprint covers, as they stand now."""

from __future__ import annotations

from campaigns import tracking_options, typologies
from campaigns.fingerprint import Seal, changed_parts, seal
from campaigns.models import Message, Schedule

from .models import Delivery

_SCHEDULE = ("mode", "request_confirmation", "waves", "wave_interval", "wave_limit")
_DATED = ("contact_date", "time_zone", "formula")
_RECURRENCE = (
    "frequency", "at", "weekdays", "month_day", "cron", "time_zone", "until", "aggregation", "request_confirmation",
)  # fmt: skip
_VALIDITY = ("delivery_duration", "validity_end")
# What is read of a delivery's message, for select_related; and for prefetch_related.
READ = tuple(
    f"message__{name}"
    for name in (
        "campaign__unit", "brand", "audience", "schedule", "recurrence", "tracking", "typology", "control_group",
    )
)  # fmt: skip
READ_LISTS = ("message__traps",)


def sealed_parts(message: Message) -> dict[str, object]:
    """{part, in words for people: its value now}. The audience is sealed by its definition, not by its people."""
    audience, brand, schedule = message.audience, message.brand, getattr(message, "schedule", None)
    recurrence = getattr(message, "recurrence", None)
    return {
        "subject": message.subject,
        "HTML": message.html,
        "text": message.text,
        "sender": [*message.sender, message.reply_to or brand.reply_to],
        "brand": [brand.pk, brand.sender_domains, brand.website],
        "audience": audience and [audience.pk, audience.kind, audience.conditions],
        "campaign": message.campaign_id,
        # Whose profiles an audience finds; the path, since a unit that moves in the tree is in reach of others.
        "organisational unit": message.campaign.unit.path,
        "schedule": [_schedule(schedule), recurrence and [str(getattr(recurrence, name)) for name in _RECURRENCE]],
        "validity": [str(getattr(schedule, name)) for name in _VALIDITY] if schedule else None,
        "tracking": tracking_options.sealed(message),
        "traps": sorted([trap.pk, trap.email] for trap in message.traps.all()),
        **typologies.sealed(message),
    }


def _schedule(schedule: Schedule | None) -> list[str] | None:
    """No schedule row and an immediate one that asks for confirmation say the same."""
    if schedule is None or not (schedule.is_dated or schedule.waves or not schedule.request_confirmation):
        return None
    return [str(getattr(schedule, name)) for name in _SCHEDULE + (_DATED if schedule.is_dated else ())]


def current_seal(message: Message) -> Seal:
    """The fingerprint of the message as it stands now; the rows of READ are read if they are not loaded."""
    return seal(sealed_parts(message))


def changed_since_prepared(delivery: Delivery) -> list[str]:
    """The sealed parts that differ from what was prepared, in words for people; empty when Confirm may be offered."""
    return changed_parts(delivery.fingerprint, current_seal(delivery.message))
