"""`manage.py simulator`: a mail server on loopback whose mail goes nowhere but onto a page."""

import argparse
import signal
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.dev.simulator.readers import Readers, reading
from config.dev.simulator.server import CannotServe, Config, Running, serve
from config.dev.simulator.verdicts import Personality


def _percent(text: str) -> float:
    share = float(text) / 100
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError("not between 0 and 100")
    return share


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError("not between 0 and 65535")
    return port


class Command(BaseCommand):
    help = "Take mail by SMTP, keep it, and show it on a local page; nothing is sent on."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--dir", type=Path, required=True, help="where the mail is kept")
        add("--smtp-port", type=_port, default=2525)
        add("--http-port", type=_port, default=8026)
        add("--host", default="127.0.0.1")
        add("--anywhere", action="store_true", help="allow a --host that is not loopback")
        add("--seed", type=int, default=7, help="decides which addresses are unknown or busy")
        add("--unknown", type=_percent, default="1.5", metavar="PERCENT")
        add("--busy", type=_percent, default="1", metavar="PERCENT")
        add("--readers", metavar="URL", help="let recipients open and click what leads to this address, and no other")
        add("--haste", type=float, default=1.0, help="how many times faster than usual the readers are")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, lambda number, frame: stop.set())
        readers = None
        if options["readers"]:
            record = options["dir"] / "readers.jsonl"
            readers = Readers(options["readers"], record, seed=options["seed"], haste=options["haste"])
        hooks = (readers,) if readers else ()
        config = Config(
            directory=options["dir"],
            smtp_port=options["smtp_port"],
            http_port=options["http_port"],
            host=options["host"],
            anywhere=options["anywhere"],
            personality=Personality(options["seed"], options["unknown"], options["busy"], hooks),
        )
        try:
            with reading(readers) if readers else nullcontext():
                serve(config, stop, self._say)
        except CannotServe as error:
            raise CommandError(str(error)) from None

    def _say(self, running: Running) -> None:
        self.stdout.write(
            f"SMTP on {running.host}:{running.smtp_port}, pages on {running.url}, "
            f"mail in {running.store.directory} ({len(running.store):,} so far)"
        )
        self.stdout.flush()
