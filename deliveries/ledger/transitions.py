"""What a report does to a sending log, with and without a feedback service: the second table of deliverability.md, What
comes back, as data. Pure.

A row keeps the key of the weightiest fact that decided it, and a fact decides only if its key is greater. Keys are
totally ordered, so any order of arrival, repeats and late reports included, ends in the same status:

- a hard bounce outweighs everything;
- with a feedback service a soft bounce and a success weigh the same, and the later of them counts: a retry that
  succeeds lifts the row to Sent, and an asynchronous soft bounce after that takes it down again;
- without one soft bounces decide nothing (the row is Sent already), and a late success outweighs the expiry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum

from deliveries.models.counters import FAILED, HARD, IGNORED, IN_DOUBT, NONE, PENDING, SENT, SOFT

_NEVER = datetime.min.replace(tzinfo=UTC)


class Fact(Enum):
    """What can be learnt about a relayed message."""

    DELAYED = "delayed"  # RFC 3464 action "delayed": the server goes on trying
    SOFT = "soft"  # the server gave up, for a reason that may pass
    IGNORED = "ignored"  # it gave up for a reason that is not the address's: our own server, pace or message
    DELIVERED = "delivered"
    HARD = "hard"
    EXPIRED = "expired"  # the validity ended: nobody tries any more


@dataclass(frozen=True, slots=True)
class Effect:
    """What a fact makes of a row. weight: tens are compared before the time of the fact, units after it."""

    status: int
    failure: int
    retrying: bool
    weight: int


# (with a feedback service, fact): effect
TABLE: dict[tuple[bool, Fact], Effect] = {
    (True, Fact.DELAYED): Effect(FAILED, SOFT, retrying=True, weight=10),
    (True, Fact.EXPIRED): Effect(FAILED, SOFT, retrying=False, weight=20),
    (True, Fact.DELIVERED): Effect(SENT, NONE, retrying=False, weight=30),
    (True, Fact.SOFT): Effect(FAILED, SOFT, retrying=True, weight=31),
    (True, Fact.IGNORED): Effect(FAILED, IGNORED, retrying=True, weight=32),
    (True, Fact.HARD): Effect(FAILED, HARD, retrying=False, weight=40),
    (False, Fact.DELAYED): Effect(SENT, NONE, retrying=True, weight=10),
    (False, Fact.SOFT): Effect(SENT, NONE, retrying=True, weight=11),
    (False, Fact.IGNORED): Effect(SENT, NONE, retrying=True, weight=12),
    (False, Fact.EXPIRED): Effect(FAILED, SOFT, retrying=False, weight=20),
    (False, Fact.DELIVERED): Effect(SENT, NONE, retrying=False, weight=30),
    (False, Fact.HARD): Effect(FAILED, HARD, retrying=False, weight=40),
}
RELAYED: dict[bool, int] = {True: PENDING, False: SENT}  # status of a row when the server has just taken it


@dataclass(frozen=True, slots=True)
class Row:
    """The part of a sending log that facts decide, with the time and weight of the fact that decided it.

    expired: the validity is over, so nothing is retrying whatever arrives.
    """

    status: int
    failure: int = NONE
    retrying: bool = False
    decided_at: datetime = _NEVER
    weight: int = 0
    expired: bool = False


def relay(row: Row, *, feedback: bool) -> Row:
    """The row after the server took the message. A report that came before the 250 was recorded stands."""
    if row.status in (PENDING, IN_DOUBT) and not row.weight:
        return replace(row, status=RELAYED[feedback])
    return row


def learn(row: Row, fact: Fact, at: datetime, *, feedback: bool) -> Row:
    """The row after `fact`, which happened at `at`; unchanged if something weightier is known already.

    Any report about a row in doubt proves that the server took it, so doubt always ends here.
    """
    effect = TABLE[feedback, fact]
    expired = row.expired or fact is Fact.EXPIRED
    if _key(effect.weight, at) > _key(row.weight, row.decided_at):
        return Row(effect.status, effect.failure, effect.retrying and not expired, at, effect.weight, expired)
    return replace(row, retrying=row.retrying and not expired, expired=expired)


def same(row: Row, fact: Fact, at: datetime, *, feedback: bool) -> bool:
    """True if a fact like this one, of the same moment, decided the row."""
    return _key(TABLE[feedback, fact].weight, at) == _key(row.weight, row.decided_at)


def _key(weight: int, at: datetime) -> tuple[int, datetime, int]:
    return weight // 10, at, weight
