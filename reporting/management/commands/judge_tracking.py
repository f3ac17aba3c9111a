"""`manage.py judge_tracking`: after a change of the rules, tell machines from people again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from reporting.jobs import reclassify
from reporting.tracking import bot_detection


class Command(BaseCommand):
    help = "Judge tracking logs by the present rules about machines, and refresh the figures that follow."

    def add_arguments(self, parser: CommandParser) -> None:
        """The options."""
        parser.add_argument("--delivery", type=int, metavar="NUMBER", help="only this delivery (DM42: 42)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Say how many changed."""
        changed = reclassify.judge_again(options["delivery"])
        self.stdout.write(f"Rules version {bot_detection.VERSION}: {changed} tracking logs judged anew.")
