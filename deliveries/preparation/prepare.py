"""Prepares a delivery in the background: counts the target, leaves out whom it must, makes the sending logs.

A preparation has a number, on which every change of state and every transaction that writes rows depends: one that was
stopped, or whose work another took over, cannot go on. Rows of an unfinished preparation may stay behind when its
worker is killed; whoever prepares or clears next deletes them first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, prefetch_related_objects
from django.utils import timezone

from campaigns.content.problems import Problem
from campaigns.core import formats, secret_keys
from campaigns.core.job_heartbeat import SignsOfLife, Superseded
from campaigns.core.kept_text import KeptText
from campaigns.core.kept_text import keep as _
from campaigns.models import Message
from campaigns.targeting import audiences
from deliveries.ledger.events import log_event
from deliveries.models import Batch, Delivery, DeliveryEvent, ExclusionCause, ExclusionLog, SendingLog
from deliveries.models.states import PREPARING, Act, LogStatus, State, advance
from deliveries.preparation.times import send_times, validity
from deliveries.preparation.unattended import newcomers, unasked

from . import control_rules, sealing, traps
from .control_rules import Facts, Phase
from .snapshot import snapshot
from .target import Target
from .target_run import ARBITRATED, COUNTED, TargetRun

logger = logging.getLogger("deliveries.preparation.prepare")

DELETED_AT_ONCE, DELETED_BATCHES = 20_000, 4  # in one transaction
_LOG = SendingLog._meta.db_table
Severity = DeliveryEvent.Severity
SIGNS = SignsOfLife("preparation_at")  # of a preparation, and of a run that is added
_CLEARABLE = frozenset({State.EDITING, State.PREPARATION_FAILED})


class Broken(Exception):
    """A control rule found errors; `problems` are all of that phase."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def run(delivery_id: int) -> None:
    """Prepare the delivery: Targeting pending → … → Ready, or Preparation failed with every error in its log.

    Does nothing unless a preparation waits, or runs without a sign of life for a minute. Safe to call again after any
    kind of death, and by two workers at once.
    """
    preparation = _take(delivery_id)
    if preparation is None:
        return
    try:
        preparation.run()
    except Superseded:
        logger.info("DM%s: preparation %s was stopped", delivery_id, preparation.number)
        clear(delivery_id)
    except Broken as error:
        preparation.fail(error.problems)
    except Exception:
        logger.exception("DM%s: preparation %s broke off", delivery_id, preparation.number)
        words = _(
            "The preparation broke off by a fault of the program, which the server's log describes. Prepare again."
        )
        preparation.fail([Problem("Preparation", 0, words, code="fault")])


def silent() -> QuerySet[Delivery]:
    """Deliveries whose preparation nobody carries on: the sweeper enqueues each."""
    return Delivery.objects.filter(SIGNS.silent, state__in=PREPARING)


def left_over() -> QuerySet[Delivery]:
    """Deliveries whose preparation was stopped or failed and left rows that nobody deletes: the sweeper enqueues
    each."""
    some = Q()
    for model in (Batch, ExclusionLog, ExclusionCause):
        some |= Q(Exists(model.objects.filter(delivery=OuterRef("pk"))))
    return Delivery.objects.filter(SIGNS.silent, some, state__in=_CLEARABLE)


def void(delivery_id: int) -> None:
    """Take what an earlier preparation made out of the figures, in the caller's transaction; `clear` deletes it."""
    Delivery.objects.filter(pk=delivery_id).update(targeted=0, excluded=0, to_deliver=0)
    Batch.objects.filter(delivery_id=delivery_id).update(total=0, pending=0, next_due_at=None)


def clear(delivery_id: int) -> None:
    """Delete the rows of a preparation that was stopped or failed; nothing if the delivery has moved on since."""
    try:
        _delete_rows(delivery_id, Delivery.objects.filter(pk=delivery_id, state__in=_CLEARABLE))
    except Superseded:
        logger.info("DM%s: not cleared, since it is in use again", delivery_id)


def _take(delivery_id: int) -> Preparation | None:
    """Become the one who carries the preparation on; None if nobody is needed.

    Seal and content are read here, under the message's lock: an edit from now on shows as a change, and what the
    preparation reads of the message later is what was sealed.
    """
    names = audiences.attribute_names()
    with transaction.atomic():
        delivery = Delivery.objects.filter(pk=delivery_id, state__in=PREPARING).first()
        if delivery is None:
            return None
        message = Message.objects.select_for_update().get(pk=delivery.message_id)
        prefetch_related_objects([message], "traps")
        here = Delivery.objects.filter(pk=delivery_id, preparation=delivery.preparation)
        fingerprint = sealing.fingerprint(delivery, message)
        agreed = unasked.terms(delivery, message, fingerprint)
        also = {
            "fingerprint": fingerprint,
            "content": snapshot(message, names),
            "routing": sealing.routing_of(delivery),
            "preparation_at": timezone.now(),
            "progress": 0,
            "token_key": secret_keys.present_name(),
            **agreed.fields,
        }
        waiting = advance(here, Act.COUNT, **also)
        if not waiting and not advance(
            here & silent(), Act.TAKE_OVER_PREPARATION, preparation=F("preparation") + 1, **also
        ):
            return None
        void(delivery_id)
        agreed.tell(delivery_id)
        delivery.refresh_from_db()
    delivery.message = message
    return Preparation(delivery, message)


class Preparation:
    """One run: a delivery, the number of its preparation, and the message as it was sealed."""

    def __init__(self, delivery: Delivery, message: Message) -> None:
        self.delivery, self.message, self.number = delivery, message, delivery.preparation
        self.due_at: datetime = validity.contact_date(message, timezone.now())
        self.target_run = TargetRun(delivery, message, self.due_at, self)
        self.facts = Facts(delivery, message, self.due_at)
        self.warnings = 0
        self.started = time.monotonic()

    @property
    def mine(self) -> QuerySet[Delivery]:
        """The delivery's row as long as this preparation is the current one."""
        return Delivery.objects.filter(pk=self.delivery.pk, preparation=self.number, state__in=PREPARING)

    def run(self) -> None:
        """All steps, in their order. Raises Superseded, Broken."""
        _delete_rows(self.delivery.pk, self.mine)
        self.check(Phase.START_OF_TARGETING)
        with self.people() as target:
            self.target_run.count(target)
            self.step(Act.ARBITRATE, progress=COUNTED)
            self.arbitrate(target)
            self.check(Phase.AFTER_TARGETING)
            self.step(Act.AWAIT_PERSONALIZATION)
            self.step(Act.PERSONALIZE)
            self.check(Phase.START_OF_PERSONALIZATION)
            self.set_traps(target)
            self.target_run.write(target)
            self.spread(target)
        self.finish()

    def step(self, act: Act, **also: Any) -> None:
        """Carry out `act`. Raises Superseded."""
        if not advance(self.mine, act, preparation_at=timezone.now(), **also):
            raise Superseded

    def alive(self, **changes: Any) -> None:
        """Give a sign of life and change the row, which stays locked to the transaction's end. Raises Superseded."""
        SIGNS.give(self.mine, **changes)

    def progress(self, percent: int) -> None:
        """Turn the progress ring. Raises Superseded."""
        self.alive(progress=percent)

    def log(self, code: str, words: str, severity: int = Severity.INFO, **details: Any) -> None:
        """Append a line to the delivery's log."""
        log_event(self.delivery.pk, code, words, severity=severity, **details)

    def check(self, phase: Phase) -> None:
        """Ask the control rules of `phase`; warnings go to the log. Raises Broken if there is an error."""
        self.alive()
        problems = control_rules.check(phase, self.facts)
        for problem in problems:
            if problem.severity == "warning":
                self.warnings += 1
                self.log(problem.code, problem.sentence, Severity.WARNING, where=problem.where, line=problem.line)
        errors = [problem for problem in problems if problem.severity == "error"]
        if errors:
            raise Broken(errors)

    def arbitrate(self, target: Target) -> None:
        """Leave out whom every cause takes: Target ready, with a line in the log for each. Raises Superseded."""
        self.target_run.arbitrate(target)
        self.facts.to_deliver = self.target_run.to_deliver
        with transaction.atomic():
            self.step(Act.TARGET, progress=ARBITRATED)
            self.target_run.tell()

    def set_traps(self, target: Target) -> None:
        """Write the sending logs of the message's traps. Raises Superseded."""
        reachable, refused = traps.reachable(self.message)
        with transaction.atomic():
            number = traps.write(self.delivery.pk, reachable, self.due_at, target.batch_size)
            self.alive(targeted=F("targeted") + number, to_deliver=F("to_deliver") + number)
            if number:
                words = _("Traps: %(n)s test profiles get it together with the target.", n=number)
                self.log("traps", words, number=number)
            for trap in refused:
                self.warnings += 1
                words = _("The trap %(trap)s gets nothing: its address is in quarantine or was opted out.", trap=trap)
                self.log("trap-quarantined", words, Severity.WARNING)
        self.facts.to_deliver += number

    def people(self) -> Target:
        """Nobody yet."""
        schedule = getattr(self.message, "schedule", None)
        self.due_times = send_times.spread_of(schedule, self.facts.content["fields"], self.target_run.going_on)
        return Target(self.due_times)

    def spread(self, target: Target) -> None:
        """Note when the first and the last row is due. Raises Superseded."""
        own = target.due_times()
        with transaction.atomic():
            first, last = own or (self.due_at, self.due_at)
            self.alive(first_due_at=first, last_due_at=last)
            target.tell_batches(self.delivery.pk)
            if own:
                words = _(
                    "Due by the recipients' own times: the first %(first)s, the last %(last)s.",
                    first=formats.moment(first),
                    last=formats.moment(last),
                )
                self.log("spread", words, first=first.isoformat(), last=last.isoformat())
            if number := self.due_times.unreadable if self.due_times else 0:
                self.warnings += 1
                words = _(
                    "The date formula gives no date for %(number)s people: their date is the contact date.",
                    number=number,
                )
                self.log("date-unreadable", words, Severity.WARNING, number=number)

    def finish(self) -> None:
        """Ready: the causes, zeros included, and a last line with the numbers. Raises Superseded."""
        to_deliver, left_out = self.facts.to_deliver, self.target_run.left_out
        newcomers.tell(self.delivery)
        with transaction.atomic():
            self.step(Act.FINALIZE)
            ExclusionCause.objects.bulk_create(
                ExclusionCause(delivery=self.delivery, **found._asdict()) for found in self.target_run.excluded
            )
            self.step(Act.MAKE_READY, progress=100, prepared_at=timezone.now())
            self.log(
                "preparation_finished",
                _(
                    "Preparation complete in %(seconds)s s: %(n)s to deliver, %(left_out)s left out; %(tally)s.",
                    seconds=f"{self.seconds:.1f}",
                    n=to_deliver,
                    left_out=left_out,
                    tally=_tally(0, self.warnings),
                ),
                Severity.WARNING if self.warnings else Severity.INFO,
                errors=0,
                warnings=self.warnings,
                to_deliver=to_deliver,
                excluded=left_out,
            )

    def fail(self, problems: Sequence[Problem]) -> None:
        """Preparation failed: each problem in the log, then their number; no rows stay."""
        with transaction.atomic():
            if not advance(self.mine, Act.FAIL_PREPARATION, progress=0):
                return
            void(self.delivery.pk)
            for problem in problems:
                self.log(problem.code, problem.sentence, Severity.ERROR, where=problem.where, line=problem.line)
            self.log(
                "preparation_failed",
                _(
                    "Preparation failed after %(seconds)s s: %(tally)s. Nothing was sent. "
                    "Mend what the lines before this one say, and prepare again.",
                    seconds=f"{self.seconds:.1f}",
                    tally=_tally(len(problems), self.warnings),
                ),
                Severity.ERROR,
                errors=len(problems),
                warnings=self.warnings,
            )
        clear(self.delivery.pk)

    @property
    def seconds(self) -> float:
        """How long this run has taken."""
        return time.monotonic() - self.started


def _tally(errors: int, warnings: int) -> KeptText:
    return _(
        "%(errors)s, %(warnings)s",
        errors=_("1 error") if errors == 1 else _("%(n)s errors", n=errors),
        warnings=_("1 warning") if warnings == 1 else _("%(n)s warnings", n=warnings),
    )


def _delete_rows(delivery_id: int, guard: QuerySet[Delivery]) -> None:
    """Delete all rows of a preparation, some at a time. Raises Superseded once `guard` no longer finds the delivery."""
    more = True
    while more:
        with transaction.atomic():
            SIGNS.give(guard)
            more = _delete_some(delivery_id)


def _delete_some(delivery_id: int) -> bool:
    """Delete a few batches with their rows, then exclusion logs. Out: False once nothing is left."""
    batches = Batch.objects.filter(delivery_id=delivery_id)
    ids = list(batches.order_by("pk").values_list("pk", flat=True)[:DELETED_BATCHES])
    if ids:
        # By batch, whose index finds them: LIMIT over the delivery would step over what is deleted already, each time.
        with connection.cursor() as cursor:
            those = ", ".join(map(str, ids))
            cursor.execute(f"DELETE FROM {_LOG} WHERE batch_id IN ({those}) AND due_at IS NOT NULL")
        batches.filter(pk__in=ids).delete()
        return True
    if _delete_control_group(delivery_id):
        return True
    some = ExclusionLog.objects.filter(delivery_id=delivery_id).values("pk")[:DELETED_AT_ONCE]
    if ExclusionLog.objects.filter(pk__in=some).delete()[0]:
        return True
    ExclusionCause.objects.filter(delivery_id=delivery_id).delete()
    return False


def _delete_control_group(delivery_id: int) -> int:
    """Delete some Ignored rows, which belong to no batch. Out: how many."""
    rows = SendingLog.objects.filter(delivery_id=delivery_id, status=LogStatus.IGNORED, batch=None)
    some = SendingLog.objects.filter(pk__in=rows.values("pk")[:DELETED_AT_ONCE])
    return some._raw_delete(using=some.db)
