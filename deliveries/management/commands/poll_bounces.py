"""`manage.py poll_bounces`: fetches bounces from the IMAP mailbox that the settings name."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from deliveries.feedback.imap import MailboxUnusable, poll
from deliveries.workers.periodic_jobs import mailbox


class Command(BaseCommand):
    help = "Fetches unseen bounces from the mailbox BOUNCE_IMAP_URL and applies them."

    def handle(self, *args: Any, **options: Any) -> None:
        """One round; says how many mails were taken."""
        configured = mailbox()
        if configured is None:
            raise CommandError("BOUNCE_IMAP_URL is not set; write it like imaps://user@imap.example.com/INBOX.")
        try:
            number = poll(configured)
        except MailboxUnusable as error:
            raise CommandError(f"The mailbox cannot be read: {error}") from error
        self.stdout.write(f"{number} mails taken.")
