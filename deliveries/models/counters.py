"""What is counted of sending logs, each counter in one line: batches carry them, all else takes them from here. Pure.

Batch has a column for each (batch.py), statuses.py and reports.py change them with the rows, recount.py counts them
again, counters.py of the ledger sums them, kpis.py reads them. To add one, write its line and make the migration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, NamedTuple

PENDING, SENT, FAILED, CANCELLED, IN_DOUBT = 0, 1, 2, 4, 5  # states.LogStatus, which needs Django; a test compares them
NONE, SOFT, HARD, IGNORED = 0, 1, 2, 3  # states.FailureType
IN_BATCHES = (PENDING, SENT, FAILED, CANCELLED, IN_DOUBT)


class Kind(NamedTuple):
    """All that counters tell sending logs apart by: rows of one kind count alike."""

    status: int
    failure_type: int = NONE
    relayed: bool = False
    retrying: bool = False
    complained: bool = False


def _counts(**only: int | bool | tuple[int, ...]) -> Any:
    """A counter of the rows whose kind has these values; a tuple: one of these."""
    return field(default=0, metadata={"only": only})


@dataclass(frozen=True, slots=True)
class DeliveryCounters:
    """Those that are summed for a delivery, and shown."""

    pending: int = _counts(status=PENDING)
    in_doubt: int = _counts(status=IN_DOUBT)
    sent: int = _counts(status=SENT)
    failed: int = _counts(status=FAILED)
    cancelled: int = _counts(status=CANCELLED)
    relayed: int = _counts(relayed=True)  # handed to the mail server, whatever came of it
    retrying: int = _counts(retrying=True)  # will be tried again: deferred Pending and soft Failed rows
    hard: int = _counts(status=FAILED, failure_type=HARD)
    soft: int = _counts(status=FAILED, failure_type=SOFT)


@dataclass(frozen=True, slots=True)
class BatchCounters(DeliveryCounters):
    """Those and the ones that batches alone carry."""

    total: int = _counts(status=IN_BATCHES)
    complaints: int = _counts(complained=True)


Only = Mapping[str, int | bool | tuple[int, ...]]
COUNTERS: dict[str, Only] = {each.name: each.metadata["only"] for each in fields(BatchCounters)}
SUMMED = tuple(each.name for each in fields(DeliveryCounters))
OUTCOMES = ("pending", "in_doubt", "sent", "failed", "cancelled")  # each row in a batch is in just one of these


def counts(only: Only, kind: Kind) -> bool:
    """Whether a counter of `only` these rows counts a row of this kind."""
    return all(
        getattr(kind, name) in wanted if isinstance(wanted, tuple) else getattr(kind, name) == wanted
        for name, wanted in only.items()
    )


@cache
def steps(before: Kind, after: Kind) -> Mapping[str, int]:
    """{counter: change} when one row of the kind `before` becomes one of `after`; those that stay are left out."""
    changes = {name: counts(only, after) - counts(only, before) for name, only in COUNTERS.items()}
    return {name: step for name, step in changes.items() if step}
