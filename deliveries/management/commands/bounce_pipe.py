"""`manage.py bounce_pipe`: takes one mail from standard input, as Postfix's pipe(8) hands it over."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError

from deliveries import mailroom
from deliveries.bounces import LIMIT
from deliveries.feedback_models import FeedbackEvent


class Command(BaseCommand):
    help = "Takes one bounce from standard input. Ends with 75 (EX_TEMPFAIL) if it cannot be kept now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--recipient", default="", help="envelope recipient, ${recipient} in master.cf")

    def handle(self, *args: Any, **options: Any) -> None:
        """Keep the mail, then apply what waits. Once it is kept nothing can go wrong that Postfix should know of."""
        raw = sys.stdin.buffer.read(LIMIT)
        try:
            mailroom.keep(raw, FeedbackEvent.Source.PIPE, options["recipient"])
        except DatabaseError as error:
            self.stderr.write(f"4.3.0 the mail cannot be kept now: {error}")
            sys.exit(os.EX_TEMPFAIL)
        try:
            mailroom.drain(mailroom.BATCH)
        except DatabaseError as error:
            self.stderr.write(f"the mail is kept and will be applied later: {error}")
