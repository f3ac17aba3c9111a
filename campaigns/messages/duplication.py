"""A copy of a message, to send it again or something like it: a confirmed message itself never changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from campaigns.accounts import permissions
from campaigns.core.actors import Person
from campaigns.models import ControlGroup, Message
from campaigns.models.tracking import TrackingOptions

_COPIED = (
    "description",
    "campaign",
    "brand",
    "audience",
    "subject",
    "sender_name",
    "sender_address",
    "reply_to",
    "html",
    "text",
    "typology",
)
_GROUP = ("extraction", "sort_field", "descending", "percent", "size", "conditions")
_TRACKING = ("active", "pixel_at_top", "days", "fallback_url")
_LONGEST = Message._meta.get_field("label").max_length or 128


def duplicate(message: Message, by: Person) -> Message:
    """Save a copy called “Copy of …”, unconfirmed and without any schedule. Raises PermissionDenied."""
    permissions.require_prepare(by, message.campaign)
    label = (_("Copy of %s") % message.label)[:_LONGEST]
    with transaction.atomic():
        copy = Message.objects.create(label=label, created_by=by, **_values(message, _COPIED))
        copy.traps.set(message.traps.all())
        group: ControlGroup | None = getattr(message, "control_group", None)
        if group is not None:
            ControlGroup.objects.create(message=copy, **_values(group, _GROUP))
        tracking: TrackingOptions | None = getattr(message, "tracking", None)
        if tracking is not None:
            TrackingOptions.objects.create(message=copy, **_values(tracking, _TRACKING))
    return copy


def _values(of: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(of, name) for name in names}
