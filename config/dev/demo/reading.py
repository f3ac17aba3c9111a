"""What the demo's readers did with the message that has gone out; the rest of the demo is
config/dev/demo/deliveries.py's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta

from deliveries.models import Delivery, SendingLog
from deliveries.models.states import LogStatus
from reporting.figures import kept_figures
from reporting.models import TrackingType
from reporting.tracking import ingest
from reporting.tracking.buffer import Event

_PROGRAMS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (X11; Linux x86_64; rv:136.0) Gecko/20100101 Thunderbird/136.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36",
)
_SCANNER = "Mozilla/5.0 (compatible; MailScanner/2.1)"


def read(delivery: Delivery) -> None:
    """Let about a third open it, some of them click, one or two opt out, and a scanner look at a few."""
    sent = delivery.sending_logs.filter(status=LogStatus.SENT, relayed_at__isnull=False).order_by("pk")
    dice = random.Random(delivery.label)  # noqa: S311 - nothing here is a secret
    ingest.store([event for log in sent for event in _events(log, dice)])
    kept_figures.refresh(delivery)


def _events(log: SendingLog, dice: random.Random) -> Iterator[Event]:
    assert log.relayed_at is not None
    sent_at = log.relayed_at
    agent, network = dice.choice(_PROGRAMS), f"198.51.100.{dice.randrange(256)}"

    def event(kind: TrackingType, after: timedelta, link: int = -1, agent: str = agent) -> Event:
        return Event(int((sent_at + after).timestamp() * 1000), log.pk, kind, link, False, network, agent)

    if dice.random() < 0.04:
        yield event(TrackingType.OPEN, timedelta(seconds=2), agent=_SCANNER)
    if dice.random() > 0.38:
        return
    # Most read within hours, a few the day after; all of it lies in the past.
    opened = timedelta(minutes=3 + min(dice.expovariate(1 / 300), 2600))
    yield event(TrackingType.OPEN, opened)
    if dice.random() < 0.3:
        yield event(TrackingType.OPEN, opened + timedelta(minutes=90))
    if dice.random() < 0.27:
        yield event(TrackingType.CLICK, opened + timedelta(seconds=dice.randrange(8, 90)), link=dice.randrange(2))
    elif dice.random() < 0.03:
        yield event(TrackingType.MIRROR, opened + timedelta(seconds=20))
