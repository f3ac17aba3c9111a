"""`manage.py series show|on|off|continue DM12 --as USER [--form WORD]`."""

from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from campaigns.content.fingerprint import word
from deliveries.admin.dashboard.series_block import form_facts
from deliveries.lifecycle.recurrence import executions
from deliveries.management.delivery_command import ActCommand, Refused, find
from deliveries.models import Delivery
from deliveries.preparation import sealing
from deliveries.preparation.unattended import series_seal

ACTS: dict[str, Any] = {"on": executions.start_series, "continue": executions.continue_series}


class Command(ActCommand):
    done = "Done by {user}: {delivery}. `manage.py series show {delivery.code} --as {user}` tells how it stands."
    help = (
        "Show the form of a series, switch it on or off, or let it go on in its form of now. What starts without being "
        "asked takes the role Start deliveries, and the form that was shown."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=["show", "on", "off", "continue"], help="what is to be done; show: nothing")
        super().add_arguments(parser)
        parser.add_argument(
            "--form", default="", metavar="WORD", help="the form that you looked at, as `show` gives it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        delivery, act = find(options["delivery"]), options["act"]
        if not delivery.is_series:
            raise Refused(f"{delivery} is no series.")
        if act == "show":
            self.show(delivery)
            return
        done = executions.stop_series if act == "off" else partial(ACTS[act], seen=options["form"])
        self.act = done
        self.perform(delivery, options["user"])

    def show(self, series: Delivery) -> None:
        """What its executions are made of now, and what differs from the form in which it was switched on."""
        for label, value in form_facts(series):
            self.stdout.write(f"{label}: {value}")
        if changed := series_seal.changed(series):
            self.stdout.write(changed)
        self.stdout.write(f"form: {word(sealing.form(series, series.message))}")
