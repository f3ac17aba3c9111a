"""Those who send the same ~10 KB into the same smtp-sink in turns: the product, its peers, and two that only send.

Each one's best setting is looked for first, among several numbers of processes and threads.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.rig import Failed, Rig
from tests.conftest import find_program

from . import peers

BODY = 10240
CONNECTIONS = 8
PEER = Path(__file__).with_name("peer.py")
SETTINGS: dict[str, list[dict[str, int]]] = {
    "product": [{"workers": 1}, {"workers": 2}, {"workers": 2, "window": 500}],
    "post_office": [{"processes": p, "threads": t} for p, t in ((1, 1), (1, 5), (2, 1), (2, 5), (2, 10), (4, 5))],
    "mailer": [{"processes": 1}, {"processes": 2}, {"processes": 4}],
    "plain": [{}],
}


@dataclass(frozen=True)
class Speed:
    """Messages a second: from the first act to the last answer, and of the sending alone."""

    whole: float
    sending: float
    cpu_us: float = 0.0  # of the sender's processes, a message; 0 where it is not known


Contender = Callable[[int], Speed]


def product(rig: Rig, workers: int, window: int = 0) -> Contender:
    """Prepare, then claim, build, SMTP, journal, record in worker processes. `window`: CLAIM_WINDOW, if not usual."""
    how = ["--workers", workers, *(["--window", window] if window else [])]

    def send(number: int) -> Speed:
        told = rig.product("send", number, "--port", rig.port, *how)
        both = told["prepare_seconds"] + told["send_seconds"]
        return Speed(number / both, number / told["send_seconds"], 1e6 * told["cpu"] / number)

    return send


def smtp_source(rig: Rig) -> Contender:
    """Postfix's own load generator. Raises Failed."""
    program = find_program("smtp-source")
    if program is None:
        raise Failed("smtp-source of the postfix package is not installed")

    def send(number: int) -> Speed:
        began = time.perf_counter()
        flags = f"-d -s 20 -l {BODY} -m {number} -f news@example.com -t user@example.net"
        rig.run([program, *flags.split(), f"127.0.0.1:{rig.port}"])
        rate = number / (time.perf_counter() - began)
        return Speed(rate, rate)

    return send


def limit(rig: Rig) -> Contender:
    """The C program beside this file, compiled now. Raises Failed."""
    made, compiler = rig.directory / "limit", find_program("gcc") or find_program("cc")
    if compiler is None:
        raise Failed("gcc is not installed")
    subprocess.run([compiler, "-O2", "-o", str(made), str(PEER.with_name("limit.c"))], check=True)

    def send(number: int) -> Speed:
        told = rig.run([str(made), str(rig.port), str(number), str(CONNECTIONS), str(BODY)])
        rate = number / float(told)
        return Speed(rate, rate)

    return send


def peer(rig: Rig, kind: str, options: dict[str, int]) -> Contender:
    """Another Django sender: enqueue, then send. Raises Failed."""
    try:
        python = str(peers.python())
    except peers.NoPeers as error:
        raise Failed(f"the other senders cannot be installed: {error}") from error
    if kind != "plain":
        rig.run([python, str(PEER), kind, "migrate", rig.fresh(f"peer_{kind}"), str(rig.port)])

    def act(what: str, number: int) -> float:
        command = [python, str(PEER), kind, what, f"{rig.url}run", str(rig.port), str(number), json.dumps(options)]
        return float(json.loads(rig.run(command, at_most=300).splitlines()[-1])["seconds"])

    def send(number: int) -> Speed:
        if kind != "plain":
            rig.fresh("run", f"peer_{kind}")
        enqueue = act("enqueue", number) if kind != "plain" else 0.0
        seconds = act("send", number)
        return Speed(number / (enqueue + seconds), number / seconds)

    return send


def best(rig: Rig, kind: str, number: int, tries: int) -> tuple[Contender, dict[str, Any]]:
    """The sender at the fastest of its first `tries` settings (0: all), with what each gave. Raises Failed."""
    settings = SETTINGS[kind][:tries] if tries else SETTINGS[kind]
    makers = [product(rig, **each) if kind == "product" else peer(rig, kind, each) for each in settings]
    if len(makers) == 1:
        return makers[0], {"setting": settings[0]}
    rates = [send(number).whole for send in makers]
    tried = [{**each, "per_second": round(rate)} for each, rate in zip(settings, rates, strict=True)]
    fastest = rates.index(max(rates))
    return makers[fastest], {"setting": settings[fastest], "tried": tried}


def note(words: str) -> None:
    """Say on stderr what is going on; stdout is for the figures."""
    print(words, file=sys.stderr, flush=True)
