"""A delivery's Deployment block in a terminal: drawn over itself there, as plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from deliveries.admin.dashboard.deployment_block import Deployment, Sample, deployment
from deliveries.ledger.counters import counters
from deliveries.models import Delivery
from deliveries.models.states import State
from deliveries.preparation.sealing import changed_since_prepared

EVERY = 0.5  # seconds between two looks
_WIDTH = 40
_UP = "\x1b[{}A\x1b[J"  # that many lines up, then clear to the end


def bar(percent: int) -> str:
    """`[########----------]`, full only at 100."""
    filled = _WIDTH * percent // 100
    return f"[{'#' * filled}{'-' * (_WIDTH - filled)}] {percent:3d} %"


def lines(delivery: Delivery, block: Deployment) -> list[str]:
    """The block as lines of text."""
    drawn = [f"{delivery}: {block.headline}", block.line]
    if block.percent is not None:
        drawn.append(f"{bar(block.percent)}  {block.bar_label}")
    drawn.append("   ".join(f"{tile.label} {_figure(tile.big, tile.beneath)}" for tile in block.tiles))
    drawn += [f"{label}: {value}" for label, value in block.facts]
    return [line for line in (*drawn, delivery.hindrance, block.provisional) if line]


def _figure(big: str, exact: str) -> str:
    return f"{big} ({exact})" if "%" in big else exact


def line(delivery: Delivery, block: Deployment) -> str:
    """The block as one line, for logs."""
    share = "" if block.percent is None else f" {block.percent} %"
    figures = ", ".join(f"{tile.label} {_figure(tile.big, tile.beneath)}" for tile in block.tiles)
    return f"{delivery.code} {block.headline}{share}: {figures}"


class Screen:
    """Where a block is shown: over the last one in a terminal, as another line (when it differs) elsewhere."""

    def __init__(self, out: Any) -> None:
        self.out, self.redraws = out, out.isatty()
        self.height, self.last = 0, ""

    def show(self, delivery: Delivery, block: Deployment) -> None:
        """Show the block as it is now."""
        text = "\n".join(lines(delivery, block)) if self.redraws else line(delivery, block)
        if text == self.last:
            return
        self.out.write(f"{_UP.format(self.height) if self.height else ''}{text}\n")
        self.out.flush()
        self.height = text.count("\n") + 1 if self.redraws else 0
        self.last = text


def watch(delivery: Delivery, out: Any) -> Delivery:
    """Show `delivery` on `out` until it has ended or nothing moves. Out: the delivery as it is then."""
    screen = Screen(out)
    seen: Sequence[Sample] = ()
    while True:
        delivery.refresh_from_db()
        stale = changed_since_prepared(delivery) if delivery.state == State.READY else ()
        block = deployment(delivery, counters(delivery), stale=stale, seen=seen)
        screen.show(delivery, block)
        if not block.live:
            return delivery
        seen = block.samples
        time.sleep(EVERY)
