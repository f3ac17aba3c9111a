"""Reports through the real database: the tables of deliverability.md, once each, in any order."""

import random
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from deliveries.feedback import apply_events
from deliveries.ledger.change import Change
from deliveries.ledger.counters import counters
from deliveries.ledger.kpis import kpis
from deliveries.models import Batch, Delivery, FeedbackEvent, QuarantinedAddress, Routing, SendingLog
from deliveries.models.states import LogMove, LogStatus, Reason, State
from deliveries.sending import leases, results
from tests.deliveries.reported import event, relay, report
from tests.deliveries.sending.sending_rows import figures, sending_delivery, true_figures

pytestmark = pytest.mark.django_db
PENDING, SENT, FAILED = LogStatus.PENDING, LogStatus.SENT, LogStatus.FAILED
US, SERVER = Routing.Retries.US, Routing.Retries.SERVER


@pytest.fixture(params=[True, False], ids=["with feedback service", "without"])
def mode(request):
    return request.param


@pytest.fixture
def make(message, routing):
    def made(recipients=1, **changed):
        return sending_delivery(message, routing, recipients, **changed)

    return made


def percents(delivery):
    figures_ = kpis(counters(delivery), feedback_service=delivery.feedback_service)
    return figures_.delivered_percent, figures_.bounces_percent


@pytest.mark.parametrize(
    "with_service, whats, status, delivered, bounced",
    [
        (True, [], PENDING, "0 %", "0 %"),
        (True, ["delivered"], SENT, "100 %", "0 %"),
        (True, ["hard"], FAILED, "0 %", "100 %"),
        (True, ["soft"], FAILED, "0 %", "100 %"),
        (True, ["soft", "delivered"], SENT, "100 %", "0 %"),
        (True, ["delayed", "gave up"], FAILED, "0 %", "100 %"),
        (False, [], SENT, "100 %", "0 %"),
        (False, ["hard"], FAILED, "0 %", "100 %"),
        (False, ["soft"], SENT, "100 %", "0 %"),
        (False, ["soft", "delivered"], SENT, "100 %", "0 %"),
        (False, ["delayed", "gave up"], FAILED, "0 %", "100 %"),
    ],
)
def test_the_tables_rows(make, with_service, whats, status, delivered, bounced):
    delivery = make(feedback_service=with_service, retry_by=SERVER)
    [log] = relay(delivery)
    report(log, *whats)
    assert (log.status, *percents(delivery)) == (status, delivered, bounced)
    assert figures(delivery) == true_figures(delivery)


def test_the_vector_with_a_feedback_service(make):
    delivery = make(10, feedback_service=True)
    logs = relay(delivery)
    assert kpis(counters(delivery), feedback_service=True).sent.count == 0
    whats = ["delivered"] * 6 + ["hard", "soft", "soft"]
    apply_events.apply(event(log, what) for log, what in zip(logs, whats, strict=False))
    assert kpis(counters(delivery), feedback_service=True).sent.percent == "90 %"
    assert percents(delivery) == ("60 %", "30 %")
    report(logs[7], "delivered")
    assert percents(delivery) == ("60 %", "30 %")  # it happened before the soft bounce, so it says nothing
    apply_events.apply([event(logs[7], "delivered", 5)])
    assert percents(delivery) == ("70 %", "20 %")
    apply_events.apply([event(logs[8], "gave up", 5)])
    assert percents(delivery) == ("70 %", "20 %")
    assert figures(delivery) == true_figures(delivery)


def test_the_vector_without_one(make):
    delivery = make(10, retry_by=SERVER)
    relay(delivery, 4)
    now = kpis(counters(delivery), feedback_service=False)
    assert (now.sent.percent, *percents(delivery)) == ("40 %", "100 %", "0 %")
    logs = relay(delivery)
    assert percents(delivery) == ("100 %", "0 %")
    report(logs[0], "hard")
    assert percents(delivery) == ("90 %", "10 %")
    report(logs[1], "soft")
    report(logs[2], "delayed")
    assert percents(delivery) == ("90 %", "10 %")
    report(logs[2], "delayed", "gave up")
    assert percents(delivery) == ("80 %", "20 %")


def test_an_event_is_applied_once(make, mode):
    delivery = make(feedback_service=mode)
    [log] = relay(delivery)
    same = event(log, "hard")
    assert apply_events.apply([same, same]) == (1, 1)
    assert apply_events.apply([same]) == (0, 0)
    assert FeedbackEvent.objects.count() == 1
    assert figures(delivery) == {"total": 1, "failed": 1, "hard": 1, "relayed": 1} == true_figures(delivery)


def test_what_nothing_matched_is_kept_and_changes_nothing(make, mode):
    delivery = make(feedback_service=mode)
    relay(delivery)
    before = figures(delivery)
    stray = [event(10**9, "hard"), event(0, "hard", log_id=None, address="user0@example.net")]
    assert apply_events.apply(stray) == (2, 0)
    assert FeedbackEvent.objects.filter(log_id=None).count() == 2
    assert figures(delivery) == before
    assert not QuarantinedAddress.objects.exists()


def test_any_order_with_repeats_ends_the_same(make, mode):
    chance = random.Random(7)
    one, other = make(20, feedback_service=mode, retry_by=SERVER), None
    story = [
        (n, w, m)
        for n in range(20)
        for m, w in enumerate(
            chance.choices(
                ["delivered", "delayed", "soft", "hard", "ignored", "gave up", "complaint", "auto-reply"], k=4
            )
        )
    ]
    other = Delivery.objects.get(pk=one.pk)
    logs = relay(one)
    apply_events.apply([event(logs[n], w, m) for n, w, m in story])
    wanted, addresses = states_of(one), standings()
    FeedbackEvent.objects.all().delete()
    QuarantinedAddress.objects.all().delete()
    Batch.objects.all().delete()
    SendingLog.objects.all().delete()
    refill(other, 20)
    logs = relay(other)
    events = [event(logs[n], w, m) for n, w, m in story] * 2
    chance.shuffle(events)
    for start in range(0, len(events), 7):
        apply_events.apply(events[start : start + 7])
    assert states_of(other) == wanted
    assert standings() == addresses
    assert figures(other) == true_figures(other)


def refill(delivery, recipients):
    from campaigns.models import Profile
    from tests.deliveries.sending.sending_rows import add_rows

    Profile.objects.all().delete()
    add_rows(delivery, recipients, 100)


def states_of(delivery):
    names = ("address", "status", "failure_type", "reason", "reply", "retry_state", "last_event_rank")
    return list(delivery.sending_logs.order_by("address").values_list(*names))


def standings():
    return list(QuarantinedAddress.objects.order_by("address").values_list("address", "status", "errors", "reason"))


def test_a_report_that_comes_before_its_250_is_recorded_stands(make, mode):
    delivery = make(feedback_service=mode)
    lease = leases.take(delivery.batches.get().pk)
    [row] = leases.claim(lease, 10)
    apply_events.apply([event(row.log_id, "delivered")])
    results.record(lease, [Change(row.log_id, LogMove.RELAY if mode else LogMove.ACCEPT, 0)])
    leases.release(lease)
    log = SendingLog.objects.get()
    assert (log.status, log.attempts, log.claim_fence, log.due_at) == (SENT, 1, None, None)
    assert figures(delivery) == {"total": 1, "sent": 1, "relayed": 1} == true_figures(delivery)


@pytest.mark.parametrize("what, status", [("delivered", SENT), ("hard", FAILED), ("complaint", SENT)])
def test_any_report_settles_a_row_in_doubt(make, mode, what, status):
    delivery = make(feedback_service=mode)
    lease = leases.take(delivery.batches.get().pk)
    [row] = leases.claim(lease, 10)
    results.record(lease, [Change(row.log_id, LogMove.DOUBT, 0)])
    report(SendingLog.objects.get(), what)
    assert SendingLog.objects.get().status == status
    assert figures(delivery) == true_figures(delivery)
    assert figures(delivery)["relayed"] == 1


def test_a_row_to_be_sent_again_is_not_sent_when_it_turns_out_delivered(make, mode):
    delivery = make(feedback_service=mode)
    log = SendingLog.objects.get()
    report(log, "delivered")
    assert log.due_at is None
    lease = leases.take(delivery.batches.get().pk)
    assert leases.claim(lease, 10) == []


def test_a_complaint_puts_the_address_on_the_denylist_and_moves_no_figure(make):
    delivery = make()
    [log] = relay(delivery)
    report(log, "complaint")
    assert QuarantinedAddress.objects.get().status == QuarantinedAddress.Status.DENYLIST
    assert (log.status, percents(delivery)) == (SENT, ("100 %", "0 %"))
    assert Batch.objects.get().complaints == 1


def test_the_servers_words_of_the_dialogue_are_kept_and_weighed(make):
    delivery = make(2)
    lease = leases.take(delivery.batches.get().pk)
    first, second = leases.claim(lease, 10)
    results.record(
        lease,
        [
            Change(first.log_id, LogMove.REFUSE, 0, 2, Reason.USER_UNKNOWN, "550 5.1.1 no such user"),
            Change(second.log_id, LogMove.DEFER, 0, 1, Reason.MAILBOX_FULL, "452 4.2.2 full", timezone.now()),
        ],
    )
    assert [*FeedbackEvent.objects.order_by("pk").values_list("source", "kind", "code", "text")] == [
        (1, 3, "550", "550 5.1.1 no such user"),
        (1, 2, "452", "452 4.2.2 full"),
    ]
    assert [*QuarantinedAddress.objects.order_by("address").values_list("status", "errors")] == [(2, 1), (1, 1)]


def test_times_of_the_future_and_of_long_ago_are_brought_near(make):
    [log] = relay(make(feedback_service=True))
    now = timezone.now()
    apply_events.apply(
        [event(log, "soft", at=now + timedelta(days=400)), event(log, "hard", at=now - timedelta(days=4000))]
    )
    first, second = sorted(FeedbackEvent.objects.values_list("at", flat=True))
    assert first >= now - timedelta(days=31)
    assert second <= timezone.now()


def test_text_that_no_database_takes_is_cleaned(make):
    [log] = relay(make(feedback_service=True))
    apply_events.apply([event(log, "hard", text="a\0b\ud800\r\nc" * 500)])
    assert FeedbackEvent.objects.get().text.startswith("a b   ca b")


def test_a_finished_delivery_goes_on_when_a_message_comes_back(make):
    delivery = make(feedback_service=True, retry_by=US)
    [log] = relay(delivery)
    Delivery.objects.update(state=State.FINISHED)
    report(log, "soft")
    assert Delivery.objects.get().state == State.IN_PROGRESS
    assert Batch.objects.get().next_due_at == log.due_at > timezone.now()


def test_no_statement_reads_all_that_was_ever_reported(make):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite keeps no counts of its scans")
    logs = relay(make(300, feedback_service=True, retry_by=SERVER))
    apply_events.apply([event(log, "delivered") for log in logs])
    before = scans()
    apply_events.apply([event(log, what, 5) for log in logs for what in ("soft", "hard", "complaint")])
    assert scans() == before


def scans():
    """How often this transaction read each big table from end to end, as PostgreSQL counts it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE relname IN ('deliveries_feedbackevent', "
            "'deliveries_sendinglog', 'deliveries_quarantinedaddress') ORDER BY relname"
        )
        return cursor.fetchall()
