"""The product's speed against others', in one run.

    python -m tests.bench [--quick] [--minutes 30] [--json]

All senders send the same ~10 KB into the same smtp-sink, in turns, round after round: the product (prepare, render,
MIME, SMTP, journal, record; PostgreSQL with fsync), django-post_office and django-mailer (enqueue and send), each at
the best setting found (processes and threads; CLAIM_WINDOW); plain Django, `smtp-source -d -s 20`, and a pipelined C
program as the limit of SMTP here. Medians and [lowest, highest]; ratios are taken within a round, so that what else the
machine does meets both. `vs_post_office` compares the whole path of both, `vs_smtp_source` and `vs_limit` the sending.

Then: preparation against bulk_create; reports applied; memory and processor time as a delivery grows; figures and pages
of the largest; opens and clicks at gunicorn. What cannot be measured, or for what no time is left, is told under
`skipped`. With fewer --minutes than the 30 of the whole, everything is done with proportionately fewer rows, and the
report says with how many. --quick: in under a minute; its figures say nothing but that the bench works.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tests.bench.rivals import contenders
from tests.bench.rivals.contenders import Contender, note

from .rig import Failed, Rig, rig


@dataclass(frozen=True)
class Plan:
    """How much of everything. `numbers`: messages a round, of each sender."""

    minutes: float
    rounds: int
    numbers: dict[str, int]
    tries: int  # settings of each that are tried, with half of the numbers; 0: all
    prepare: int
    feedback: int
    sizes: tuple[int, ...]
    kpi_rows: int
    tracking: tuple[float, int]  # seconds, requests a second

    def within(self, minutes: float) -> Plan:
        """The same with as many rows as can be had in so many minutes; never with more."""
        share = min(1.0, minutes / self.minutes)

        def part(number: int, at_least: int) -> int:
            return max(at_least, round(number * share))

        return replace(
            self,
            minutes=minutes,
            numbers={name: part(number, 300) for name, number in self.numbers.items()},
            prepare=part(self.prepare, 5000),
            feedback=part(self.feedback, 1500),
            sizes=tuple(part(size, 1000 * (place + 1)) for place, size in enumerate(self.sizes)),
            kpi_rows=part(self.kpi_rows, 20_000),
        )


QUICK = Plan(
    0.9,
    1,
    {"product": 2000, "smtp_source": 4000, "limit": 8000, "post_office": 150, "mailer": 150, "plain": 150},
    1,
    5000,
    1500,
    (1000, 4000),
    20_000,
    (0.5, 200),
)
FULL = Plan(
    30,
    3,
    {"product": 60_000, "smtp_source": 60_000, "limit": 100_000, "post_office": 4000, "mailer": 3000, "plain": 4000},
    0,
    1_000_000,
    100_000,
    (10_000, 200_000, 1_000_000),
    10_000_000,
    (5, 1500),
)
# What is compared with whom: the whole path with those who queue, the sending with those who only send.
COMPARED = {"post_office": "whole", "mailer": "whole", "plain": "whole", "smtp_source": "sending", "limit": "sending"}


class Bench:
    """One run; the report grows as it goes, so that a failure costs only its own part."""

    def __init__(self, rig: Rig, plan: Plan) -> None:
        self.rig, self.plan = rig, plan
        self.report: dict[str, Any] = {
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "skipped": [],
            "seconds": {},
            "quick": plan is QUICK,
            "minutes": plan.minutes,
        }

    def run(self) -> dict[str, Any]:
        """All parts."""
        for part in (self.send, self.prepare, self.feedback, self.grow, self.tracking):
            began = time.monotonic()
            self.attempt(part.__name__, part)
            self.report["seconds"][part.__name__] = round(time.monotonic() - began, 1)
        return self.report

    def attempt(self, name: str, act: Callable[[], Any]) -> Any:
        """What it gives, or None and a line under `skipped`."""
        if self.rig.left < 3:
            self.skip(name, "no time is left; give more --minutes")
            return None
        note(f"{name} … ({self.rig.left:.0f} s left)")
        try:
            return act()
        except Failed as error:
            self.skip(name, str(error))
            return None

    def skip(self, name: str, why: str) -> None:
        note(f"{name}: skipped: {why}")
        self.report["skipped"].append(f"{name}: {why}")

    # The parts

    def send(self) -> None:
        """Rounds of all senders, one after the other."""
        report: dict[str, Any] = {"settings": {}}
        senders: dict[str, Contender] = {}
        for name, make in (("smtp_source", contenders.smtp_source), ("limit", contenders.limit)):
            self._join(senders, name, lambda make=make: make(self.rig))
        for kind in contenders.SETTINGS:
            self._join(senders, kind, lambda kind=kind: self._best(kind, report["settings"]))
        speeds: dict[str, list[Any]] = {name: [] for name in senders}
        rounds: list[dict[str, Any]] = []
        for number in range(self.plan.rounds):
            rounds.append({})
            for name, sender in senders.items():
                speed = self.attempt(f"round {number + 1}: {name}", lambda s=sender, n=name: s(self.plan.numbers[n]))
                if speed is not None:
                    speeds[name].append(speed)
                    rounds[-1][name] = speed
        for name, found in speeds.items():
            if found:
                report[name] = figure("whole", [s.whole for s in found]) | figure("sending", [s.sending for s in found])
        for other, what in COMPARED.items():
            report |= figure(f"vs_{other}", ratios(rounds, other, what), 2)
        report |= figure("cpu_us", [speed.cpu_us for speed in speeds["product"]])
        self.report["send"] = report

    def _join(self, senders: dict[str, Contender], name: str, make: Callable[[], Contender]) -> None:
        sender = self.attempt(name, make)
        if sender is not None:
            senders[name] = sender

    def _best(self, kind: str, settings: dict[str, Any]) -> Contender:
        number = self.plan.numbers[kind] // 2
        sender, settings[kind] = contenders.best(self.rig, kind, number, self.plan.tries)
        return sender

    def prepare(self) -> None:
        """Preparation against bulk_create."""
        told = self.rig.product("prepare", self.plan.prepare)
        self.report["prepare"] = {
            "profiles": self.plan.prepare,
            "mb": round(told["mb"]),
            **figure("per_second", told["ours"]),
            **figure("bulk_create", told["bulk_create"]),
            **figure("vs_bulk_create", [a / b for a, b in zip(told["ours"], told["bulk_create"], strict=True)], 2),
        }

    def feedback(self) -> None:
        """Reports applied."""
        told = self.rig.product("feedback", self.plan.feedback)
        self.report["feedback"] = {"events": self.plan.feedback, **figure("events_s", told["events_s"])}

    def grow(self) -> None:
        """One worker's memory and processor time as the delivery grows; then figures and pages of the largest."""
        sizes: dict[int, dict[str, Any]] = {}
        for size in self.plan.sizes:
            last = size == self.plan.sizes[-1]
            told = self.attempt(
                f"a delivery of {size:,}",
                lambda size=size, last=last: self.rig.product(
                    "send", size, "--port", self.rig.port, "--workers", 1, "--rows", self.plan.kpi_rows * last
                ),
            )
            if told is not None:
                sizes[size] = told
        if sizes:
            self._tell_growth(sizes)

    def _tell_growth(self, sizes: dict[int, dict[str, Any]]) -> None:
        cost = {size: 1e6 * (told["cpu"] + told["server_cpu"]) / size for size, told in sizes.items()}
        small, large = min(sizes), max(sizes)
        self.report["memory"] = {
            "sender_mb": {size: round(told["sender_mb"]) for size, told in sizes.items()},
            "prepare_mb": {size: round(told["prepare_mb"]) for size, told in sizes.items()},
            "ratio_1m_10k": over(sizes[large]["sender_mb"], sizes[small]["sender_mb"], small != large),
            "sizes": [small, large],
        }
        self.report["growth"] = {
            "us_of_processor": {size: round(each, 1) for size, each in cost.items()},
            "per_second": {size: round(size / told["send_seconds"]) for size, told in sizes.items()},
            "cost_1m_over_10k": over(cost[large], cost[small], small != large),
            "sizes": [small, large],
        }
        told = sizes[large]
        self.report["kpi"] = {"read_ms": told.get("kpi_ms"), "rows": told.get("rows")}
        self.report["pages"] = {"ms": told.get("pages_ms"), "rows": told.get("rows")}

    def tracking(self) -> None:
        """Opens and clicks at gunicorn, as tests.bench.tracking_speed measures them."""
        seconds, rate = self.plan.tracking
        command = [sys.executable, "-m", "tests.bench.tracking_speed", "--seconds", str(seconds), "--rate", str(rate)]
        lines = self.rig.run(command).splitlines()
        found = re.compile(r"(\w+) +asked +(\S+): +(\d+)/s, median ([\d.]+) ms, 99 % ([\d.]+) ms")
        self.report["tracking"] = [
            dict(zip(("what", "asked", "per_second", "median_ms", "p99_ms"), match.groups(), strict=True))
            for match in map(found.match, lines)
            if match
        ]


def over(large: float, small: float, known: bool) -> float | None:
    """How much more the largest takes than the smallest; None if only one was measured."""
    return round(large / small, 3) if known else None


def figure(name: str, values: list[float], places: int = 0) -> dict[str, Any]:
    """{name: median, name_range: [lowest, highest]}; None without values."""
    told = [round(f(values), places) if places else round(f(values)) for f in (statistics.median, min, max) if values]
    return {name: told[0], f"{name}_range": told[1:]} if told else {name: None}


def ratios(rounds: list[dict[str, Any]], other: str, what: str) -> list[float]:
    """The product's speed over the other's, in each round that has both."""
    both = [done for done in rounds if {"product", other} <= done.keys()]
    return [getattr(done["product"], what) / getattr(done[other], what) for done in both]


def table(report: dict[str, Any]) -> str:
    """The report for people: one figure a line, nested names with dots, a range behind its median."""
    return "\n".join(f"{name:40}{value}" for name, value in lines("", report))


def lines(above: str, item: Any) -> Iterator[tuple[str, str]]:
    """(name with dots, what to show) of all that lies in `item`."""
    if isinstance(item, list) and item and isinstance(item[0], dict | str):
        for each in item:
            yield above, ", ".join(f"{k} {v}" for k, v in each.items()) if isinstance(each, dict) else each
    elif isinstance(item, dict):
        for key, value in item.items():
            if not str(key).endswith("_range"):
                low_high = item.get(f"{key}_range")
                name = f"{above}.{key}" if above else str(key)
                for deeper, words in lines(name, value):
                    yield deeper, words + (f"   [{low_high[0]:,} … {low_high[1]:,}]" if low_high else "")
    else:
        yield above, f"{item:>14,}" if type(item) in (int, float) else f"{item!s:>14}"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few rows, under a minute")
    parser.add_argument("--minutes", type=float, help="at most so long; what does not fit is skipped")
    parser.add_argument("--json", action="store_true", help="JSON alone")
    given = parser.parse_args()
    plan = QUICK if given.quick else FULL.within(given.minutes or FULL.minutes)
    try:
        with rig(given.minutes or plan.minutes) as made:
            report = Bench(made, plan).run()
    except Failed as error:
        sys.exit(f"tests.bench: {error}")
    if not given.json:
        print(table(report), end="\n\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
