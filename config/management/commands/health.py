"""`manage.py health`: what /healthz says, for a service manager on a host without pages."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deliveries.workers import health


class Command(BaseCommand):
    """Exit status 1 when a part fails."""

    help = "Say whether database, broker, workers and sweeper are well."

    def add_arguments(self, parser: CommandParser) -> None:
        """All parts, or some."""
        parser.add_argument("--parts", default="", help=f"some of {','.join(health.PARTS)}; default: all")

    def handle(self, *args: Any, **options: Any) -> None:
        """Name what fails."""
        asked = [name for name in options["parts"].split(",") if name]
        if unknown := [name for name in asked if name not in health.PARTS]:
            raise CommandError(f"There is no part {unknown[0]!r}; the parts are {', '.join(health.PARTS)}.")
        failing = [name for name, part in health.look(*asked).items() if not part.ok]
        if failing:
            raise CommandError(f"Not well: {', '.join(failing)}.")
        self.stdout.write("Well.")
