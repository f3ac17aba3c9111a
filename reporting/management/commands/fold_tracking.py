"""`manage.py fold_tracking`: move buffered tracking events of this host into the database."""

from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, close_old_connections

from reporting.tracking import ingest

logger = logging.getLogger("reporting.tracking.ingest")


class Command(BaseCommand):
    help = "Move buffered opens and clicks of this host into tracking logs. Run it on every host that serves pages."

    def add_arguments(self, parser: CommandParser) -> None:
        """The options."""
        parser.add_argument("--loop", action="store_true", help="go on until asked to stop")
        parser.add_argument("--every", type=float, default=2.0, help="seconds between two looks (default: 2)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Once, or for ever; SIGTERM ends it between two transactions."""
        if not options["loop"]:
            self.stdout.write(f"{ingest.fold(settings.TRACKING_DIR)} events moved.")
            return
        asked = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: asked.set())
        while not asked.is_set():
            close_old_connections()
            try:
                ingest.fold(settings.TRACKING_DIR)
            except (DatabaseError, OSError) as error:  # it is all still in the files: try again
                logger.error("folding tracking events failed: %s", error)
            asked.wait(options["every"])
