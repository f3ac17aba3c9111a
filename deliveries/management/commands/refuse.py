"""`manage.py refuse DM12 --as USER [--comment TEXT]`."""

from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from deliveries.lifecycle import approving
from deliveries.management.delivery_command import ActCommand


class Command(ActCommand):
    help = "Refuse a delivery as it is prepared now: an approval of it is void. Needs the role Start deliveries."
    done = "Refused by {user}: {delivery}."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--comment", default="", help="what others are to know")

    def handle(self, *args: Any, **options: Any) -> None:
        self.act = partial(approving.refuse, comment=options["comment"])  # type: ignore[assignment]
        super().handle(*args, **options)
