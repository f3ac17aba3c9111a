"""Registers the admin pages, which are split by subject."""

from . import alerts, all_logs

__all__ = ["alerts", "all_logs"]
