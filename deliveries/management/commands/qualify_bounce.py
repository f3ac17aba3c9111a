"""`manage.py qualify_bounce FILE…`: what the product would make of these bounces. Changes nothing."""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from deliveries.mail.bounces.parser import Report, parse


class Command(BaseCommand):
    """One JSON line per message and recipient; exit status 1 if a file could not be read."""

    help = (
        "Reads bounce mails (RFC 5322 or mbox files; - for standard input) and prints one JSON line per "
        "message and recipient: file, recipient, kind, type, reason, detail, status, code, rule, text."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        failed = False
        for name in options["files"]:
            try:
                lines = list(_lines(name, _read(name)))
            except OSError as error:
                self.stderr.write(f"{name}: {error.strerror or error}")
                failed = True
                continue
            self.stdout.write("\n".join(lines))
        if failed:
            sys.exit(1)


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _lines(name: str, raw: bytes) -> Iterator[str]:
    for report in parse(raw):
        yield json.dumps({"file": name, **_fields(report)})


def _fields(report: Report) -> dict[str, str]:
    names = ("recipient", "kind", "type", "reason", "detail", "status", "code", "action", "feedback", "rule", "text")
    return {name: getattr(report, name) for name in names}
