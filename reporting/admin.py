"""Registers the admin pages, which are split by subject."""

from . import admin_alerts, admin_whole_logs

__all__ = ["admin_alerts", "admin_whole_logs"]
