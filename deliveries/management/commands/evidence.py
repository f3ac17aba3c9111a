"""`manage.py evidence DM12 --as USER [--out FILE]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from deliveries.lifecycle import evidence
from deliveries.management.delivery_command import ActCommand, find, refusing


class Command(ActCommand):
    help = "Write a delivery's evidence pack: who sent what, with its proof. Needs the role Export, or Administration."

    def add_arguments(self, parser: CommandParser) -> None:
        """The delivery, who acts, and where to write."""
        super().add_arguments(parser)
        parser.add_argument("--out", type=Path, metavar="FILE", help="default: evidence_<code>_<date>.zip here")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the file, which must not be there yet. Raises Refused."""
        delivery = find(options["delivery"])
        path = options["out"] or Path(evidence.file_name(delivery))
        user = self.user(options["user"])
        with refusing(OSError):
            evidence.require(user, delivery)
            with path.open("xb") as file:
                evidence.pack(delivery, user, file)
        self.stdout.write(f"{path}: check it with `manage.py verify_evidence {path}`.")
