"""`manage.py qcluster`, in the place of django-q2's command of that name; what the watchdog runs."""

from typing import Any

from django.core.management.base import BaseCommand

from deliveries.workers import cluster


class Command(BaseCommand):
    help = "Run the background workers; `guard` does, and watches over them."

    def handle(self, *args: Any, **options: Any) -> None:
        """Until SIGTERM."""
        cluster.run()
