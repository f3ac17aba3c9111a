"""What the audit hears of here: who is alerted of what (campaigns/models/audit/sides.py)."""

from __future__ import annotations

from campaigns.accounts.audit_signals import declare_and_hear
from campaigns.models.audit.sides import Side, Told

SIDES: dict[str, Side] = {
    "reporting.AlertDashboard": Told("alert_dashboard"),
    "reporting.AlertCriterion": Told("alert_criterion"),
    "reporting.Alert": "mails that were sent",
    "reporting.AlertOccurrence": "what a dashboard has told already",
    "reporting.TrackingLog": "what recipients did",
    "reporting.TrackedUrl": "a delivery's links; delivery.url_named tells of the names that people give them",
    "reporting.TrackingBuffer": "how far a file of events is read",
    "reporting.Figures": "figures worked out from logs",
    "reporting.Export": "how far a file is; delivery.export_started and delivery.exported tell",
}


def watch_alerts() -> None:
    """Alert dashboards and their criteria."""
    declare_and_hear(SIDES)
