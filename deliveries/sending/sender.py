"""Sends a leased batch's due rows: claim, build, send, journal, record (architecture.md, Sending without loss).

Claims and results go through a database thread, so that the next rows are fetched and the last results written while
mail leaves. From the first envelope to the last answer nothing else here may ask the database.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from campaigns.content.problems import PutOff
from campaigns.core.domains import BadAddress
from deliveries.feedback import active_rules, apply_events, circuit_breaker
from deliveries.ledger import reports, retry_policy
from deliveries.ledger.change import ANSWERED, Change
from deliveries.lifecycle import progress
from deliveries.mail.qualification.engine import REASONS, qualify
from deliveries.mail.smtp.protocol import NotNow
from deliveries.mail.smtp.transport import Envelope, Outcome, Reply
from deliveries.mail.throttle import HOLD
from deliveries.models import QuarantinedAddress
from deliveries.models.host import heartbeat
from deliveries.models.routing import Routing
from deliveries.models.states import FailureType, LogMove, Reason

from . import connections, leases, results
from .compose import Composer, RenderedMessage
from .connections import JournaledTransport
from .database_thread import DatabaseThread
from .journal import Journal, JournalFailed
from .leases import CLAIMS_POISON, CLAIMS_SUSPECT, Claimed, Lease, LeaseLost
from .stages import FOLLOWERS, Stage

logger = logging.getLogger("deliveries.sending.sender")

# Results are written when so many wait, or the oldest has waited so long; as many again may gather while that is done.
RECORD_ROWS, RECORD_SECONDS = 500, 0.1
LOOK_SECONDS = 0.5  # a pause or a stop is seen so soon
RETURNS = 3  # times that a row is given back unbegun before it counts as put off by the server
_AT_THE_BODY = ("body", "final")  # stages at which an intent has been noted


class Sender:
    """Sends the due rows of one leased batch over the connections of its routing."""

    def __init__(
        self,
        lease: Lease,
        composer: Composer,
        journal: Journal,
        deadline: float,
        routing: Routing | None,
        *,
        relays: bool,
    ) -> None:
        """`deadline` of the monotonic clock; `relays`: a feedback service will report what becomes of a message."""
        self.lease, self.composer, self.journal, self.deadline = lease, composer, journal, deadline
        self._accepted = LogMove.RELAY if relays else LogMove.ACCEPT
        self._policy, self._pace = reports.policy(routing), connections.pace(routing)
        self._slowed: list[tuple[int, float]] = []  # (row, seconds) whose domain must not get more now
        self._freed: list[tuple[int, int]] = []  # accepted, of addresses that had errors before
        self._rows: deque[Claimed] = deque()
        self._open: dict[int, RenderedMessage] = {}  # begun and not answered
        self._window = settings.CLAIM_WINDOW
        self._returns: Counter[int] = Counter()
        self._changes: list[Change] = []
        self._stage = Stage.SENDING
        self._record_at = self._look_at = 0.0
        self._database = DatabaseThread()
        self._collected: Callable[[Any], None] = _nothing  # takes what the database thread's work gives
        self._error: DatabaseError | None = None
        self.journal_error: JournalFailed | None = None
        self.refused_us = ""  # in words, when the server refuses us and not a recipient

    def run(self, transport: JournaledTransport) -> None:
        """Until nothing is due, the deadline passes or the delivery stops. All outcomes are recorded at the end.

        Raises ServerUnavailable; DatabaseError when results could not be recorded: the journal has them.
        """
        transport.body, transport.on_intent, transport.on_accept = self._body, self._intent, self._accept
        transport.may_send = self._may_send
        active_rules.rules()
        with self._database:
            try:
                while self._has_work():
                    transport.run(self._next, self._tick)
            finally:
                for message in self._open.values():
                    self._pace.answered(message.row.address)
                self._collect()
                if (self._changes or self._slowed) and self._stage is not Stage.CUT_OFF:
                    self._record()
                    self._collect()
        if self._error is not None:
            raise self._error
        if self._open:  # giving them back could send them twice: leave them to the journal
            raise RuntimeError(f"batch {self.lease.batch_id}: {len(self._open)} messages ended without an answer")

    # The stage: see stages.py

    def _become(self, stage: Stage) -> None:
        """The only place where the stage changes."""
        assert stage in FOLLOWERS[self._stage], (self._stage, stage)
        self._stage = stage

    def _end(self) -> None:
        """Begin no message any more; said again, it changes nothing."""
        if self._stage.begins:
            self._become(Stage.ENDING)

    def _has_work(self) -> bool:
        return self._stage.begins and (self._stage is not Stage.EXHAUSTED or bool(self._rows))

    # What the transport asks

    def _next(self) -> Envelope | None:
        """The next envelope; rows that may not be sent are settled on the way, at most a window of them."""
        for _ in range(self._window):
            if not self._rows and not self._claim():
                return None
            row = self._rows.popleft()
            try:
                change = self._unsendable(row)
                if change is None and self._must_wait(row):
                    continue
                message = self.composer.compose(row) if change is None else None
            except BadAddress as error:
                self._pace.answered(row.address)
                change = _failed(row, Reason.BAD_QUALITY, str(error), FailureType.HARD)
            if change is not None:
                self._note(change)
            elif message is not None:
                self._open[row.log_id] = message
                return message.envelope
        return None

    def _must_wait(self, row: Claimed) -> bool:
        """Whether the row's domain must not get it now; then it comes later, and others go before it."""
        seconds = self._pace.wait(row.address)
        if seconds == HOLD:
            self._rows.append(row)
        elif seconds:
            self._slowed.append((row.log_id, seconds))
        return bool(seconds)

    def _claim(self) -> bool:
        """Wait for the next window, if there is one; a suspicious row comes only when nothing else is under way."""
        if self._stage is Stage.SENDING or (self._stage is Stage.ALONE and not self._open):
            self._begin_claim()
        elif self._stage is not Stage.CLAIMING:
            return False
        self._collect()
        return bool(self._rows)

    def _begin_claim(self) -> None:
        self._collect()  # what is under way may end the sending
        if self._stage.begins:
            self._become(Stage.CLAIMING)
            self._give(lambda: leases.claim(self.lease, self._window, self.composer.columns), self._claimed)

    def _claimed(self, rows: list[Claimed]) -> None:
        self._rows.extend(rows)
        if self._stage is not Stage.CLAIMING:  # it ended meanwhile: the batch's release gives these rows back
            return
        if not rows:
            self._become(Stage.EXHAUSTED)
        else:
            self._become(Stage.ALONE if rows[0].claims >= CLAIMS_SUSPECT else Stage.SENDING)

    def _wants_rows(self) -> bool:
        """The next window is fetched while the last one is being sent."""
        return self._stage is Stage.SENDING and len(self._rows) * 2 <= self._window

    def _unsendable(self, row: Claimed) -> Change | None:
        """The end of a row that may not be sent: opted out or quarantined since the preparation."""
        if row.claims >= CLAIMS_POISON:
            words = f"The worker died {row.claims} times on this recipient."
            return _failed(row, Reason.NOT_BUILT, words, FailureType.NONE)
        opted_out = row.opt_out or row.opt_out_email or row.mailbox_out
        if opted_out or row.quarantine == QuarantinedAddress.Status.DENYLIST:
            return _failed(row, Reason.DENYLISTED, "", FailureType.HARD)
        if row.quarantine == QuarantinedAddress.Status.QUARANTINE:
            return _failed(row, Reason.QUARANTINED, "", FailureType.HARD)
        return None

    def _body(self, key: int) -> bytes:
        try:
            return self._open[key].write()
        except PutOff as error:
            raise NotNow(str(error)) from error

    def _may_send(self) -> bool:
        if not self.lease.may_send:
            self._end()
        return self._stage.begins

    def _intent(self, key: int) -> None:
        try:
            self.journal.intent(key)
        except JournalFailed as error:
            self.journal_error = error
            self._end()
            raise

    def _accept(self, key: int) -> None:
        """A journal that fails here stops the sending; this acceptance goes into the database at once all the same."""
        try:
            self.journal.accepted(key)
        except JournalFailed as error:
            self.journal_error = error
            self._end()

    # What the transport tells

    def _tick(self, replies: list[Reply]) -> bool:
        for reply in replies:
            self._answered(reply)
        if self._database.done:
            self._collect()
        now = monotonic()
        if now >= self.deadline:
            self._end()
        waiting = len(self._changes) + len(self._slowed)
        if waiting >= 2 * RECORD_ROWS:
            self._collect()
        if self._database.idle and self._stage is not Stage.CUT_OFF:
            if self._changes and (waiting >= RECORD_ROWS or now >= self._record_at or not self._stage.begins):
                self._record()
            elif self._wants_rows():
                self._begin_claim()
            elif now >= self._look_at:
                self._look()
        return self._stage.begins

    def _answered(self, reply: Reply) -> None:
        row = self._open.pop(reply.key).row
        accepted = reply.outcome is Outcome.ACCEPTED
        self._pace.answered(row.address, accepted=accepted)
        if accepted:
            self._note(Change(row.log_id, self._accepted, row.attempts, reply=_words(reply)))
            if row.quarantine == QuarantinedAddress.Status.ERRONEOUS and self._accepted is LogMove.ACCEPT:
                self._freed.append((row.log_id, row.attempts))
            return
        if reply.stage in _AT_THE_BODY and reply.outcome is not Outcome.IN_DOUBT:
            self._void_intent(reply.key)
        if reply.outcome is Outcome.RETURNED:
            self._returned(row, reply)
        elif reply.outcome is Outcome.IN_DOUBT:
            self._doubtful(row, reply)
        else:
            self._refused(row, reply)

    def _void_intent(self, key: int) -> None:
        try:
            self.journal.refused(key)
        except JournalFailed as error:
            self.journal_error = error
            self._end()

    def _returned(self, row: Claimed, reply: Reply) -> None:
        """No byte left: it goes again over another connection, or is given back when the batch is released."""
        self._returns[row.log_id] += 1
        if self._returns[row.log_id] >= RETURNS:
            self._note(self._deferred(row, reply))
        elif self._stage.begins:
            self._rows.append(row)

    def _doubtful(self, row: Claimed, reply: Reply) -> None:
        if settings.IN_DOUBT == "resend":
            self._note(self._deferred(row, reply))
        else:
            words = f"The connection broke before the server answered: {reply.text}"
            self._note(Change(row.log_id, LogMove.DOUBT, row.attempts, reply=words))

    def _refused(self, row: Claimed, reply: Reply) -> None:
        if reply.stage == "build" and reply.outcome is Outcome.TEMPORARY:  # our doing: the domain is not slowed down
            due_at = timezone.now() + retry_policy.pause_before(row.attempts + 1, self._policy)
            later = Change(row.log_id, LogMove.DEFER, row.attempts, FailureType.NONE, Reason.NOT_BUILT, reply.text)
            self._note(later._replace(due_at=due_at))
        elif reply.stage == "build":
            self._note(_failed(row, Reason.NOT_BUILT, reply.text, FailureType.NONE))
        elif reply.outcome is Outcome.TEMPORARY:
            self._note(self._deferred(row, reply))
        else:
            how, reason, _detail = _verdict(reply)
            if reply.stage == "mail" and how is FailureType.IGNORED:
                self.refused_us = f"The mail server refuses the sender: {_words(reply)}"
                self._end()
                return
            move = LogMove.FAIL if reply.stage == "local" else LogMove.REFUSE
            self._note(Change(row.log_id, move, row.attempts, how, reason, _words(reply)))

    # What goes into the database

    def _note(self, change: Change) -> None:
        if not self._changes:
            self._record_at = monotonic() + RECORD_SECONDS
        self._changes.append(change)

    def _record(self) -> None:
        changes, self._changes = self._changes, []
        slowed, self._slowed = self._slowed, []
        freed, self._freed = self._freed, []

        def write() -> None:
            if slowed:
                leases.put_off(self.lease, slowed)
            results.record(self.lease, changes)
            self._tell(changes, freed)
            self._seen()

        self._give(write, _nothing)

    def _tell(self, changes: list[Change], freed: list[tuple[int, int]]) -> None:
        """What the outcomes mean beyond their rows: an address is free of its errors, or too much is refused."""
        if freed:
            apply_events.note_success(freed)
        if any(change.failure_type == FailureType.HARD for change in changes):
            circuit_breaker.check(self.lease.delivery_id)
        if self.lease.hindered and any(change.move in ANSWERED for change in changes):
            progress.unhinder(self.lease.delivery_id)

    def _deferred(self, row: Claimed, reply: Reply) -> Change:
        how, reason, detail = _verdict(reply)
        if detail != "greylisted":
            self._pace.put_off(row.address, too_much=reply.code == 421 or detail == "rate_limited")
        due_at = timezone.now() + retry_policy.pause_before(row.attempts + 1, self._policy)
        return Change(row.log_id, LogMove.DEFER, row.attempts, how, reason, _words(reply), due_at)

    def _look(self) -> None:
        def look() -> None:
            leases.renew(self.lease)
            self._seen()

        self._give(look, _nothing)

    def _seen(self) -> None:
        """The lease was looked at just now, by the database thread."""
        active_rules.rules()
        heartbeat.beat()

    # What the database thread does

    def _give(self, act: Callable[[], Any], collected: Callable[[Any], None]) -> None:
        self._collected = collected
        self._look_at = monotonic() + LOOK_SECONDS
        self._database.give(act)

    def _collect(self) -> None:
        """Wait for what the database thread has under way, if anything."""
        if self._database.idle:
            return
        try:
            self._collected(self._database.collect())
        except (LeaseLost, DatabaseError) as error:
            self._lose(error)
        if not self.lease.may_send or heartbeat.stopping():
            self._end()

    def _lose(self, error: Exception) -> None:
        """No more may be begun; what is under way is answered and noted in the journal."""
        if self._stage.begins:
            logger.warning("batch %s, fence %s: %r", self.lease.batch_id, self.lease.fence, error)
        if not isinstance(error, DatabaseError):
            self._end()
        elif self._stage is not Stage.CUT_OFF:
            self._error = error
            self._become(Stage.CUT_OFF)


def _nothing(_result: Any) -> None:
    """Nobody waits for it."""


def _words(reply: Reply) -> str:
    return " ".join(filter(None, (str(reply.code or ""), reply.enhanced, reply.text)))


def _verdict(reply: Reply) -> tuple[FailureType, int, str]:
    found = qualify(reply.code, reply.enhanced, reply.text, active_rules.known(), stage=reply.stage)
    return active_rules.TYPES[found.type], REASONS[found.reason], found.detail


def _failed(row: Claimed, reason: Reason, words: str, how: FailureType) -> Change:
    return Change(row.log_id, LogMove.FAIL, row.attempts, how, reason, words)
