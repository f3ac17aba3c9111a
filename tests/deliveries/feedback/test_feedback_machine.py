"""Any history of relays, reports, retries, repeats, late and reversed reports: after each step counters, both ledgers,
the figures and a recount from the logs agree, and every row is what the table makes of its facts."""

import itertools
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from campaigns.models import Audience, Brand, Campaign, Message, Profile
from deliveries.feedback import apply_events
from deliveries.ledger import reports, transitions
from deliveries.ledger.change import Change
from deliveries.ledger.counters import counters
from deliveries.ledger.kpis import kpis
from deliveries.ledger.transitions import Fact
from deliveries.lifecycle import progress
from deliveries.models import Batch, Delivery, SendingLog
from deliveries.models.routing import Routing
from deliveries.models.states import FailureType, LogMove, Reason, State
from deliveries.sending import leases, results
from tests.deliveries.reported import KINDS, event
from tests.deliveries.sending.sending_rows import figures, sending_delivery, true_figures

pytestmark = pytest.mark.django_db
ROWS = 4
FACTS = {
    "delivered": Fact.DELIVERED,
    "delayed": Fact.DELAYED,
    "soft": Fact.SOFT,
    "hard": Fact.HARD,
    "ignored": Fact.IGNORED,
    "gave up": Fact.SOFT,
    "complaint": Fact.DELIVERED,
}
_names = itertools.count()


class History(RuleBasedStateMachine):
    """One small delivery; `facts` is what the reports said of each row, kept apart from the database."""

    @initialize(service=st.booleans(), retry_by=st.sampled_from(["us", "server"]))
    def begin(self, service, retry_by):
        """A fresh delivery in either mode."""
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        name = f"machine {next(_names)}"
        brand = Brand.objects.create(label=name, sender_name="A", sender_address="news@example.com")
        message = Message.objects.create(
            label=name,
            campaign=Campaign.objects.create(label=name),
            brand=brand,
            subject="x",
            html="x",
            text="x",
            audience=Audience.objects.create(label=name, kind="all"),
        )
        routing = Routing.objects.create(label=name, retry_by=retry_by, breaker_hard=0, breaker_complaints=0)
        self.delivery = sending_delivery(
            message, routing, ROWS, batch_size=2, feedback_service=service, retry_by=retry_by
        )
        self.logs = list(self.delivery.sending_logs.order_by("pk"))
        self.service, self.retry_by = service, retry_by
        self.sent, self.facts = [], {log.pk: [] for log in self.logs}

    @rule(
        number=st.integers(1, ROWS), moves=st.lists(st.sampled_from(["take", "defer", "doubt", "refuse"]), min_size=1)
    )
    def send(self, number, moves):
        """Workers try what is due; what was put off is due at once."""
        past = timezone.now() - timedelta(seconds=1)
        SendingLog.objects.filter(delivery=self.delivery, due_at__gt=past).update(due_at=past)
        for batch in self.delivery.batches.order_by("pk"):
            Batch.objects.filter(pk=batch.pk, next_due_at__gt=past).update(next_due_at=past)
            lease = leases.take(batch.pk)
            if lease is None:
                continue
            rows = leases.claim(lease, number)
            results.record(lease, [self._change(row, moves[row.log_id % len(moves)]) for row in rows])
            leases.release(lease)

    def _change(self, row, move):
        if move == "take":
            return Change(row.log_id, LogMove.RELAY if self.service else LogMove.ACCEPT, row.attempts)
        if move == "defer":
            return Change(row.log_id, LogMove.DEFER, row.attempts, FailureType.SOFT, due_at=timezone.now())
        if move == "doubt":
            return Change(row.log_id, LogMove.DOUBT, row.attempts)
        # A row whose message came back learns from the refusal of its next try; others fail in the ledger.
        if self.facts[row.log_id]:
            self.facts[row.log_id].append((Fact.HARD, timezone.now()))
        return Change(row.log_id, LogMove.REFUSE, row.attempts, FailureType.HARD, Reason.USER_UNKNOWN, "550 no")

    @rule(
        heard=st.lists(
            st.tuples(st.integers(0, ROWS - 1), st.sampled_from(sorted(KINDS)), st.integers(0, 9)),
            min_size=1,
            max_size=6,
        )
    )
    def hear(self, heard):
        """Reports arrive in any order, also before anything was sent."""
        events = [event(self.logs[row], what, minute) for row, what, minute in heard]
        for one, (row, what, _minute) in zip(events, heard, strict=True):
            if what in FACTS:
                gave_up = what == "gave up" and self.retry_by == "server"
                self.facts[self.logs[row].pk].append((Fact.EXPIRED if gave_up else FACTS[what], one.at))
        self.sent += events
        apply_events.apply(events)

    @rule(reverse=st.booleans())
    def hear_again(self, reverse):
        """All of it once more."""
        assert apply_events.apply(self.sent[::-1] if reverse else self.sent) == (0, 0)

    @rule()
    def retries_end(self):
        """Nobody tries again any more, as when the validity ends."""
        reports.end_retries(self.delivery.pk)

    @rule()
    def finish(self):
        """The sweeper looks whether anything is left to do."""
        progress.conclude(self.delivery.pk)

    @invariant()
    def ledgers_balance(self):
        """Counters, recount and the second ledger."""
        assert figures(self.delivery) == true_figures(self.delivery)
        sums = counters(self.delivery)
        assert sums.balances
        found = kpis(sums, feedback_service=self.service)
        assert found.sent.count == sums.sent + sums.failed
        assert 0 <= found.delivered.ratio + found.bounces.ratio <= 1

    @invariant()
    def rows_are_what_the_table_says(self):
        """A status follows from the set of facts, whatever their order."""
        for log in SendingLog.objects.filter(delivery=self.delivery):
            facts = self.facts[log.pk]
            if not facts:
                continue
            row = transitions.Row(0)
            for fact, at in facts:
                row = transitions.learn(row, fact, at, feedback=self.service)
            ended = log.retry_state == SendingLog.Retry.OVER and not row.expired
            if ended:  # the retries ended: that is one more fact
                row = transitions.learn(row, Fact.EXPIRED, self.delivery.validity_end, feedback=self.service)
            assert log.status == row.status, (facts, log.last_event_rank)
            assert not (row.weight >= 30 and row.weight != 31 and row.weight != 32 and log.due_at), facts

    @invariant()
    def a_row_due_can_be_claimed(self):
        """A batch with due rows is due."""
        due = SendingLog.objects.filter(delivery=self.delivery, due_at__isnull=False, claim_fence=None)
        if self.delivery and Delivery.objects.get(pk=self.delivery.pk).state != State.FINISHED:
            waiting = set(due.values_list("batch_id", flat=True))
            assert waiting <= set(Batch.objects.filter(next_due_at__isnull=False).values_list("pk", flat=True))

    def teardown(self):
        """Nothing stays for the next history."""
        if hasattr(self, "atomic"):
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)
            assert not Profile.objects.exists()


def play(examples, steps):
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_history_balances():
    play(examples=25, steps=12)


@pytest.mark.slow
def test_many_long_histories_balance():
    play(examples=120, steps=30)
