"""The same faults for other senders: what do django-post_office and django-mailer lose, send twice, or never send?

    python -m tests.faults.rivals [--recipients 400] [--others] [--json]

Each on PostgreSQL at its own defaults, but for retries, which post_office does not make unless it is told to (here: 5).
A killed sender is started again, as cron would; a paused one (SIGSTOP) wakes after 8 s, while cron starts the next; a
third of the recipients is answered 452 and later taken. Then cron goes on until nothing moves any more. The product's
line comes from the same faults of tests/faults/faults.py. `lost`: not accepted, and told as done or given up; `stuck`:
not accepted and waiting for ever; `duplicated`: accepted once more.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.rivals import peers
from tests.conftest import find_program
from tests.postgres import running_postgres
from tests.sink import LOG, set_behaviour, sink, tally

from .cluster import with_parent

PEER = Path(__file__).parents[1] / "bench" / "rivals" / "peer.py"
FAULTS = {
    "kill": "SIGKILL of the whole group",
    "pause": "SIGSTOP past the lease and back, one host",
    "452": "30 % are answered 452, then recovery",
}
PAUSE = 8.0


@dataclass
class Outcome:
    """What became of the recipients of one sender under one fault."""

    sender: str
    fault: str
    recipients: int
    accepted: int = 0
    lost: int = 0
    duplicated: int = 0
    stuck: int = 0
    in_doubt: int = 0


class Rival:
    """One sender with its database, its lock and its sink."""

    def __init__(self, kind: str, database: str, port: int, directory: Path) -> None:
        lock = str(directory / "lock")
        options: dict[str, Any] = {"lock": lock, "retries": 5, "threads": 5, "batch": 100}
        self.command = [str(peers.python()), str(PEER), kind]
        self.place, self.options, self.directory = [database, str(port)], json.dumps(options), directory

    def act(self, what: str, number: int = 0, seconds: float = 60) -> dict[str, Any]:
        """One act, to its end; {} if it did not end in time or broke."""
        try:
            done = subprocess.run(
                [*self.command, what, *self.place, str(number), self.options],
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
                cwd=self.directory,
            )
        except subprocess.TimeoutExpired:
            return {}
        return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}

    def sending(self) -> subprocess.Popen[bytes]:
        """A sender at work, in a session of its own."""
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            [*self.command, "send", *self.place, "0", self.options],
            start_new_session=True,
            stdout=quiet,
            stderr=quiet,
            cwd=self.directory,
            preexec_fn=with_parent,
        )

    def accepted(self) -> int:
        """Messages that the sink took."""
        return tally(self.directory).accepted if (self.directory / LOG).exists() else 0


def suffer(kind: str, fault: str, database: str, recipients: int) -> Outcome:
    """One sender, one fault."""
    with tempfile.TemporaryDirectory(prefix="rival-") as place:
        directory = Path(place)
        behaviour = "slow=10,full=30" if fault == "452" else "slow=10"
        with sink(directory, "--fsync", "--behaviour", behaviour) as port:
            rival = Rival(kind, database, port, directory)
            rival.act("migrate")
            rival.act("enqueue", recipients)
            _strike(rival, fault, recipients)
            _go_on(rival)
            told = rival.act("tell")
        return _judge(Outcome(kind, fault, recipients), told, tally(directory).recipients)


def _go_on(rival: Rival) -> None:
    """Cron's rounds, until two of them move nothing."""
    idle = 0
    while idle < 2:
        before = rival.accepted()
        rival.act("requeue")
        rival.act("send")
        time.sleep(1.1)  # post_office's pause between two tries
        idle = idle + 1 if rival.accepted() == before else 0


def _strike(rival: Rival, fault: str, recipients: int) -> None:
    sender = rival.sending()
    end = time.monotonic() + 60
    while rival.accepted() < recipients // 3 and sender.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    if fault == "kill":
        os.killpg(sender.pid, signal.SIGKILL)
    elif fault == "pause":
        os.killpg(sender.pid, signal.SIGSTOP)
        rival.act("send", seconds=PAUSE)
        os.killpg(sender.pid, signal.SIGCONT)
    try:
        sender.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(sender.pid, signal.SIGKILL)
        sender.wait()
    set_behaviour(rival.directory, "slow=10")


def _judge(outcome: Outcome, told: dict[str, Any], accepted: Counter[str]) -> Outcome:
    waiting = {address.lower() for address in told.get("queued", [])}
    missing = {f"user{i}@example.net" for i in range(outcome.recipients)} - set(accepted)
    outcome.accepted, outcome.duplicated = len(accepted), sum(accepted.values()) - len(accepted)
    outcome.stuck, outcome.lost = len(missing & waiting), len(missing - waiting)
    return outcome


def product() -> list[Outcome]:
    """The product's outcomes, by python -m tests.faults."""
    command = [sys.executable, "-m", "tests.faults", "--database", "sqlite", "--broker", "orm", "--quick", "--json"]
    done = subprocess.run([*command, *FAULTS.values()], stdout=subprocess.PIPE, text=True, check=False)
    found = {verdict["fault"]: verdict for verdict in json.loads(done.stdout.splitlines()[-1])}
    return [
        Outcome(
            "this product",
            short,
            v["recipients"],
            v["accepted"],
            v["lost"],
            v["duplicates"],
            v["recipients"] * bool(v["wrong"]),
            v["in_doubt"],
        )
        for short, name in FAULTS.items()
        for v in [found[name]]
    ]


def show(outcome: Outcome) -> None:
    """One line for people."""
    words = (
        "{sender:14}{fault:7}{recipients:6} recipients: lost {lost}, duplicated {duplicated}, stuck {stuck}, in doubt "
    )
    print((words + "{in_doubt}").format(**asdict(outcome)), file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.faults.rivals", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipients", type=int, default=400)
    parser.add_argument("--others", action="store_true", help="the others alone")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    server = find_program("postgres") or sys.exit("postgres is not installed")
    outcomes = [] if given.others else product()
    for each in outcomes:
        show(each)
    try:
        peers.python()
    except peers.NoPeers as error:
        print(f"The other senders are skipped: they cannot be installed: {error}", file=sys.stderr)
    else:
        for kind in ("post_office", "mailer"):
            for fault in FAULTS:
                with running_postgres(server) as url:
                    outcomes.append(suffer(kind, fault, f"{url}postgres", given.recipients))
                show(outcomes[-1])
    if given.json:
        print(json.dumps([asdict(each) for each in outcomes]))


if __name__ == "__main__":
    main()
