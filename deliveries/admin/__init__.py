"""Registers the admin pages, which are split by subject."""

from . import all_logs, deliveries, feedback, no_task_pages, quarantine, routings, webhooks

__all__ = ["all_logs", "deliveries", "feedback", "no_task_pages", "quarantine", "routings", "webhooks"]
