"""`manage.py verify_evidence FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from deliveries.lifecycle import evidence_check


class Command(BaseCommand):
    """Exit status 1 when something is wrong."""

    help = "Check an evidence pack: files, seal, signatures, chain, the content's fingerprint, and this audit."

    def add_arguments(self, parser: CommandParser) -> None:
        """The file."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--alone", action="store_true", help="do not compare with this database's audit")

    def handle(self, *args: Any, **options: Any) -> None:
        """Say what it is, or what is wrong."""
        try:
            with options["file"].open("rb") as file:
                manifest, wrong = evidence_check.verify(file, here=not options["alone"])
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}.") from None
        for words in wrong:
            self.stderr.write(self.style.ERROR(f"{words}."))
        if wrong:
            raise CommandError("This pack proves nothing.")
        self.stdout.write(
            f"Genuine and whole: {manifest['delivery']}, packed by {manifest['made_by']} at {manifest['made_at']}."
        )
