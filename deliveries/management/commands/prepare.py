"""`manage.py prepare DM12 --as USER [--wait]`."""

from typing import Any

from django.core.management.base import CommandParser

from deliveries.lifecycle import commands
from deliveries.management.delivery_command import ActCommand, Refused, find
from deliveries.management.terminal import watch
from deliveries.models import DeliveryEvent
from deliveries.models.states import State


class Command(ActCommand):
    help = "Prepare a delivery in the background: count its target, leave out whom it must, check the message."
    act = staticmethod(commands.prepare)
    done = "{user} started to prepare {delivery}."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--wait", action="store_true", help="watch until it is done; exit status 1 if it fails")

    def handle(self, *args: Any, **options: Any) -> None:
        delivery = find(options["delivery"])
        last = delivery.events.order_by("pk").last()
        self.perform(delivery, options["user"])
        if options["wait"] and watch(delivery, self.stdout).state != State.READY:
            lines = delivery.events.filter(pk__gt=last.pk if last else 0).order_by("pk")
            errors = lines.filter(severity=DeliveryEvent.Severity.ERROR).values_list("message", flat=True)
            raise Refused("\n".join(errors) or f"{delivery} is not ready.")
