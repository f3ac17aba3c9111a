"""Registers the admin pages, which are split by subject."""

from . import (
    admin_dashboard,
    admin_feedback,
    admin_quarantine,
    admin_routing,
    admin_tasks,
    admin_webhooks,
    admin_whole_logs,
)

__all__ = [
    "admin_dashboard", "admin_feedback", "admin_quarantine", "admin_routing", "admin_tasks", "admin_webhooks",
    "admin_whole_logs",
]  # fmt: skip
