"""`manage.py bounce_pipe`: takes one mail from standard input, as Postfix's pipe(8) hands it over."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError

from deliveries.feedback import raw_mail
from deliveries.mail.bounces.parser import LIMIT
from deliveries.models.feedback import FeedbackEvent


class Command(BaseCommand):
    help = "Takes one bounce from standard input. Ends with 75 (EX_TEMPFAIL) if it cannot be kept now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--recipient", default="", help="envelope recipient, ${recipient} in master.cf")

    def handle(self, *args: Any, **options: Any) -> None:
        """Keep the mail, then apply what waits. Once it is kept nothing can go wrong that Postfix should know of."""
        raw = sys.stdin.buffer.read(LIMIT)
        try:
            raw_mail.keep(raw, FeedbackEvent.Source.PIPE, options["recipient"])
        except DatabaseError as error:
            self.stderr.write(f"4.3.0 the mail cannot be kept now: {error}")
            sys.exit(os.EX_TEMPFAIL)
        try:
            raw_mail.drain(raw_mail.BATCH)
        except DatabaseError as error:
            self.stderr.write(f"the mail is kept and will be applied later: {error}")
