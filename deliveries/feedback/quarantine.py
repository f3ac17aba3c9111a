"""What reports do to addresses (deliverability.md, Quarantine). A standing is a function of all that was reported of
the address and counts, in the order in which it happened: so the order in which it arrives does not matter.

Hard: Quarantine at once. Complaint: On denylist. Soft: Erroneous, and at the fifth error, each at least a day after the
one before, Quarantine. Ignored: nothing. A delivered message frees an Erroneous address, and no other one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from campaigns.models.audit.watched import told_elsewhere
from deliveries.models import QuarantinedAddress
from deliveries.models.feedback import FeedbackEvent
from deliveries.models.states import FailureType, Reason
from deliveries.models.storage import dialect, partition_lookup

THRESHOLD = 5  # significant errors
SIGNIFICANT = timedelta(days=1)  # between two of them
FORGOTTEN = timedelta(days=10)  # after the last one the count begins anew
FORGOTTEN_FULL = timedelta(days=30)  # … when the mailbox was full
KEPT_VALID = timedelta(days=2)  # a Valid entry is deleted by the daily clean-up so long after its last change
CHUNK = 500
Status, Kind = QuarantinedAddress.Status, FeedbackEvent.Kind
RED = (Status.QUARANTINE, Status.DENYLIST)
_ERRORS = (Kind.BOUNCE, Kind.DELAYED)


class Mark(NamedTuple):
    """One event of an address's history."""

    at: datetime
    kind: int
    type: int
    reason: int = Reason.NOT_DEFINED
    text: str = ""
    delivery_id: int | None = None


@dataclass(slots=True)
class Standing:
    """What is known against an address."""

    status: int = Status.VALID
    reason: int = Reason.NOT_DEFINED
    errors: int = 0
    significant_at: datetime | None = None
    text: str = ""
    delivery_id: int | None = None


def standing(history: Iterable[Mark]) -> Standing:
    """The standing after a history in order of time. Pure."""
    now = Standing()
    for mark in history:
        if mark.kind == Kind.COMPLAINT:
            _condemn(now, mark, Status.DENYLIST)
        elif mark.kind == Kind.DELIVERED:
            _free(now)
        elif mark.type == FailureType.HARD:
            _condemn(now, mark, Status.QUARANTINE)
        elif mark.type == FailureType.SOFT:
            _count(now, mark)
    return now


def _condemn(now: Standing, mark: Mark, status: int) -> None:
    if now.status < status:
        now.status, now.reason, now.text, now.delivery_id = status, mark.reason, mark.text, mark.delivery_id
        now.significant_at = mark.at
        now.errors += 1


def _free(now: Standing) -> None:
    if now.status == Status.ERRONEOUS:
        now.status, now.errors, now.significant_at = Status.VALID, 0, None


def _count(now: Standing, mark: Mark) -> None:
    if now.status in RED:
        return
    last = now.significant_at
    if last is not None and mark.at - last < SIGNIFICANT:
        return
    if last is not None and mark.at - last > _memory(now.reason):
        now.errors = 0
    now.errors += 1
    now.status = Status.QUARANTINE if now.errors >= THRESHOLD else Status.ERRONEOUS
    now.significant_at = mark.at
    now.reason, now.text, now.delivery_id = mark.reason, mark.text, mark.delivery_id


def _memory(reason: int) -> timedelta:
    return FORGOTTEN_FULL if reason == Reason.MAILBOX_FULL else FORGOTTEN


# --- the table of addresses ----------------------------------------------------------------------------------------


def weigh(events: Iterable[tuple[int, int, str]]) -> set[str]:
    """Bring addresses' standings up to date after events were kept; the caller holds the transaction.

    In: (kind, failure type, address) of each. Out: those of the addresses that may not be mailed.
    """
    against, for_it = set(), set()
    for kind, how, address in events:
        if kind == Kind.COMPLAINT or (
            kind in (Kind.BOUNCE, Kind.DELAYED) and how in (FailureType.SOFT, FailureType.HARD)
        ):
            against.add(address)
        elif kind == Kind.DELIVERED:
            for_it.add(address)
    if against:
        _enter(against)
    erroneous = _with_errors(for_it - against)
    return _renew(against | erroneous) if against or erroneous else set()


def review(addresses: Collection[str]) -> set[str]:
    """Work out these addresses' standings anew: what counts has changed. The caller holds the transaction."""
    if not addresses:
        return set()
    dialect.look_up()
    _enter(addresses)
    return _renew(addresses)


def _enter(addresses: Iterable[str]) -> None:
    """Make sure that there is a row to lock for each."""
    now = dialect.stamp(timezone.now())
    names = "address, status, reason, errors, error_text, by_hand, created_at, modified_at"
    sql = f"""
        INSERT INTO deliveries_quarantinedaddress ({names})
        SELECT r.address, 0, 0, 0, '', %s, %s, %s FROM {dialect.rows({"address": str})} r WHERE true
        ON CONFLICT (address) DO NOTHING"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [False, now, now, dialect.rows_parameter((address,) for address in sorted(addresses))])


def _with_errors(addresses: Collection[str]) -> set[str]:
    if not addresses:
        return set()
    sql = f"""
        SELECT q.address FROM {dialect.rows({"address": str})} r
        JOIN deliveries_quarantinedaddress q ON q.address = r.address
        WHERE q.status = {Status.ERRONEOUS:d} AND NOT q.by_hand"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [dialect.rows_parameter((address,) for address in addresses)])
        return {row[0] for row in cursor.fetchall()}


def _renew(addresses: Collection[str]) -> set[str]:
    """Lock the rows, work out their standings from what is kept, and write those that changed."""
    rows = list(QuarantinedAddress.objects.select_for_update().filter(address__in=addresses).order_by("address"))
    histories = _histories(addresses)
    changed = []
    for row in rows:
        new = standing(histories[row.address])
        if row.by_hand and row.status >= new.status:
            continue
        old = Standing(row.status, row.reason, row.errors, row.significant_at, row.error_text, row.last_delivery_id)
        if new != old:
            changed.append((row.pk, new))
            row.status = new.status
    _write(changed)
    return {row.address for row in rows if row.status in RED}


def _histories(addresses: Collection[str]) -> dict[str, list[Mark]]:
    those = dialect.rows_parameter((address,) for address in addresses)
    told = f"deliveries_feedbackevent e JOIN {dialect.rows({'address': str})} r ON r.address = e.address"
    counts = "e.counts AND e.log_id IS NOT NULL"
    logs = partition_lookup.ALL
    found: dict[str, list[Mark]] = defaultdict(list)
    with connection.cursor() as cursor:
        if partition_lookup.are_split():
            cursor.execute(f"SELECT DISTINCT e.log_id FROM {told} WHERE {counts}", [those])
            logs = partition_lookup.source(partition_lookup.of_logs([row[0] for row in cursor.fetchall()]))
        cursor.execute(
            f"""SELECT e.address, e.at, e.kind, e.type, e.reason, e.text, l.delivery_id
                FROM {told} LEFT JOIN {logs} l ON l.id = e.log_id
                WHERE {counts} ORDER BY e.at, e.kind, e.reason, e.text""",
            [those],
        )
        for address, at, *rest in cursor.fetchall():
            found[address].append(Mark(dialect.moment(at) or timezone.now(), *rest))
    return found


_WRITTEN: dict[str, type] = {
    "id": int,
    "status": int,
    "reason": int,
    "errors": int,
    "significant_at": datetime,
    "error_text": str,
    "last_delivery_id": int,
}


def _write(changed: list[tuple[int, Standing]]) -> None:
    if not changed:
        return
    sets = ", ".join(f"{name} = r.{name}" for name in _WRITTEN if name != "id")
    values = (
        (pk, int(new.status), new.reason, new.errors, dialect.stamp(new.significant_at), new.text, new.delivery_id)
        for pk, new in changed
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE deliveries_quarantinedaddress AS q SET modified_at = %s, by_hand = %s, {sets} "
            f"FROM {dialect.rows(_WRITTEN)} r WHERE q.id = r.id",
            [dialect.stamp(timezone.now()), False, dialect.rows_parameter(values)],
        )


def forget(addresses: Collection[str]) -> None:
    """What was reported of these addresses up to now counts no more: somebody set them Valid or deleted them."""
    FeedbackEvent.objects.filter(address__in=addresses, counts=True, log_id__isnull=False).update(counts=False)


def repair(rows: Any) -> int:
    """Set these entries (a queryset of QuarantinedAddress) Valid, for good: an outage condemned them. Out: how many.

    Raises nothing; entries that change meanwhile are treated as they are then.
    """
    number = 0
    ids = list(rows.values_list("pk", flat=True))
    for start in range(0, len(ids), CHUNK):
        with transaction.atomic():  # each chunk is told by an entry of its own: chunks before a kill are done
            some = QuarantinedAddress.objects.select_for_update().filter(pk__in=ids[start : start + CHUNK])
            forget(list(some.order_by("address").values_list("address", flat=True)))
            number += some.update(
                status=Status.VALID, errors=0, significant_at=None, by_hand=False, modified_at=timezone.now()
            )
    return number


def clean_up(now: datetime | None = None) -> tuple[int, int]:
    """The daily clean-up. Out: how many Erroneous addresses were set Valid, and how many Valid entries were deleted."""
    now = now or timezone.now()
    stale = Q(significant_at__lt=now - FORGOTTEN) & ~Q(reason=Reason.MAILBOX_FULL)
    stale |= Q(significant_at__lt=now - FORGOTTEN_FULL)
    erroneous = QuarantinedAddress.objects.filter(stale, status=Status.ERRONEOUS)
    valid = QuarantinedAddress.objects.filter(status=Status.VALID, modified_at__lt=now - KEPT_VALID)
    with told_elsewhere():  # nobody's act: time passed
        freed = erroneous.update(status=Status.VALID, errors=0, significant_at=None, modified_at=now)
        return freed, valid.delete()[0]
