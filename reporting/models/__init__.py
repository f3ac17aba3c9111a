"""The tables of this app, each in the module of its subject."""

from __future__ import annotations

from .alerts import Alert, AlertCriterion, AlertDashboard, AlertOccurrence
from .exports import Export
from .tracking import CLICKING, OPENING, Figures, TrackedUrl, TrackingBuffer, TrackingLog, TrackingType

__all__ = [
    "CLICKING",
    "OPENING",
    "Alert",
    "AlertCriterion",
    "AlertDashboard",
    "AlertOccurrence",
    "Export",
    "Figures",
    "TrackedUrl",
    "TrackingBuffer",
    "TrackingLog",
    "TrackingType",
]
