"""What a preparation freezes: the content that recipients get, whatever becomes of the message afterwards."""

from __future__ import annotations

from collections.abc import Iterable

from campaigns.messages import tracking_options
from campaigns.models import Message
from campaigns.models.people.profile import PERSONAL_FIELDS

from . import traps


def snapshot(message: Message, attribute_names: Iterable[str]) -> dict[str, object]:
    """The message's content as Delivery.content keeps it.

    Out: subject, html, text, sender_name, sender_address, reply_to, brand, website: texts; tracking: see there; traps:
    the test profiles that get it, too (traps.py); wave_limit: the schedule's; fields: the names that the
    content may quote, which are columns of Profile and `attributes.<name>`.
    """
    brand, schedule = message.brand, getattr(message, "schedule", None)
    sender_name, sender_address = message.sender
    return {
        "subject": message.subject,
        "html": message.html,
        "text": message.text,
        "sender_name": sender_name,
        "sender_address": sender_address,
        "reply_to": message.reply_to or brand.reply_to,
        "brand": brand.label,
        "website": brand.website,
        "tracking": tracking_options.frozen(message),
        "wave_limit": schedule.wave_limit if schedule else 0,
        "traps": traps.frozen(message),
        "fields": [*PERSONAL_FIELDS, *(f"attributes.{name}" for name in attribute_names)],
    }
