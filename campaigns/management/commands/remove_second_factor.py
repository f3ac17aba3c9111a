"""`manage.py remove_second_factor USER`: for a lost phone without recovery codes."""

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser

from campaigns.accounts import second_factor


class Command(BaseCommand):
    """Whoever may run this has the machine; it stands in the audit."""

    help = "Take a person's second factor away; make sure that it is that person who asks."

    def add_arguments(self, parser: CommandParser) -> None:
        """Whose."""
        parser.add_argument("user")

    def handle(self, *args: Any, **options: Any) -> None:
        """Say whether there was one."""
        user = get_user_model().objects.filter(username=options["user"]).first()
        if user is None or not second_factor.remove(user):
            raise CommandError(f"{options['user']} has no second factor.")
        self.stdout.write(f"{options['user']} logs in by password alone now.")
