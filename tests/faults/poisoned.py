"""`guard` and `qcluster` of a product with one poison recipient: whichever worker builds that message dies."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import django

POISON = "user7@example.net"


def _swallow() -> None:
    from deliveries.sending.compose import Composer

    letter = Composer.compose

    def deadly(self: Any, row: Any) -> Any:
        if row.address == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        return letter(self, row)

    Composer.compose = deadly  # type: ignore[method-assign]


def main() -> None:
    django.setup()
    if sys.argv[1] == "qcluster":
        from django.core.management import call_command

        _swallow()
        call_command("qcluster")
        return
    from deliveries.workers.watchdog import cluster_watchdog

    watchdog = cluster_watchdog([sys.executable, "-m", "tests.faults.poisoned", "qcluster"])
    signal.signal(signal.SIGTERM, watchdog.stop)
    watchdog.run()


if __name__ == "__main__":
    main()
