"""Pauses and resumes a delivery again and again while real workers send it, then stops another; prints JSON.

    python -m tests.faults.kills.pausing --recipients 40000 --times 20 --database sqlite

The counting sink is the witness. `after`: what it noted after the dashboard said Stopped. Workers are torture's,
processes of their own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.sink import LOG, sink, tally

from .torture import _delivery, place, unbalanced
from .worker import work


def wait(condition: Callable[[], object], seconds: float = 240) -> None:
    """Until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


class Hands:
    """A user at the buttons, and the workers."""

    def __init__(self, directory: Path, workers: int) -> None:
        from django.contrib.auth.models import User

        self.by = User.objects.create_superuser("boss", "boss@example.com", "pass-word-9")
        self.log = directory / "sink" / LOG
        self.workers = workers
        self.forks = multiprocessing.get_context("forkserver")
        self.forks.set_forkserver_preload(["tests.faults.kills.loaded"])

    def taken(self) -> int:
        """Octets of the sink's notes."""
        return self.log.stat().st_size if self.log.exists() else 0

    def send(self, delivery: Any, act: Callable[[], None]) -> None:
        """Let workers send the delivery while `act` happens, until it has ended."""
        crew = [self.forks.Process(target=work, args=("pausing", "", 1)) for _ in range(self.workers)]
        for one in crew:
            one.start()
        try:
            act()
            for one in crew:
                one.join(240)
        finally:
            for one in crew:
                one.kill()
        delivery.refresh_from_db()

    def pause_and_resume(self, delivery: Any, times: int, each: int) -> dict[str, int]:
        """Out: how often it could be paused, and what left while it was paused and nothing was in flight."""
        from deliveries.lifecycle import commands

        found = Counter(paused=0, while_paused=0)
        for _ in range(times):
            goal = self.taken() + each
            wait(lambda goal=goal: self.taken() >= goal or self.ended(delivery))  # type: ignore[misc]
            if self.ended(delivery):
                break
            commands.pause(delivery, self.by)
            wait(lambda: not delivery.batches.filter(lease_until__isnull=False).exists())
            quiet = self.taken()
            time.sleep(0.3)
            found["while_paused"] += self.taken() - quiet
            found["paused"] += 1
            commands.resume(delivery, self.by)
        return dict(found)

    def ended(self, delivery: Any) -> bool:
        """Nothing will be sent any more."""
        from deliveries.models.states import ENDED

        delivery.refresh_from_db()
        return delivery.state in ENDED

    def stop(self, delivery: Any) -> int:
        """Stop it in the middle. Out: octets that the sink noted after the page had said so."""
        from deliveries.lifecycle import commands

        goal = self.taken() + 20_000
        wait(lambda: self.taken() >= goal)
        commands.stop(delivery, self.by)
        wait(lambda: self.says_stopped(delivery))
        quiet = self.taken()
        time.sleep(3)
        return self.taken() - quiet

    def says_stopped(self, delivery: Any) -> bool:
        """What the dashboard of this moment says."""
        from django.test import Client

        page = Client()
        page.force_login(self.by)
        return ">Stopped<" in page.get(f"/admin/deliveries/delivery/{delivery.pk}/deployment/").content.decode()


def judged(directory: Path, delivery: Any) -> dict[str, Any]:
    """What became of everybody."""
    from django.db.models import Sum

    rows = Counter(delivery.sending_logs.values_list("status", flat=True))
    found = tally(directory / "sink")
    addresses = set(delivery.sending_logs.filter(status=1).values_list("address", flat=True))
    return {
        "sent": rows[1],
        "cancelled": rows[4],
        "in_doubt": rows[5],
        "state": str(delivery.get_state_display()),
        "lost": len(addresses - set(found.recipients)),
        "duplicates": len(found.duplicates),
        "accepted": found.accepted,
        "unbalanced": unbalanced(),
        "counted": delivery.batches.aggregate(n=Sum("sent"))["n"],
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--recipients", type=int, default=40_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--stop", action="store_true")
    given = parser.parse_args()
    with place(given.database) as directory:
        import django

        django.setup()
        from django.conf import settings
        from django.db import connection

        settings.ALLOWED_HOSTS = ["*"]
        with sink(directory / "sink", "--behaviour", "accept") as port:
            delivery = _delivery(given.recipients, 500, port)
            hands = Hands(directory, given.workers)
            report: dict[str, Any] = {}
            if given.stop:
                hands.send(delivery, lambda: report.update(after=hands.stop(delivery)))
            else:
                each = given.recipients * 30 // given.times  # half of what there is: much leaves while a pause begins
                hands.send(delivery, lambda: report.update(hands.pause_and_resume(delivery, given.times, each)))
            report |= judged(directory, delivery)
        connection.close()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
