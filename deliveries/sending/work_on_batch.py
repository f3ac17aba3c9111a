"""Works on batches: takes one, settles what a dead worker left, sends its due rows (sender.py), gives it back; and says
in words what stands in the way (architecture.md, Sending without loss)."""

from __future__ import annotations

import logging
from itertools import chain, islice
from pathlib import Path
from time import monotonic

from django.conf import settings
from django.db import DatabaseError

from campaigns.content.problems import ContentError
from campaigns.core import queue
from campaigns.core.domains import BadAddress
from campaigns.core.web.log_context import about
from deliveries.lifecycle import progress
from deliveries.lifecycle.confirming import rerouting
from deliveries.mail.smtp.transport import ServerUnavailable
from deliveries.models import Batch, Delivery
from deliveries.models.host import heartbeat
from deliveries.models.states import ENDED, SENDING

from . import connections, leases, recovery
from .compose_proof import composer
from .connections import Hindered
from .journal import BatchLock, Journal, JournalFailed
from .leases import Lease, LeaseLost
from .sender import Sender

logger = logging.getLogger("deliveries.sending.work_on_batch")

PUT_OFF = 10.0  # seconds until a hindrance on our side is looked at again
PUT_OFF_SENDER = 60.0  # … and the server's refusal of us
PUT_OFF_FAULT = 60.0  # … and a fault of the program
SLOWEST_PROBE = 30.0  # … and a server that is down


def send(batch_id: int) -> None:
    """Work on a batch, then on others of its delivery, until nothing is due or the task's budget is used up.

    Safe to call at any time and twice at once: a batch that is not free or has nothing due is passed over.
    """
    batch = Batch.objects.filter(pk=batch_id).only("delivery_id").first()
    if batch is None:
        return
    deadline = monotonic() + settings.TASK_BUDGET_SECONDS
    progress.wake(batch.delivery_id)
    for candidate in chain([batch_id], leases.due(batch.delivery_id)):
        with about(delivery=batch.delivery_id, batch=candidate):
            if monotonic() >= deadline or heartbeat.stopping() or not _work_on(candidate, deadline):
                break
    for left in islice(leases.due(batch.delivery_id), 1):
        queue.enqueue(queue.Task.SEND_BATCH, left)
    progress.conclude(batch.delivery_id)


def _work_on(batch_id: int, deadline: float) -> bool:
    """Out: whether to go on with the delivery's other batches."""
    directory = Path(settings.JOURNAL_DIR)
    try:
        lock = BatchLock.acquire(directory, batch_id)
    except OSError as error:
        _hinder_batch(batch_id, f"The journal directory cannot be written: {error.strerror}.")
        return False
    if lock is None:
        return True
    with lock:
        try:
            return _hold(batch_id, lock, deadline)
        except LeaseLost:
            return False


def _hold(batch_id: int, lock: BatchLock, deadline: float) -> bool:
    """Lease the batch, do what is to be done, give it back. Out: as _work_on. Raises LeaseLost."""
    lease = leases.take(batch_id)
    if lease is None or not _recover(lease, lock.directory):
        return lease is None
    try:
        put_off = _serve(lease, lock.directory, deadline) if lease.may_send else 0.0
    except DatabaseError:
        raise  # nothing can be settled now; the next to take the batch will
    except Exception:
        lease, put_off = _after_fault(lease, lock.directory), PUT_OFF_FAULT
    if leases.release(lease, put_off):
        lock.unlink_journals()
    if lease.state in ENDED:
        progress.clear_rest(lease.delivery_id)
    return not put_off and lease.state in SENDING


def _after_fault(lease: Lease, directory: Path) -> Lease:
    """Something in the program broke, not on one recipient: settle from the journal what was under way, as after a
    death, and count it against nobody. Out: the new lease. Raises LeaseLost."""
    logger.exception("batch %s: the sending broke off", lease.batch_id)
    words = "The sending broke off by a fault of the program, which the workers' log describes."
    progress.hinder(lease.delivery_id, words)
    leases.forgive(lease)
    again = leases.take(lease.batch_id)
    if again is None or not _recover(again, directory):
        raise LeaseLost(f"batch {lease.batch_id}")
    return again


def _hinder_batch(batch_id: int, words: str) -> None:
    delivery_id = Batch.objects.values_list("delivery_id", flat=True).get(pk=batch_id)
    progress.hinder(delivery_id, words)
    leases.put_off_due(delivery_id, PUT_OFF)


def _recover(lease: Lease, directory: Path) -> bool:
    """Settle what a dead worker left. Out: False if that cannot be done now; then the batch stays as it is."""
    try:
        recovery.recover(lease, directory)
    except LeaseLost:
        return False
    except JournalFailed as error:
        progress.hinder(lease.delivery_id, f"A journal cannot be read: {error}")
        return False
    return True


def _serve(lease: Lease, directory: Path, deadline: float) -> float:
    """Send the batch's due rows. Out: for how many seconds to put the delivery off because something is in the way."""
    delivery = Delivery.everything.select_related("routing", "campaign").get(pk=lease.delivery_id)
    try:
        # The journal is there before the first row is claimed: where it is missing, it was never on that host.
        journal = Journal.open(directory, lease.batch_id, lease.fence)
        try:
            return _send_rows(lease, delivery, journal, deadline)
        finally:
            journal.close()
    except JournalFailed as error:
        progress.hinder(lease.delivery_id, f"The journal cannot be written: {error}")
        return PUT_OFF


def _send_rows(lease: Lease, delivery: Delivery, journal: Journal, deadline: float) -> float:
    if rerouting.halts(delivery):
        return PUT_OFF
    try:
        transport = connections.transport(delivery.routing)
        if delivery.routing and delivery.routing.domain_limits:  # they hold for all workers of all hosts together
            place = leases.place_among_senders(lease.batch_id, delivery.routing.pk)
            connections.pace(delivery.routing).share(*place)
        relays = delivery.feedback_service
        sender = Sender(lease, composer(delivery), journal, deadline, delivery.routing, relays=relays)
        sender.run(transport)
    except Hindered as error:
        progress.hinder(delivery.pk, str(error))
        return PUT_OFF
    except (ContentError, BadAddress) as error:
        progress.hinder(delivery.pk, f"The content that was prepared cannot be built: {error}")
        return PUT_OFF_SENDER
    except ServerUnavailable as error:
        server = f"{delivery.routing.host}:{delivery.routing.port}" if delivery.routing else ""
        progress.hinder(delivery.pk, f"The mail server {server} cannot be used: {error.text}")
        return min(SLOWEST_PROBE, error.retry_after)
    if sender.journal_error is not None:
        raise sender.journal_error
    if sender.refused_us:
        progress.hinder(delivery.pk, sender.refused_us)
        return PUT_OFF_SENDER
    return 0.0
