"""`manage.py deliveries`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from deliveries.ledger.counters import counters_of
from deliveries.models import Delivery
from deliveries.models.states import ENDED


class Command(BaseCommand):
    help = "List deliveries, the newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--open", action="store_true", help="only those that have not ended")
        parser.add_argument("--last", type=int, default=20, metavar="N", help="how many (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        found = Delivery.objects.order_by("-pk")
        if options["open"]:
            found = found.exclude(state__in=ENDED)
        shown = list(found[: options["last"]])
        sums = counters_of(shown)
        rows = [("CODE", "STATE", "TO DELIVER", "DELIVERED", "ERRORS", "LABEL")]
        for delivery in shown:
            c = sums[delivery.pk]
            state = str(delivery.get_state_display())
            figures = (f"{delivery.to_deliver:,}", f"{c.sent:,}", f"{c.failed:,}")
            rows.append((delivery.code, state, *figures, delivery.label))
        for code, state, to_deliver, delivered, errors, label in rows:
            self.stdout.write(f"{code:<8} {state:<28} {to_deliver:>12} {delivered:>12} {errors:>9}  {label}")
