"""`manage.py sync_roles`: make the built-in groups and give each its permissions; and the default typology."""

from typing import Any

from django.core.management.base import BaseCommand

from campaigns.accounts.permissions import sync_roles
from campaigns.messages import typologies


class Command(BaseCommand):
    """Idempotent; run after every migration."""

    help = "Create the built-in groups with their permissions, and the default typology."

    def handle(self, **options: Any) -> None:
        """Print the groups that now stand."""
        self.stdout.write("Roles in place: " + ", ".join(sync_roles()))
        typologies.ensure_default()
