"""Which exclusion logs a list shows: those of all causes, or of the one cause or rule that its reader chose."""

from __future__ import annotations

from django.db.models import Q

from deliveries.models import Delivery, ExclusionCause
from deliveries.models.states import Reason


def causes(delivery: Delivery) -> list[ExclusionCause]:
    """The causes that have exclusion logs; the control group has sending logs instead."""
    return list(delivery.exclusion_causes.filter(volume__gt=0).exclude(cause=Reason.CONTROL_GROUP))


def held_back(delivery: Delivery) -> int:
    """How many are in the control group, whose Ignored rows no counter counts."""
    volumes = delivery.exclusion_causes.filter(cause=Reason.CONTROL_GROUP).values_list("volume", flat=True)
    return sum(volumes)


def chosen(found: list[ExclusionCause], code: str) -> list[Q]:
    """Conditions on exclusion logs, one a cause so that each has its index: the cause that `code` names, else all."""
    one = next((cause for cause in found if cause.code == code), None)
    if one is not None:
        return [Q(cause=one.cause, rule=one.rule)]
    return [Q(cause=code) for code in sorted({cause.cause for cause in found})]
