"""What moves a confirmed delivery along without anybody acting: its date comes, its rows run out, its validity ends,
the mail server goes and comes back. Every function may be called at any time, again, and by several at once.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Sum
from django.db.models.functions import Now

from campaigns.core import queue
from campaigns.core.kept_text import keep as _
from deliveries.ledger import reports, statuses
from deliveries.ledger.events import log_event
from deliveries.models import Batch, Delivery, DeliveryEvent, SendingLog
from deliveries.models.batch import DUE
from deliveries.models.runs import Run
from deliveries.models.states import ENDED, RUNNING, SENDING, Act, LogStatus, State, advance


def _one(delivery_id: int) -> QuerySet[Delivery]:
    return Delivery.everything.filter(pk=delivery_id)


def start(delivery_id: int) -> bool:
    """Start pending → In progress once the contact date has come; enqueues batches. Out: True if it started now."""
    with transaction.atomic():
        waiting = _one(delivery_id).filter(contact_date__lte=Now(), validity_end__gt=Now())
        # Not while it may be undone, and not so late that somebody must confirm again (auto_start.py).
        waiting = waiting.exclude(undo_until__gt=Now()).exclude(start_by__lte=Now())
        if not advance(waiting, Act.START, started_at=Now()):
            return False
        log_event(delivery_id, "started", _("Sending started."))
        queue.enqueue(queue.Task.ENQUEUE_BATCHES, delivery_id)
    return True


def wake(delivery_id: int) -> None:
    """Retry pending → Retry in progress when rows are due again."""
    due = Batch.objects.filter(DUE, delivery=OuterRef("pk"))
    advance(_one(delivery_id).filter(Exists(due)), Act.RETRY)


def conclude(delivery_id: int) -> None:
    """Finish the delivery if nothing is left to do, or let it await its retries if only those are left."""
    batches = Batch.objects.filter(delivery=OuterRef("pk"))
    idle = _one(delivery_id).filter(~Exists(batches.filter(lease_until__isnull=False)), state__in=SENDING)
    done = idle.filter(~Exists(batches.filter(next_due_at__isnull=False)))
    done = done.exclude(Exists(Run.objects.filter(execution=OuterRef("pk"), ended_at=None)))  # more people come
    resting = idle.filter(~Exists(batches.filter(DUE)), Exists(batches.filter(retrying__gt=0)), hindrance="").exclude(
        Exists(batches.filter(next_due_at__isnull=False, retrying=0))
    )  # waves that are yet to come
    with transaction.atomic():
        if advance(done, Act.FINISH, finished_at=Now(), hindrance="", hindered_since=None):
            _tell_finished(delivery_id)
            return
    first = resting.filter(state=State.IN_PROGRESS)
    with transaction.atomic():
        if advance(first, Act.AWAIT_RETRY):
            number = _sum(delivery_id, "retrying")
            words = _("Every message was tried; %(n)s are tried again later, as their servers asked.", n=number)
            log_event(delivery_id, "awaiting_retries", words, number=number)
            return
    advance(resting, Act.AWAIT_RETRY)


def _sum(delivery_id: int, name: str) -> int:
    return Batch.objects.filter(delivery_id=delivery_id).aggregate(n=Sum(name))["n"] or 0


def _tell_finished(delivery_id: int) -> None:
    doubts = _sum(delivery_id, "in_doubt")
    log_event(delivery_id, "finished", _("Delivery finished."))
    if doubts:
        words = _("%(n)s messages are in doubt: decide whether to send them again or to count them as sent.", n=doubts)
        log_event(delivery_id, "finished_in_doubt", words, severity=DeliveryEvent.Severity.WARNING, number=doubts)


def expire(delivery_id: int) -> bool:
    """Finish a delivery, also a paused one, whose validity is over: unsent rows fail. Out: True if it ended now."""
    with transaction.atomic():
        over = _one(delivery_id).filter(validity_end__lte=Now(), state__in=[*RUNNING, State.PAUSED])
        ended = advance(over, Act.FINISH, finished_at=Now(), hindrance="", hindered_since=None)
        if ended:
            log_event(delivery_id, "validity_over", _("The validity period ended: nothing more is sent."))
    if ended:
        clear_rest(delivery_id)
    return ended


def clear_rest(delivery_id: int) -> None:
    """Settle what an ended delivery has unsent, except what a worker holds: cancelled if stopped, failed if expired."""
    state = _one(delivery_id).values_list("state", flat=True).first()
    if state in (State.STOPPED, State.FAILED):
        statuses.cancel_unsent(delivery_id)
        reports.end_retries(delivery_id, ours_alone=True)
    elif state == State.FINISHED:
        if advance(_one(delivery_id).filter(Exists(_came_back())), Act.REOPEN, finished_at=None):
            queue.enqueue(
                queue.Task.ENQUEUE_BATCHES, delivery_id
            )  # it finished just while a report asked for another try
            return
        number = statuses.expire_unsent(delivery_id)
        if number:
            words = _("%(n)s messages failed: they were not sent when the validity period ended.", n=number)
            log_event(delivery_id, "expired", words, severity=DeliveryEvent.Severity.WARNING, number=number)
            log_event(delivery_id, "finished", _("Delivery finished."))
        reports.end_retries(delivery_id)


def _came_back() -> QuerySet[SendingLog]:
    """Messages of a delivery that came back and may be tried again."""
    decided = SendingLog.objects.filter(status__in=(LogStatus.SENT, LogStatus.FAILED), due_at__isnull=False)
    return decided.filter(batch__delivery=OuterRef("pk"), delivery__validity_end__gt=Now())


def end_retries() -> None:
    """Where the validity is over, nobody tries again what came back; also when nobody was there at that moment."""
    waiting = Batch.objects.filter(delivery=OuterRef("pk"), retrying__gt=0)
    over = Delivery.everything.filter(Exists(waiting), state__in=ENDED, validity_end__lte=Now())
    for delivery_id in list(over.values_list("pk", flat=True)):
        reports.end_retries(delivery_id)


def hinder(delivery_id: int, words: str) -> None:
    """Note what keeps a running delivery from sending; its log tells the beginning once."""
    words = words[:500]
    running = _one(delivery_id).filter(state__in=[*RUNNING, State.PAUSED])
    with transaction.atomic():
        if running.filter(hindrance="").update(hindrance=words, hindered_since=Now()):
            log_event(delivery_id, "hindered", words, severity=DeliveryEvent.Severity.WARNING)
            return
    running.exclude(hindrance=words).update(hindrance=words)


def unhinder(delivery_id: int) -> None:
    """It sends again."""
    with transaction.atomic():
        if _one(delivery_id).exclude(hindrance="").update(hindrance="", hindered_since=None):
            log_event(delivery_id, "unhindered", _("Sending goes on: the mail server takes messages again."))
