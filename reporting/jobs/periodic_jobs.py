"""What this app does by the clock, as django-q2 schedules: made after every migration if they are missing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

DAILY = {  # name: (task, hour of the day)
    "Check counters against logs": ("check_drift", 3),
    "Delete what is over its time": ("purge", 4),
}
HOURLY = {"Refresh open and click rates": "refresh_figures"}
EVERY_TEN_MINUTES = {"Mail what the alert dashboards ask for": "alert"}


def ensure(**kwargs: Any) -> None:
    """Create the schedules that are missing; those that an administrator has changed stay as they are."""
    from django_q.models import Schedule

    now = timezone.localtime()
    minutes = settings.FIGURES_MINUTES
    for name, task in HOURLY.items():
        if minutes == 60:
            _ensure(name, task, Schedule.HOURLY, now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1))
        else:
            _ensure(name, task, Schedule.MINUTES, now + timedelta(minutes=minutes), minutes=minutes)
    for name, task in EVERY_TEN_MINUTES.items():
        _ensure(name, task, Schedule.MINUTES, now + timedelta(minutes=10), minutes=10)
    for name, (task, hour) in DAILY.items():
        first = now.replace(hour=hour, minute=0, second=0, microsecond=0)
        _ensure(name, task, Schedule.DAILY, first if first > now else first + timedelta(days=1))


def _ensure(name: str, task: str, kind: str, first: datetime, **more: Any) -> None:
    from django_q.models import Schedule

    values = {"name": name, "schedule_type": kind, "next_run": first, "repeats": -1, **more}
    Schedule.objects.get_or_create(func=f"reporting.jobs.tasks.{task}", defaults=values)
