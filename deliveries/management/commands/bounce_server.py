"""`manage.py bounce_server`: listens for bounces, speaking SMTP and LMTP."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from threading import Event
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from deliveries.feedback.smtp_server import Handler, serve


class Command(BaseCommand):
    help = "Listens for bounces and reports (SMTP and LMTP at one port) until it is told to stop."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8024, help="0: any free one")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until SIGTERM or SIGINT; what was kept by then is applied."""
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            serve(Handler(settings.BOUNCE_ADDRESSES), options["host"], options["port"], stop, self._ready)
        except OSError as error:
            raise CommandError(f"cannot listen at {options['host']}:{options['port']}: {error.strerror}") from error

    def _ready(self, address: tuple[str, int]) -> None:
        self.stdout.write(f"Bounce server at {address[0]}:{address[1]} (SMTP and LMTP)")
        self.stdout.flush()
