"""The sending loop against a real server: every outcome, pauses and stops, what stands in the way."""

from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.utils import timezone

from campaigns.consent import changes
from campaigns.content.liquid import work
from campaigns.core.queue import Task
from campaigns.models import Profile
from deliveries.ledger.message_tokens import tokens
from deliveries.models import Delivery, QuarantinedAddress, Routing, SendingLog
from deliveries.models.states import LogStatus, Reason, State
from deliveries.sending import compose, connections, leases, sender, work_on_batch
from deliveries.sending.journal import Journal, JournalFailed
from deliveries.workers import tasks
from tests.campaigns.content.liquid.heavy_templates import within
from tests.sink import tally
from tests.sink.server import in_a_thread

from .sending_rows import CONTENT, figures, sending_delivery, true_figures

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def place(settings, tmp_path):
    settings.JOURNAL_DIR = tmp_path / "journals"
    yield
    connections.hang_up()


@pytest.fixture
def server(tmp_path, routing):
    """server(behaviour) starts a sink and points the routing at it; the sink's notes are in tmp_path/sink."""
    with ExitStack() as running:

        def start(behaviour="accept", **options):
            sink = running.enter_context(in_a_thread(tmp_path / "sink", behaviour, **options))
            Routing.objects.filter(pk=routing.pk).update(port=sink.port)
            routing.port = sink.port
            return sink

        yield start


def send(delivery):
    for batch in delivery.batches.order_by("pk"):
        work_on_batch.send(batch.pk)
    delivery.refresh_from_db()


def rows(delivery):
    return list(SendingLog.objects.filter(delivery=delivery).order_by("pk"))


def test_every_recipient_gets_the_message_once_and_the_delivery_is_finished(server, message, routing, tmp_path):
    server()
    delivery = sending_delivery(message, routing, recipients=50, batch_size=20)
    work_on_batch.send(delivery.batches.first().pk)
    delivery.refresh_from_db()
    found = tally(tmp_path / "sink")
    assert (found.accepted, found.duplicates, found.mismatches) == (50, {}, [])
    assert figures(delivery) == {"total": 50, "sent": 50, "relayed": 50} == true_figures(delivery)
    assert delivery.state == State.FINISHED
    assert delivery.events.filter(code="finished").count() == 1


def test_the_journals_are_gone_once_the_batch_is_done(server, message, routing, settings):
    server()
    send(sending_delivery(message, routing))
    assert not [path for path in settings.JOURNAL_DIR.iterdir() if path.name != "last-beat"]


def test_the_servers_words_stay_with_the_row(server, message, routing):
    server()
    delivery = sending_delivery(message, routing, recipients=1)
    send(delivery)
    assert rows(delivery)[0].reply.startswith("250 2.0.0")


def test_with_a_feedback_service_rows_wait_for_their_report(server, message, routing):
    server()
    delivery = sending_delivery(message, routing, feedback_service=True)
    send(delivery)
    assert figures(delivery) == {"total": 3, "pending": 3, "relayed": 3} == true_figures(delivery)
    assert all(row.relayed_at and not row.due_at for row in rows(delivery))
    assert delivery.state == State.FINISHED


@pytest.mark.parametrize("behaviour", ["refuse=100", "refuse-dot=100"])
def test_what_the_server_refuses_for_good_fails(server, message, routing, behaviour):
    server(behaviour)
    delivery = sending_delivery(message, routing)
    send(delivery)
    assert figures(delivery)["failed"] == 3
    assert figures(delivery) == true_figures(delivery)
    assert delivery.state == State.FINISHED


@pytest.mark.parametrize("behaviour", ["temporary=100", "temporary-dot=100"])
def test_what_the_server_puts_off_is_due_later(server, message, routing, behaviour):
    server(behaviour)
    delivery = sending_delivery(message, routing)
    send(delivery)
    assert figures(delivery) == {"total": 3, "pending": 3, "retrying": 3} == true_figures(delivery)
    assert all(row.due_at > timezone.now() and row.attempts == 1 for row in rows(delivery))
    assert delivery.state == State.RETRY_PENDING


def test_a_retry_that_is_taken_ends_the_delivery(server, message, routing):
    sink = server("temporary=100")
    delivery = sending_delivery(message, routing)
    send(delivery)
    SendingLog.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    delivery.batches.update(next_due_at=timezone.now() - timedelta(seconds=1))
    sink._behave_as("accept")
    send(delivery)
    assert figures(delivery) == {"total": 3, "sent": 3, "relayed": 3} == true_figures(delivery)
    assert delivery.state == State.FINISHED


def test_a_connection_lost_behind_the_dot_leaves_rows_in_doubt_and_never_sends_them_again(
    server, message, routing, tmp_path
):
    server("drop-before=5")
    delivery = sending_delivery(message, routing, recipients=20)
    send(delivery)
    found = figures(delivery)
    assert found["in_doubt"] == 4
    assert found["sent"] == 16
    assert not tally(tmp_path / "sink").duplicates
    assert delivery.state == State.FINISHED
    assert delivery.events.filter(code="finished_in_doubt").exists()


def test_a_server_that_is_down_fails_nobody_and_is_told_once(message, routing):
    delivery = sending_delivery(message, routing, recipients=4, batch_size=2)
    send(delivery)
    send(delivery)
    assert figures(delivery) == {"total": 4, "pending": 4}
    assert "127.0.0.1:1" in delivery.hindrance
    assert delivery.hindered_since
    assert delivery.state == State.IN_PROGRESS
    assert delivery.events.filter(code="hindered").count() == 1
    assert {(row.attempts, row.claims, row.claim_fence) for row in rows(delivery)} == {(0, 0, None)}
    assert all(batch.next_due_at > timezone.now() for batch in delivery.batches.all())


def test_when_the_server_is_back_the_hindrance_goes(server, message, routing):
    delivery = sending_delivery(message, routing)
    send(delivery)
    server()
    delivery.batches.update(next_due_at=timezone.now() - timedelta(seconds=1))
    send(delivery)
    assert figures(delivery)["sent"] == 3
    assert (delivery.hindrance, delivery.hindered_since) == ("", None)
    assert delivery.events.filter(code="unhindered").count() == 1


def test_a_missing_password_variable_is_said_in_words(server, message, routing):
    server()
    Routing.objects.update(username="acme", password_variable="SMTP_PASSWORD_MISSING")
    delivery = sending_delivery(message, routing)
    send(delivery)
    assert "SMTP_PASSWORD_MISSING" in delivery.hindrance
    assert figures(delivery) == {"total": 3, "pending": 3}


def test_no_secret_but_a_password_is_ever_sent_to_a_server(server, message, routing, monkeypatch):
    server()
    monkeypatch.setenv("SECRET_KEY", "not-for-others")
    Routing.objects.update(username="acme", password_variable="SECRET_KEY")
    delivery = sending_delivery(message, routing)
    send(delivery)
    assert "must begin with SMTP_PASSWORD" in delivery.hindrance
    assert figures(delivery) == {"total": 3, "pending": 3}


def test_a_recipient_whose_message_cannot_be_built_fails_alone(server, message, routing, monkeypatch):
    server()
    delivery = sending_delivery(message, routing)
    Profile.objects.filter(email="user1@example.net").update(first_name="Crash")
    write = compose.RenderedMessage.write

    def fail_once(message):
        if "Crash" in message.row.fields:
            raise ValueError("no such name")
        return write(message)

    monkeypatch.setattr(compose.RenderedMessage, "write", fail_once)
    send(delivery)
    failed = SendingLog.objects.get(status=LogStatus.FAILED)
    assert (failed.reason, failed.reply, failed.attempts) == (Reason.NOT_BUILT, "no such name", 0)
    assert figures(delivery) == {"total": 3, "sent": 2, "relayed": 2, "failed": 1}


DEAR = "{% assign parts = first_name | split: '' %}" + "{% for a in parts %}" * 4 + "x" + "{% endfor %}" * 4


def test_a_recipient_whose_copy_takes_too_much_work_fails_alone_at_once_and_with_words(server, message, routing):
    server()
    delivery = sending_delivery(message, routing, content=CONTENT | {"html": f"<p>{DEAR}</p>"})
    Profile.objects.filter(email="user1@example.net").update(first_name="x" * 100)
    with within(5):
        send(delivery)
    failed = SendingLog.objects.get(status=LogStatus.FAILED)
    assert (failed.address, failed.reason, failed.attempts) == ("user1@example.net", Reason.NOT_BUILT, 0)
    assert failed.reply.startswith("HTML: it does more work than one message may (more than 300,000 units); shorten")
    assert figures(delivery) == {"total": 3, "sent": 2, "relayed": 2, "failed": 1}
    assert delivery.state == State.FINISHED


def test_a_machine_that_is_far_too_slow_puts_the_row_off_and_counts_the_attempt(server, message, routing, monkeypatch):
    server()
    delivery = sending_delivery(message, routing, content=CONTENT | {"html": f"<p>{DEAR}</p>"})
    Profile.objects.filter(email="user1@example.net").update(first_name="x" * 15)
    ticks = iter(range(1, 1_000_000))
    monkeypatch.setattr(work, "thread_time", lambda: next(ticks) * 2 * work.NET)
    send(delivery)
    row = SendingLog.objects.get(address="user1@example.net")
    assert (row.status, row.attempts, row.claims, row.reason) == (LogStatus.PENDING, 1, 0, Reason.NOT_BUILT)
    assert row.due_at > timezone.now() + timedelta(minutes=30)
    assert "tried again later" in row.reply
    assert figures(delivery) == {"total": 3, "sent": 2, "relayed": 2, "pending": 1, "retrying": 1}
    monkeypatch.undo()
    SendingLog.objects.filter(pk=row.pk).update(due_at=timezone.now() - timedelta(seconds=1))
    delivery.batches.update(next_due_at=timezone.now() - timedelta(seconds=1))
    send(delivery)
    assert figures(delivery) == {"total": 3, "sent": 3, "relayed": 3}


def test_a_recipient_on_whom_the_worker_died_five_times_is_given_up(server, message, routing):
    server()
    delivery = sending_delivery(message, routing)
    SendingLog.objects.filter(address="user1@example.net").update(claims=leases.CLAIMS_POISON)
    send(delivery)
    failed = SendingLog.objects.get(status=LogStatus.FAILED)
    assert (failed.reason, failed.reply) == (Reason.NOT_BUILT, "The worker died 5 times on this recipient.")
    assert figures(delivery)["sent"] == 2


@pytest.mark.parametrize("reason", [Reason.QUARANTINED, Reason.DENYLISTED])
def test_who_may_not_be_mailed_any_more_fails_at_the_last_look(server, message, routing, reason):
    server()
    delivery = sending_delivery(message, routing)
    if reason == Reason.QUARANTINED:
        QuarantinedAddress.objects.create(address="user1@example.net")
    else:
        person = Profile.objects.get(email="user1@example.net")
        changes.opt_out([person.pk], ["opt_out_email"], changes.Origin("form"))
    send(delivery)
    assert SendingLog.objects.get(status=LogStatus.FAILED).reason == reason
    assert figures(delivery) == {"total": 3, "sent": 2, "relayed": 2, "failed": 1, "hard": 1} == true_figures(delivery)


@pytest.mark.parametrize("profile_is", ["of another address now", "gone"])
def test_an_address_that_a_letter_took_out_since_gets_nothing_whosever_it_is(server, message, routing, profile_is):
    server()
    delivery = sending_delivery(message, routing)
    person = Profile.objects.filter(email="user1@example.net")
    _changed = person.update(email="moved@example.net") if profile_is != "gone" else person.delete()
    SendingLog.objects.filter(address="user1@example.net").update(address="User1@example.net")
    changes.opt_out_mailbox(changes.ReceivedMessage(10**6, 1, "user1@example.net", None), changes.Way.ONE_CLICK)
    send(delivery)
    assert SendingLog.objects.get(status=LogStatus.FAILED).reason == Reason.DENYLISTED
    assert figures(delivery)["sent"] == 2


def act_after(monkeypatch, number, act):
    """Do `act` in the middle of the sending, once so many windows were claimed."""
    claim, done = leases.claim, []

    def counted(*arguments):
        done.append(1)
        if len(done) == number:
            act()
        return claim(*arguments)

    monkeypatch.setattr(leases, "claim", counted)


def test_a_pause_gives_the_unsent_rows_back_and_resuming_sends_just_these(
    server, message, routing, tmp_path, settings, monkeypatch
):
    server()
    settings.CLAIM_WINDOW = 10
    delivery = sending_delivery(message, routing, recipients=40)
    act_after(monkeypatch, 3, lambda: Delivery.objects.update(state=State.PAUSED, paused_from=State.IN_PROGRESS))
    send(delivery)
    found = figures(delivery)
    assert 5 <= found["sent"] <= 20
    assert found == true_figures(delivery)
    assert not SendingLog.objects.filter(claim_fence__isnull=False).exists()
    Delivery.objects.update(state=State.IN_PROGRESS)
    send(delivery)
    assert figures(delivery) == {"total": 40, "sent": 40, "relayed": 40}
    assert not tally(tmp_path / "sink").duplicates


def test_a_stop_cancels_what_was_not_sent(server, message, routing, settings, monkeypatch):
    server()
    settings.CLAIM_WINDOW = 10
    delivery = sending_delivery(message, routing, recipients=40)
    act_after(monkeypatch, 3, lambda: Delivery.objects.update(state=State.STOPPED))
    send(delivery)
    found = figures(delivery)
    assert found["cancelled"] == 40 - found["sent"] >= 20
    assert found == true_figures(delivery)


def test_a_worker_that_lost_its_lease_overwrites_nothing(server, message, routing, settings, monkeypatch):
    server()
    settings.CLAIM_WINDOW = 10
    delivery = sending_delivery(message, routing, recipients=40)
    act_after(monkeypatch, 3, lambda: delivery.batches.update(fence=99, holder="another-host"))
    send(delivery)
    assert delivery.batches.get().fence == 99
    assert figures(delivery) == true_figures(delivery) == {"total": 40, "pending": 40}


def test_a_full_disk_stops_the_sending_and_loses_nothing(server, message, routing, monkeypatch, tmp_path):
    server()
    delivery = sending_delivery(message, routing, recipients=30)
    written = []

    def intent(journal, key):
        written.append(key)
        if len(written) > 10:
            raise JournalFailed("No space left on device")

    monkeypatch.setattr(work_on_batch.Journal, "intent", intent)
    send(delivery)
    assert figures(delivery) == {"total": 30, "sent": 10, "relayed": 10, "pending": 20} == true_figures(delivery)
    assert "No space left" in delivery.hindrance
    assert tally(tmp_path / "sink").accepted == 10


def test_a_fault_of_the_program_is_a_hindrance_and_counts_against_nobody(
    server, message, routing, monkeypatch, tmp_path
):
    server()
    delivery = sending_delivery(message, routing, recipients=30)

    def broken(journal, key):
        raise KeyError("no such thing")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "accepted", broken)
        send(delivery)
    found = figures(delivery)
    assert "fault of the program" in delivery.hindrance
    assert found["in_doubt"] <= 8, "what was under way"
    assert found == true_figures(delivery)
    assert {row.claims for row in rows(delivery)} == {0}
    delivery.batches.update(next_due_at=timezone.now() - timedelta(seconds=1))
    send(delivery)
    assert figures(delivery)["sent"] == 30 - found["in_doubt"]
    assert not tally(tmp_path / "sink").duplicates


@pytest.fixture
def queued(monkeypatch):
    """What the sending put into the queue."""
    tasks = []
    monkeypatch.setattr(work_on_batch.queue, "enqueue", lambda *task: tasks.append(task))
    return tasks


def test_a_task_that_used_up_its_time_gives_back_and_enqueues_the_rest(server, message, routing, settings, queued):
    server()
    settings.TASK_BUDGET_SECONDS = 0
    delivery = sending_delivery(message, routing)
    send(delivery)
    assert figures(delivery) == {"total": 3, "pending": 3}
    assert queued == [(Task.SEND_BATCH, delivery.batches.get().pk)]


def test_a_cluster_that_is_stopped_gives_unsent_rows_back_within_a_second(
    server, message, routing, settings, monkeypatch, tmp_path, queued
):
    server()
    settings.CLAIM_WINDOW = 10
    monkeypatch.setenv("CLUSTER_STOP_FILE", str(tmp_path / "stop"))
    monkeypatch.setattr(sender, "RECORD_SECONDS", 0.0)
    delivery = sending_delivery(message, routing, recipients=200)
    act_after(monkeypatch, 3, (tmp_path / "stop").touch)
    send(delivery)
    found = figures(delivery)
    assert found["pending"] > 100
    assert found == true_figures(delivery)
    assert not SendingLog.objects.filter(claim_fence__isnull=False).exists()


def test_a_server_that_refuses_the_sender_stops_the_delivery_not_its_recipients(message, routing, monkeypatch, server):
    server()
    delivery = sending_delivery(message, routing)

    def refuse(connection, line=b""):
        connection.answers += b"550 5.7.1 Sender address rejected: not owned by you\r\n"

    monkeypatch.setattr("tests.sink.connection.Connection._mail", refuse)
    monkeypatch.setattr("tests.sink.connection.Connection._rcpt", refuse)
    send(delivery)
    assert figures(delivery) == {"total": 3, "pending": 3}
    assert "refuses the sender" in delivery.hindrance


def test_ringing_wakes_a_worker_and_a_delivery_without_recipients_is_finished(message, routing):
    delivery = sending_delivery(message, routing, recipients=0)
    tasks.enqueue_batches(delivery.pk)
    delivery.refresh_from_db()
    assert delivery.state == State.FINISHED


def test_a_bell_for_a_batch_that_is_gone_does_nothing():
    tasks.send_batch(12345)


def test_the_key_changes_while_a_delivery_is_half_sent_and_nobodys_message_id_does(
    server, message, routing, tmp_path, settings, client
):
    sink, old = server("temporary-dot=50"), settings.SECRET_KEY
    delivery = sending_delivery(message, routing, recipients=40)
    send(delivery)
    before = {row.pk for row in rows(delivery) if row.status == LogStatus.SENT}
    assert 0 < len(before) < 40

    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the-key-of-tomorrow-" * 3, [old]
    compose.forget()  # the workers were started again
    sink._behave_as("accept")
    while delivery.state != State.FINISHED:  # a domain that put much off is tried little by little
        SendingLog.objects.filter(due_at__isnull=False).update(due_at=timezone.now() - timedelta(seconds=1))
        delivery.batches.update(next_due_at=timezone.now() - timedelta(seconds=1))
        send(delivery)

    noted = (tmp_path / "sink" / "accepted.log").read_text().split()
    expected = {f"<{tokens.signer(old)(row.pk).message_id}.{delivery.code}@example.com>" for row in rows(delivery)}
    assert {word for word in noted if word.startswith("<")} == expected
    assert len(noted) == 3 * 40
    assert client.get(f"/t/u/{tokens.signer(old)(min(before)).optout}").status_code == 200
