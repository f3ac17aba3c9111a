"""`manage.py watch DM12`."""

from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from deliveries.management.delivery_command import code, find
from deliveries.management.terminal import watch


class Command(BaseCommand):
    help = "Show a delivery's state and figures until it has ended or nothing moves; Ctrl-C only stops watching."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("delivery", type=code, help="the delivery's code, like DM12")

    def handle(self, *args: Any, **options: Any) -> None:
        with suppress(KeyboardInterrupt):
            watch(find(options["delivery"]), self.stdout)
