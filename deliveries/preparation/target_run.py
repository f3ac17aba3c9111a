"""From an audience to the rows of those who get the message: counted, arbitrated, written.

Preparing a delivery does this, and so does adding people to a recurring one that is under way. They differ in how they
hold the delivery meanwhile, which a Holder says.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from django.db import transaction
from django.db.models import F, Max, Min

from campaigns.core.kept_text import keep as _
from campaigns.models import Audience, Message
from campaigns.targeting import audiences
from deliveries.ledger.events import log_event
from deliveries.models import Delivery
from deliveries.models.host import heartbeat
from deliveries.preparation.times import waves

from . import exclusion_order, fatigue_rules
from .target import Target
from .target_table import Found

SLICE = 50_000  # profile ids in one statement: about half a second on PostgreSQL
COUNTED, ARBITRATED, WRITTEN = 20, 30, 99  # percent of the progress ring


class Holder(Protocol):
    """Who carries the run on. Both raise Superseded once it is theirs no more."""

    def alive(self, **changes: Any) -> None:
        """Give a sign of life and change the delivery's row, which stays locked to the transaction's end."""

    def progress(self, percent: int) -> None:
        """Give a sign of life, and show how far the run has come."""


class TargetRun:
    """The target of one run; `excluded` and `to_deliver` are known once it is arbitrated."""

    def __init__(self, delivery: Delivery, message: Message, due_at: datetime, holder: Holder) -> None:
        self.delivery, self.message, self.due_at, self.holder = delivery, message, due_at, holder
        self.excluded: list[Found] = []
        self.to_deliver = 0
        self._ids = (0, -1)  # lowest and highest profile of the target

    @property
    def audience(self) -> Audience:
        """The message's audience; the first phase of rules refuses a message without one."""
        assert self.message.audience is not None
        return self.message.audience

    @property
    def left_out(self) -> int:
        """How many are left out, whatever the cause."""
        return sum(found.volume for found in self.excluded)

    def count(self, target: Target) -> None:
        """Gather the audience, slice by slice. Raises Superseded."""
        unit = self.message.campaign.unit
        ends = audiences.profiles(self.audience, within=unit).aggregate(low=Min("pk"), high=Max("pk"))
        low, last = self._ids = (ends["low"] or 0, ends["high"] or -1)
        while low <= last:
            high = min(low + SLICE - 1, last)
            heartbeat.beat()
            self.holder.progress(self._percent(high, 0, COUNTED))
            target.add(audiences.profiles(self.audience, (low, high), unit))
            rest = audiences.profiles(self.audience, (high + 1, last), unit)
            low = rest.aggregate(low=Min("pk"))["low"] or last + 1

    def arbitrate(self, target: Target) -> None:
        """Leave out whom every cause takes. Raises Superseded."""
        self.excluded = target.settle(exclusion_order.arbitrate(target, self.delivery, self.going_on))
        self.to_deliver = target.remaining()
        target.batch_size = waves.batch_size(self.message, self.to_deliver)

    def tell(self) -> None:
        """A line in the log for the target, for each cause, and for each rule that was not run."""
        targeted = self.to_deliver + self.left_out
        words = _("Target: %(audience)s: %(n)s profiles.", audience=audiences.describe(self.audience), n=targeted)
        log_event(self.delivery.pk, "counted", words, targeted=targeted)
        for found in self.excluded:
            words = _("Left out: %(cause)s: %(n)s.", cause=found.words, n=found.volume)
            cause, volume = int(found.cause), found.volume
            log_event(self.delivery.pk, "excluded", words, cause=cause, rule=found.rule, volume=volume)
        for rule in fatigue_rules.waiting(self.delivery):
            words = _("Fatigue rule “%(rule)s” was not run: no contact date is set.", rule=str(rule))
            log_event(self.delivery.pk, "rule_not_run", words, rule=rule.pk)

    def going_on(self) -> None:
        """Between two steps of the arbitration. Raises Superseded."""
        heartbeat.beat()
        self.holder.alive()

    def write(self, target: Target) -> None:
        """Write exclusion and sending logs, slice by slice. Raises Superseded."""
        high = 0
        while (low := target.first_from(high + 1)) is not None:
            high = min(low + SLICE - 1, self._ids[1])
            heartbeat.beat()
            with transaction.atomic():
                self.holder.progress(self._percent(high, ARBITRATED, WRITTEN))
                to_deliver, left_out = target.write(self.delivery.pk, (low, high), self.due_at)
                self.holder.alive(
                    targeted=F("targeted") + to_deliver + left_out,
                    excluded=F("excluded") + left_out,
                    to_deliver=F("to_deliver") + to_deliver,
                )

    def _percent(self, high: int, start: int, end: int) -> int:
        """Where the progress ring stands when profiles up to id `high` are done, on its way from `start` to `end`."""
        low, last = self._ids
        return start + (end - start) * (high - low + 1) // (last - low + 1)
