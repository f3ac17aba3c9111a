"""`manage.py partition_logs [--deliveries N]`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from deliveries.models.storage import partitions


class Command(BaseCommand):
    help = (
        "Split sending and tracking logs into partitions of so many deliveries (PostgreSQL), or make the next ones. "
        "Run again it changes nothing that is there."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--deliveries",
            type=int,
            metavar="N",
            help=f"deliveries in each new partition; else as many as in the last one, at first {partitions.DELIVERIES}",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        width = options["deliveries"]
        if width is not None and not 1 <= width <= 1_000_000:
            raise CommandError("--deliveries must lie between 1 and 1000000.")
        try:
            new = partitions.split(width)
        except partitions.Unpartitionable as error:
            raise CommandError(str(error)) from error
        except OperationalError as error:
            raise CommandError(f"Others use the logs; try again, or stop pages and workers: {error}") from error
        for name in new:
            self.stdout.write(f"made {name}")
        self.stdout.write(f"The logs are in {len(partitions.ranges())} partitions.")
