"""Runs of a recurrence that land in an execution which is there already (concepts.md, When it leaves): its period is
prepared once, and each later run adds those who have come since, with the content that was prepared.

An addition is a preparation without the parts that concern content: same arbitration, rows in batches of its own. It
may die anywhere and is carried on by another: whoever is in the execution's logs is never added again.
"""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from campaigns.core import formats, queue
from campaigns.core.job_heartbeat import Superseded
from campaigns.core.kept_text import keep as _
from campaigns.models import Message
from campaigns.models.schedule import Recurrence
from deliveries.ledger.errors import Refused
from deliveries.ledger.events import log_event
from deliveries.lifecycle import commands
from deliveries.lifecycle.confirming import rerouting
from deliveries.models import Batch, Delivery, DeliveryEvent, ExclusionCause, ExclusionLog
from deliveries.models.runs import Run
from deliveries.models.states import EDITABLE, PREPARING, RUNNING, Act, LogStatus, Reason, State, advance
from deliveries.preparation import sealing
from deliveries.preparation.prepare import SIGNS
from deliveries.preparation.target import Target
from deliveries.preparation.target_run import TargetRun
from deliveries.preparation.times import validity

from . import slots

logger = logging.getLogger("deliveries.lifecycle.recurrence.runs")

TAKES = RUNNING | {State.PAUSED, State.FINISHED}  # states of an execution that people can be added to


def open_execution(recurrence: Recurrence, series: Delivery, slot: Any) -> Delivery | None:
    """The execution to which the slot's people are added; None if it is to have one of its own.

    Without aggregation each slot has. With it the first of a period has, and one after the content has changed or the
    period's execution was stopped.
    """
    period = recurrence.period(slot)
    if not period or series.executions.filter(slot=slot).exists():
        return None
    of_period = series.executions.filter(period=period, slot__lt=slot).exclude(state__in=(State.STOPPED, State.FAILED))
    newest = of_period.order_by("-slot").first()
    if newest is None:
        return None
    newest.message = recurrence.message
    return None if newest.fingerprint and _changed(newest) else newest


def _changed(execution: Delivery) -> list[str]:
    """What differs from what was prepared, and from what stood around it when it was confirmed."""
    return [*sealing.changed_since_prepared(execution), *rerouting.differing(execution)]


def add_run(series: Delivery, execution: Delivery, slot: Any, *, late: bool) -> None:
    """Note that the slot's people are to be added to the execution; the sweeper sets a worker going on it."""
    over = timezone.now() if late or not execution.preparation else None  # a preparation yet to come has them anyway
    _run, new = Run.objects.get_or_create(series=series, slot=slot, defaults={"execution": execution, "ended_at": over})
    if new and late:
        words = _("A run was missed, since the system was down; the next one adds whom it would have added.")
        log_event(execution, "run_missed", words, severity=DeliveryEvent.Severity.WARNING, slot=slot.isoformat())


def silent() -> QuerySet[Delivery]:
    """Executions with runs that nobody adds: the sweeper enqueues each."""
    waiting = Run.objects.filter(execution=OuterRef("pk"), ended_at=None)
    return Delivery.objects.filter(Exists(waiting.filter(begun_at=None)) | Exists(waiting) & SIGNS.silent)


def run(execution_id: int) -> None:
    """Add the people of the execution's open runs. May be called at any time, again, and by two at once."""
    delivery = Delivery.objects.select_related("message__campaign").filter(pk=execution_id).first()
    runs = Run.objects.filter(execution=execution_id, ended_at=None)
    if delivery is None or delivery.state in PREPARING or not runs.exists():
        return
    if delivery.state in EDITABLE:
        _prepare_again(delivery, runs)
    elif delivery.state not in TAKES:
        runs.update(ended_at=timezone.now())
    elif (addition := _take(delivery, runs)) is not None:
        try:
            addition.run()
        except Superseded:
            logger.info("DM%s: somebody else adds its runs, or it was stopped", execution_id)


def _prepare_again(delivery: Delivery, runs: QuerySet[Run]) -> None:
    """Nothing has left yet, say because it waits for somebody: a new preparation takes everybody."""
    runs.update(ended_at=timezone.now())
    try:
        commands.prepare_by_schedule(delivery)
    except (Refused, PermissionDenied) as error:
        logger.warning("%s could not be prepared again: %s", delivery, error)


def _take(delivery: Delivery, runs: QuerySet[Run]) -> Addition | None:
    """Become the one who adds; None if somebody else does, or if they would get what nobody confirmed for them.

    What is added leaves without being asked for, so it is compared here, under the message's lock, with the execution
    that somebody confirmed; and the addition reads the audience as it was compared.
    """
    with transaction.atomic():
        delivery.message = Message.objects.select_for_update().get(pk=delivery.message_id)
        delivery.refresh_from_db(fields=["fingerprint", "around", "preparation", "preparation_at", "state"])
        if changed := _changed(delivery):
            _set_apart(delivery, runs, changed)
            return None
        message = delivery.message
        here = Delivery.objects.filter(pk=delivery.pk, preparation=delivery.preparation, state__in=TAKES)
        begun = runs.filter(begun_at__isnull=False).exists()
        if begun and not SIGNS.is_silent(delivery.preparation_at):
            return None
        if not here.update(preparation=F("preparation") + 1, preparation_at=timezone.now()):
            return None
        ids = list(runs.values_list("pk", flat=True))
        runs.update(begun_at=timezone.now())
        delivery.refresh_from_db()
    delivery.message = message
    return Addition(delivery, ids)


def _set_apart(delivery: Delivery, runs: QuerySet[Run], changed: list[str]) -> None:
    """Have an execution of its own for runs whose form changed after they were noted; the sweeper prepares it."""
    last = runs.order_by("slot").last()
    recurrence = Recurrence.objects.select_related("message").filter(message=delivery.message_id).first()
    series = delivery.parent
    runs.update(ended_at=timezone.now())
    if last is None or recurrence is None or series is None:
        return
    when, names = formats.moment(last.slot, recurrence.time_zone), ", ".join(changed)
    words = _("The run of %(when)s is an execution of its own, since this changed: %(names)s.", when=when, names=names)
    log_event(delivery, "run_apart", words, severity=DeliveryEvent.Severity.WARNING)
    slots.make(recurrence, series, last.slot)


class Addition:
    """Some runs, added to an execution that is being sent, or was.

    The state stays that of the sending, the content was checked when the period was prepared, and all are due now.
    """

    def __init__(self, delivery: Delivery, runs: list[int]) -> None:
        self.delivery, self.message, self.number = delivery, delivery.message, delivery.preparation
        self.due_at, self.runs = timezone.now(), runs
        self.target_run = TargetRun(delivery, delivery.message, self.due_at, self)

    @property
    def mine(self) -> QuerySet[Delivery]:
        """The execution's row as long as nobody else adds to it, and it takes people."""
        return Delivery.objects.filter(pk=self.delivery.pk, preparation=self.number, state__in=TAKES)

    def run(self) -> None:
        """Who has come since, without those who are left out. Raises Superseded."""
        with Target(added_to=self.delivery.pk) as target:
            self.target_run.count(target)
            self.target_run.arbitrate(target)
            with transaction.atomic():
                self.alive()
                self.target_run.tell()
            last = Batch.objects.filter(delivery=self.delivery).order_by("-number").first()
            target.first_batch = last.number + 1 if last else 0
            self.target_run.write(target)
        self.finish()
        queue.enqueue(queue.Task.ENQUEUE_BATCHES, self.delivery.pk)

    def alive(self, **changes: Any) -> None:
        """Give a sign of life and change the row; with people, in the same transaction, the execution goes on if it
        had finished. Raises Superseded."""
        SIGNS.give(self.mine, **changes)
        if "to_deliver" not in changes:
            return
        limit = validity.sending_limit(self.message, self.due_at)
        self.mine.filter(validity_end__lt=limit).update(validity_end=limit)
        advance(self.mine.filter(to_deliver__gt=self.delivery.to_deliver), Act.REOPEN, finished_at=None)

    def progress(self, percent: int) -> None:
        """Give a sign of life: the ring shows the sending's progress, not this. Raises Superseded."""
        self.alive()

    def finish(self) -> None:
        """The causes counted anew, the runs ended, and a line in the log. Raises Superseded."""
        added, left_out = self.target_run.to_deliver, self.target_run.left_out
        with transaction.atomic():
            self.alive()
            for found in self.target_run.excluded:
                ExclusionCause.objects.update_or_create(
                    delivery=self.delivery,
                    cause=found.cause,
                    rule=found.rule,
                    defaults={"rule_label": found.rule_label, "volume": self._volume(found.cause, found.rule)},
                )
            open_runs = Run.objects.filter(pk__in=self.runs).order_by("slot")
            last = open_runs.last()
            open_runs.update(ended_at=timezone.now())
            if last is not None:
                Run.objects.filter(pk=last.pk).update(added=added)
            words = _("A run added %(added)s to deliver; %(left_out)s were left out.", added=added, left_out=left_out)
            log_event(self.delivery.pk, "run_added", words, added=added, excluded=left_out)

    def _volume(self, cause: Reason, rule: int) -> int:
        if cause == Reason.CONTROL_GROUP:
            return self.delivery.sending_logs.filter(status=LogStatus.IGNORED, batch=None).count()
        return ExclusionLog.objects.filter(delivery=self.delivery, cause=cause, rule=rule).count()
