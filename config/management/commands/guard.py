"""`manage.py guard`: the workers of this host, watched over; what a service manager or `manage.py up` starts."""

import signal
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from deliveries.workers.watchdog import cluster_watchdog


class Command(BaseCommand):
    help = "Run the background workers (qcluster) and restart them when their tasks stop running. SIGTERM ends both."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGTERM or SIGINT."""
        watchdog = cluster_watchdog([sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster"])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, watchdog.stop)
        watchdog.run()
