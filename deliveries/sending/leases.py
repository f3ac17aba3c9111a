"""Leases on batches, and the windows of rows that a lease claims (architecture.md, Sending without loss).

A lease is one row of the database: its fence rises each time the batch is taken, and every later statement of the
holder checks it. Nothing here talks SMTP, and no transaction outlives a function. Lock order: the batch, then its rows.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from campaigns.models.people import consent
from deliveries.models import Batch
from deliveries.models.batch import DUE
from deliveries.models.states import SENDING, LogStatus
from deliveries.models.storage import dialect, partition_lookup

CLAIMS_SUSPECT = 3  # a row claimed so often without an outcome is claimed alone: it may be what kills the worker
CLAIMS_POISON = 5  # and is given up


class LeaseLost(Exception):
    """Somebody else holds the batch now: nothing was changed, nothing more may be sent."""


@dataclass(slots=True)
class Lease:
    """A batch held by this process. `state` and `hindered` are the delivery's, as of the last look."""

    batch_id: int
    delivery_id: int
    fence: int
    until: float = 0.0  # of _clock(); the database's own limit lies a little later
    state: int = 0
    hindered: bool = False

    @property
    def alive(self) -> bool:
        """False when the lease may have run out: then not another message may be begun."""
        return _clock() < self.until

    @property
    def may_send(self) -> bool:
        """The delivery was sending at the last look, and the batch is surely ours."""
        return self.state in SENDING and self.alive


class Claimed(NamedTuple):
    """A row to send, joined with what is known now about its recipient."""

    log_id: int
    address: str
    attempts: int
    claims: int
    quarantine: int | None  # QuarantinedAddress.Status
    opt_out: bool | None
    opt_out_email: bool | None
    mailbox_out: bool  # a letter's link has taken the address out, whoever has it
    fields: tuple[Any, ...]  # the profile columns asked for, in that order


def _clock() -> float:
    """Seconds that go on while the machine sleeps: a lease does not wait for a suspended host."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _due_by(started_at: str) -> str:
    """SQL for the time by which something must be due to be due now. What was due when the sending began stays so,
    also when the clock is set back meanwhile."""
    latest = "MAX" if connection.vendor == "sqlite" else "GREATEST"
    return f"{latest}({dialect.now()}, COALESCE({started_at}, {dialect.now()}))"


def take(batch_id: int) -> Lease | None:
    """Lease the batch if it is free and has due rows, or if its holder is dead; the caller holds its BatchLock.

    The lock proves that nobody on this host works on it, so a lease of this host is taken over at once. A dead
    holder's batch is taken whatever the delivery's state: its claimed rows must be settled. Out: None if not taken.
    """
    until = _clock() + settings.LEASE_SECONDS
    sending = ", ".join(map(str, SENDING))
    sql = f"""
        UPDATE deliveries_batch
        SET fence = fence + 1, holder = %s, lease_until = {dialect.in_seconds(settings.LEASE_SECONDS)}
        WHERE id = %s AND (
            lease_until IS NOT NULL AND (holder = %s OR lease_until <= {dialect.now()})
            OR lease_until IS NULL AND NOT gated
               AND delivery_id IN (SELECT id FROM deliveries_delivery
                                   WHERE state IN ({sending}) AND validity_end > {dialect.now()}
                                     AND next_due_at <= {_due_by("started_at")}))
        RETURNING delivery_id, fence"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [settings.HOST_ID, batch_id, settings.HOST_ID])
        row = cursor.fetchone()
    if row is None:
        return None
    lease = Lease(batch_id, row[0], row[1], until)
    renew(lease)
    return lease


def renew(lease: Lease) -> None:
    """Check the fence, prolong the lease and look at the delivery. First statement of whatever the holder changes: it
    locks the batch. Raises LeaseLost."""
    until = _clock() + settings.LEASE_SECONDS
    of_delivery = "FROM deliveries_delivery d WHERE d.id = delivery_id"
    sql = f"""
        UPDATE deliveries_batch SET lease_until = {dialect.in_seconds(settings.LEASE_SECONDS)}
        WHERE id = %s AND fence = %s AND lease_until IS NOT NULL
        RETURNING (SELECT state {of_delivery}), (SELECT hindrance <> '' {of_delivery})"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [lease.batch_id, lease.fence])
        row = cursor.fetchone()
    if row is None:
        lease.until = 0.0
        raise LeaseLost(f"batch {lease.batch_id}, fence {lease.fence}")
    lease.until, lease.state, lease.hindered = until, row[0], bool(row[1])


# What may be claimed: rows that wait, and those whose message came back and is tried again (reports.py).
CLAIMABLE = (LogStatus.PENDING, LogStatus.SENT, LogStatus.FAILED)
_HELD = "due_at IS NOT NULL"  # as are all claimed rows: it lets the index of due rows find them
_CLAIMABLE = f"status IN ({', '.join(f'{status:d}' for status in CLAIMABLE)})"
# A letter's link switches whoever has the address (campaigns/consent/changes.py): only where the profile is gone or has
# another address since, it must be looked for.
_MAILBOX_OUT = f"((p.email IS NULL OR p.email <> l.address) AND {consent.is_held('LOWER(l.address)', 'l.profile_id')})"
_WAITS = f"l.{_CLAIMABLE} AND l.claim_fence IS NULL"


def claim(lease: Lease, limit: int, columns: tuple[str, ...] = ()) -> list[Claimed]:
    """Mark up to `limit` due rows with the lease's fence and return them, in one transaction. Raises LeaseLost.

    In: names of profile columns that the message needs. Out: empty if nothing is due, or the delivery does not send
    now. Rows that were claimed CLAIMS_SUSPECT times without an outcome come last and one at a time.
    """
    with transaction.atomic():
        renew(lease)
        if not lease.may_send:
            return []
        rows = _due(lease.batch_id, f"l.claims < {CLAIMS_SUSPECT}", limit, columns)
        rows = rows or _due(lease.batch_id, f"l.claims >= {CLAIMS_SUSPECT}", 1, columns)
        taken = _mark(lease, [row[0] for row in rows])
    return [Claimed._make((*row[:8], row[8:])) for row in rows if row[0] in taken]


def _due(batch_id: int, among: str, limit: int, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    picked = "".join(f", p.{connection.ops.quote_name(column)}" for column in columns)
    of_batch = f"SELECT delivery_id FROM deliveries_batch WHERE id = {batch_id:d}"
    started_at = f"(SELECT started_at FROM deliveries_delivery WHERE id = ({of_batch}))"
    sql = f"""
        SELECT l.id, l.address, l.attempts, l.claims, q.status, p.opt_out, p.opt_out_email, {_MAILBOX_OUT}{picked}
        FROM {partition_lookup.of_batch(batch_id)} l
        LEFT JOIN campaigns_profile p ON p.id = l.profile_id
        LEFT JOIN deliveries_quarantinedaddress q ON q.address = l.address
        WHERE l.batch_id = %s AND l.due_at <= {_due_by(started_at)} AND {_WAITS} AND {among}
        ORDER BY l.due_at LIMIT %s"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [batch_id, limit])
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _mark(lease: Lease, ids: list[int]) -> set[int]:
    """Claim these rows; out: those that still waited."""
    if not ids:
        return set()
    matches, parameter = dialect.one_of(ids)
    sql = f"""
        UPDATE {partition_lookup.of_batch(lease.batch_id)} AS l SET claim_fence = %s, claims = claims + 1
        WHERE id {matches} AND {_WAITS} RETURNING id"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [lease.fence, parameter])
        return {row[0] for row in cursor.fetchall()}


def unclaim(lease: Lease, ids: list[int], fence: int) -> None:
    """Make rows claimed under `fence` due again, their claims counted: the worker that held them died."""
    matches, parameter = dialect.one_of(ids)
    sql = f"""
        UPDATE {partition_lookup.of_batch(lease.batch_id)} SET claim_fence = NULL
        WHERE id {matches} AND claim_fence = %s AND {_CLAIMABLE}"""
    with transaction.atomic():
        renew(lease)
        with connection.cursor() as cursor:
            cursor.execute(sql, [parameter, fence])


def forgive(lease: Lease) -> None:
    """Do not count the lease's claims against its rows: what ended it was none of their doing. Raises LeaseLost."""
    sql = f"""
        UPDATE {partition_lookup.of_batch(lease.batch_id)} SET claims = claims - 1
        WHERE batch_id = %s AND claim_fence = %s AND {_HELD} AND {_CLAIMABLE}"""
    with transaction.atomic():
        renew(lease)
        with connection.cursor() as cursor:
            cursor.execute(sql, [lease.batch_id, lease.fence])


def put_off(lease: Lease, waits: list[tuple[int, float]]) -> None:
    """Give claimed rows back, as if never claimed, not to be tried before so many seconds have passed.

    In: (sending log, seconds) of rows that carry the lease's fence. Raises LeaseLost.
    """
    now = timezone.now()
    columns: dict[str, type] = {"log_id": int, "due": datetime}
    sql = f"""
        UPDATE {partition_lookup.of_batch(lease.batch_id)} AS l
        SET claim_fence = NULL, claims = l.claims - 1, due_at = r.due
        FROM {dialect.rows(columns)} r WHERE l.id = r.log_id AND l.claim_fence = %s AND l.{_CLAIMABLE}"""
    with transaction.atomic():
        renew(lease)
        rows = dialect.rows_parameter((log_id, now + timedelta(seconds=wait)) for log_id, wait in waits)
        with connection.cursor() as cursor:
            cursor.execute(sql, [rows, lease.fence])


def release(lease: Lease, put_off: float = 0.0) -> bool:
    """Give the batch back in good order: rows claimed and not begun wait again, as if never claimed.

    In: `put_off` seconds before its due rows may be taken. Out: False if the lease was lost, and nothing changed.
    After True no row carries this fence: the journals of this lease and of older ones are of no more use.
    """
    logs = partition_lookup.of_batch(lease.batch_id)
    first = f"SELECT due_at FROM {logs} WHERE batch_id = %s AND due_at IS NOT NULL ORDER BY 1 LIMIT 1"
    try:
        with transaction.atomic():
            renew(lease)
            with connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {logs} SET claim_fence = NULL, claims = claims - 1 "
                    f"WHERE batch_id = %s AND claim_fence = %s AND {_HELD} AND {_CLAIMABLE}",
                    [lease.batch_id, lease.fence],
                )
                cursor.execute(
                    f"UPDATE deliveries_batch SET lease_until = NULL, holder = '', next_due_at = ({first}) "
                    "WHERE id = %s",
                    [lease.batch_id, lease.batch_id],
                )
    except LeaseLost:
        return False
    lease.until = 0.0
    if put_off:
        put_off_due(lease.delivery_id, put_off)
    return True


def put_off_due(delivery_id: int, seconds: float) -> None:
    """Let nobody take the delivery's due batches before `seconds` have passed; those held are left alone."""
    sql = f"""
        UPDATE deliveries_batch SET next_due_at = {dialect.in_seconds(seconds)}
        WHERE delivery_id = %s AND lease_until IS NULL AND next_due_at < {dialect.in_seconds(seconds)}"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [delivery_id])


def due(delivery_id: int) -> Iterator[int]:
    """The delivery's batches that could be taken now, one by one, asked anew each time; each at most once."""
    last = 0
    free = Batch.objects.filter(DUE, delivery_id=delivery_id, gated=False)
    free = free.filter(Q(lease_until=None) | Q(lease_until__lte=Now())).order_by("pk")
    while batch := free.filter(pk__gt=last).only("pk").first():
        yield batch.pk
        last = batch.pk


def place_among_senders(batch_id: int, routing_id: int) -> tuple[int, int]:
    """Where a leased batch stands among those that are sent by a routing now. Out: (place from 0, number)."""
    leased = Batch.objects.filter(delivery__routing_id=routing_id, lease_until__gt=Now())
    held = sorted({batch_id, *leased.values_list("pk", flat=True)})
    return held.index(batch_id), len(held)
