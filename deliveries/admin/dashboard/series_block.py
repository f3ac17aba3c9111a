"""The dashboard of a series, the parent of a recurrence's executions: when the next come, and their figures summed.

A view model like deployment_block.py, whose block it fills. A series itself is never sent.
"""

from __future__ import annotations

from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.core import formats
from campaigns.core.translate_kept import translated
from campaigns.messages import typologies
from campaigns.scheduling.calendar import BadRecurrence
from campaigns.targeting import audiences
from deliveries.ledger.kpis import Counters
from deliveries.models import Delivery
from deliveries.preparation import sealing

from .deployment_block import Deployment, kpi_tiles

UPCOMING = 10
SHOWN = 3  # of them, to whoever switches it on


def series_block(series: Delivery, counters: Counters) -> Deployment:
    """The Deployment block of a series."""
    recurrence = series.message.recurrence
    on = recurrence.next_at is not None
    if on:
        line = _("The next execution: %s.") % formats.moment(recurrence.next_at, recurrence.time_zone)
    else:
        line = _("No executions are made until somebody switches the series on.")
    return Deployment(
        tone="blue" if on else "grey",
        icon="clock" if on else "pause",
        headline=_("The series is on") if on else _("The series is off"),
        line=line,
        percent=None,
        bar_label="",
        tiles=kpi_tiles(series, counters),
        balances=(),
        facts=_upcoming(series),
        live=False,
        samples=(),
    )


def form_facts(series: Delivery) -> tuple[tuple[str, str], ...]:
    """What the executions of a series are made of as its message stands now, for whoever puts their name to it."""
    message, routing = series.message, sealing.routing_of(series)
    audience, group, typology = message.audience, typologies.control_group(message), typologies.of(message)
    name, address = message.sender
    lines = [
        (_("From"), f"{name} <{address}>"),
        (_("Subject"), message.subject),
        (_("Audience"), f"{audience.label}: {audiences.describe(audience)}" if audience else ""),
        (_("Control group"), typologies.describe_group(group) if group else ""),
        (_("Traps"), ", ".join(trap.label for trap in message.traps.all())),
        (_("Typology"), str(typology) if typology else ""),
        (_("Routing"), f"{routing.label} ({routing.host})" if routing else ""),
        (_("Frequency"), message.recurrence.get_frequency_display()),
        *_upcoming(series)[:SHOWN],
    ]
    return tuple((label, str(value)) for label, value in lines if value)


def _upcoming(series: Delivery) -> tuple[tuple[str, str], ...]:
    recurrence = series.message.recurrence
    try:
        slots = recurrence.upcoming(timezone.now(), UPCOMING)
    except BadRecurrence as error:
        return ((_("Recurrence"), translated(error.args[0])),)
    label = _("Then") if recurrence.next_at else _("Would come")
    skipped = 1 if recurrence.next_at else 0
    return tuple((label, formats.moment(slot, recurrence.time_zone)) for slot in slots[skipped:])
