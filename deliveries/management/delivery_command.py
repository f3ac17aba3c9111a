"""The acts on a delivery from a terminal: `manage.py confirm DM12 --as anna` and the like ask the same commands.

A refusal is one line on standard error and exit status 1.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser

from campaigns.core.actors import Person
from deliveries.ledger import errors
from deliveries.models import Delivery


class Refused(CommandError):
    """Printed as “Refused: …”."""


@contextmanager
def refusing(*also: type[Exception]) -> Iterator[None]:
    """Try an act: what it may not, or cannot do now, is one line; and so are the exceptions `also`. Raises Refused."""
    foreseen: tuple[type[Exception], ...] = (errors.Refused, PermissionDenied, *also)
    try:
        yield
    except foreseen as refusal:
        raise Refused(str(refusal)) from None


def code(text: str) -> int:
    """The id behind a code that people type: DM12, dm12 or 12."""
    found = re.fullmatch(r"(?:DM)?([0-9]{1,18})", text.strip(), re.IGNORECASE)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no delivery; write its code, like DM12")
    return int(found[1])


def find(delivery_id: int) -> Delivery:
    """The delivery. Raises Refused."""
    try:
        return Delivery.objects.select_related("message", "campaign", "routing").get(pk=delivery_id)
    except Delivery.DoesNotExist:
        raise Refused(f"There is no delivery DM{delivery_id}. `manage.py deliveries` lists them.") from None


class ActCommand(BaseCommand):
    """Base of the commands that act: subclasses give the act and what to say when it is done."""

    act: staticmethod[[Delivery, Any], None]
    done: ClassVar[str]

    def add_arguments(self, parser: CommandParser) -> None:
        """The delivery, and who acts."""
        parser.add_argument("delivery", type=code, help="the delivery's code, like DM12")
        parser.add_argument("--as", dest="user", required=True, metavar="USER", help="who acts; needs the role")

    def handle(self, *args: Any, **options: Any) -> None:
        """Act. Raises Refused."""
        self.perform(find(options["delivery"]), options["user"])

    def perform(self, delivery: Delivery, name: str) -> None:
        """Let the user called `name` act on `delivery`, and say so. Raises Refused."""
        with refusing():
            self.act(delivery, self.user(name))
        self.stdout.write(self.done.format(delivery=delivery, user=name))

    def user(self, name: str) -> Person:
        """Whom `--as` names. Raises Refused."""
        users = get_user_model()
        try:
            return users._default_manager.get_by_natural_key(name)
        except users.DoesNotExist:
            raise Refused(f"There is no user {name!r}.") from None
