"""`manage.py seed_demo`: what `manage.py up` shows on a fresh data directory. Running it again keeps the data."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from config.dev.demo import deliveries as deliveries_demo
from config.dev.demo import reading as reporting_demo
from deliveries.models import Delivery
from deliveries.models.states import State


class Command(BaseCommand):
    help = "Make the demo (accounts, readers, two deliveries) unless it is there; tell its passwords. Needs DEMO=1."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic():
                made = deliveries_demo.seed()
                if made:
                    reporting_demo.read(made.finished)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        self.stdout.write("Log in as        with password")
        for account in deliveries_demo.ACCOUNTS:
            self.stdout.write(f"  {account.name:<14} {account.password:<14} {account.may}")
        self.stdout.write(_first_clicks())


def _first_clicks() -> str:
    """Where to go first, as long as something waits to be confirmed."""
    waiting = Delivery.objects.filter(state=State.READY, message__brand__label=deliveries_demo.BRAND).first()
    if waiting is None:
        return f"Deliveries: {settings.PUBLIC_URL}/admin/deliveries/delivery/"
    return (
        "Three clicks, logged in as anna:\n"
        f"  1. open {waiting}: {settings.PUBLIC_URL}{waiting.get_absolute_url()}\n"
        "  2. Confirm send\n"
        "  3. OK, and watch the Deployment block until every message has left"
    )
