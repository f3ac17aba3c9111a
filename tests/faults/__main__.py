"""Does the faults of tests/faults/faults.py, one after the other, to real clusters.

    python -m tests.faults [--database sqlite|postgres] [--broker orm|redis] [--quick] [--json] [NAME …]
    python -m tests.faults --list

Without --database and --broker: all four combinations. --quick: each fault once, outages of seconds. The last line of
--json is a list of verdicts. Ends with 1 if one is not clean. Root is needed for small disks and network namespaces;
what cannot be done here is told as skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .faults import FAULTS, Fault, chosen

_OWN_MOUNTS = "TORTURE_OWN_MOUNTS"


def try_all(faults: list[Fault], database: str, broker: str, *, brief: bool) -> list[dict[str, Any]]:
    """In this process's Django, on one Cluster."""
    from .cluster import CannotBe, Cluster

    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as place:
        try:
            cluster = Cluster(Path(place), database, broker, brief=brief)
        except CannotBe as error:
            return [{"fault": fault.name, "skipped": str(error), "clean": True} for fault in faults]
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("stopped"))
        try:
            return _on_cluster(cluster, faults)
        finally:
            cluster.close()


def _on_cluster(cluster: Any, faults: list[Fault]) -> list[dict[str, Any]]:
    import django

    django.setup()
    from django.core.management import call_command

    from .cluster import CannotBe
    from .trial import Trial, Verdict

    call_command("migrate", verbosity=0)
    cluster.host.start()
    verdicts = []
    for fault in faults:
        verdict = Verdict(fault.name, cluster.database, cluster.broker)
        try:
            Trial(cluster, fault, verdict).run()
        except CannotBe as error:
            verdict.skipped = str(error)
        except TimeoutError as error:
            verdict.wrong = str(error)
        verdicts.append(asdict(verdict) | {"clean": verdict.clean})
        print(told(verdicts[-1]), file=sys.stderr, flush=True)
    return verdicts


def told(verdict: dict[str, Any]) -> str:
    """One line for people."""
    name = f"{verdict.get('database', ''):9}{verdict.get('broker', ''):6}{verdict['fault']:46}"
    if verdict["skipped"]:
        return f"{name} skipped: {verdict['skipped']}"
    figures = (
        "lost {lost}, twice {duplicates}, in doubt {in_doubt} of {doubt_allowed}, "
        "unbalanced {unbalanced} of {samples}, settled after {seconds_to_recover} s ({seconds} s)"
    )
    return f"{name} {figures.format(**verdict)}{'' if verdict['clean'] else '  NOT CLEAN ' + verdict['wrong']}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the faults; all")
    parser.add_argument("--database", choices=["sqlite", "postgres"])
    parser.add_argument("--broker", choices=["orm", "redis"])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    if given.list:
        print("\n".join(FAULTS))
    elif given.database and given.broker:
        _with_own_mounts()
        faults = chosen(given.names, given.database, given.broker, brief=given.quick)
        verdicts = try_all(faults, given.database, given.broker, brief=given.quick)
        if given.json:
            print(json.dumps(verdicts))
        sys.exit(not all(verdict["clean"] for verdict in verdicts))
    else:
        sys.exit(_each_pair(given))


def _each_pair(given: argparse.Namespace) -> int:
    """A process for each database and broker: settings are read once. Out: 1 if one was not clean."""
    verdicts, code = [], 0
    pairs = (
        [("sqlite", "orm"), ("postgres", "redis")]
        if given.quick
        else [(database, broker) for database in ("sqlite", "postgres") for broker in ("orm", "redis")]
    )
    for database, broker in pairs:
        if given.database in (None, database) and given.broker in (None, broker):
            command = [sys.executable, "-m", "tests.faults", "--database", database, "--broker", broker, "--json"]
            command += ["--quick"] * given.quick + given.names
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            code |= done.returncode
            verdicts += json.loads(done.stdout.splitlines()[-1]) if done.stdout else []
    if given.json:
        print(json.dumps(verdicts))
    return code


def _with_own_mounts() -> None:
    """Go on in a mount namespace of our own, where that is allowed: what is mounted goes with us."""
    if os.environ.get(_OWN_MOUNTS) or os.geteuid() != 0:
        return
    private = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run([*private, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        os.environ[_OWN_MOUNTS] = "1"
        os.execvp("unshare", [*private, sys.executable, "-m", "tests.faults", *sys.argv[1:]])


if __name__ == "__main__":
    main()
