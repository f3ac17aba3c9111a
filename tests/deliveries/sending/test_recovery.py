"""What becomes of the rows that a dead worker had claimed."""

import pytest

from deliveries.ledger.change import Change
from deliveries.lifecycle import in_doubt
from deliveries.lifecycle.commands import Refused
from deliveries.models import Delivery, SendingLog
from deliveries.models.states import LogMove, LogStatus, State
from deliveries.sending import leases, recovery, results
from deliveries.sending.journal import BatchLock, Journal

from .sending_rows import figures, sending_delivery, true_figures

pytestmark = pytest.mark.django_db


@pytest.fixture
def delivery(message, routing):
    return sending_delivery(message, routing, recipients=4)


@pytest.fixture
def dead(delivery, tmp_path):
    """Four rows claimed by a worker that died: accepted, refused, in flight, not begun."""
    lease = leases.take(delivery.batches.get().pk)
    journal = Journal.open(tmp_path, lease.batch_id, lease.fence)
    rows = [row.log_id for row in leases.claim(lease, 9)]
    for row in rows[:3]:
        journal.intent(row)
    journal.accepted(rows[0])
    journal.refused(rows[1])
    journal.close()
    return rows


def recover(delivery, directory):
    lease = leases.take(delivery.batches.get().pk)
    recovery.recover(lease, directory)
    return lease


def standing(rows):
    found = {row.pk: row for row in SendingLog.objects.filter(pk__in=rows)}
    return [(LogStatus(found[pk].status).name, found[pk].due_at is not None, found[pk].attempts) for pk in rows]


def test_each_row_becomes_what_the_journal_says(delivery, dead, tmp_path):
    recover(delivery, tmp_path)
    assert standing(dead) == [("SENT", False, 1), ("PENDING", True, 1), ("IN_DOUBT", False, 0), ("PENDING", True, 0)]
    assert figures(delivery) == true_figures(delivery)
    assert delivery.events.filter(code="in_doubt").count() == 1


def test_with_a_feedback_service_what_was_accepted_waits_for_its_report(delivery, dead, tmp_path):
    Delivery.objects.update(feedback_service=True)
    recover(delivery, tmp_path)
    assert standing(dead)[0] == ("PENDING", False, 1)
    assert SendingLog.objects.get(pk=dead[0]).relayed_at is not None


def test_rows_that_come_back_keep_count_of_their_claims(delivery, dead, tmp_path):
    recover(delivery, tmp_path)
    assert SendingLog.objects.get(pk=dead[3]).claims == 1


def test_recovering_twice_changes_nothing_more(delivery, dead, tmp_path):
    recover(delivery, tmp_path)
    before = figures(delivery)
    assert not recovery.recover(leases.take(delivery.batches.get().pk), tmp_path)
    assert figures(delivery) == before


def test_a_missing_journal_holds_every_row(delivery, dead, tmp_path):
    recover(delivery, tmp_path / "of-another-host")
    assert {status for status, *_ in standing(dead)} == {"IN_DOUBT"}
    assert figures(delivery) == {"total": 4, "in_doubt": 4} == true_figures(delivery)


def test_an_empty_journal_proves_that_nothing_left(delivery, tmp_path):
    lease = leases.take(delivery.batches.get().pk)
    Journal.open(tmp_path, lease.batch_id, lease.fence).close()
    leases.claim(lease, 9)
    recover(delivery, tmp_path)
    assert figures(delivery) == {"total": 4, "pending": 4}


def test_in_doubt_may_be_set_to_resend(delivery, dead, tmp_path, settings):
    settings.IN_DOUBT = "resend"
    recover(delivery, tmp_path)
    assert standing(dead)[2] == ("PENDING", True, 0)


def test_the_newest_fence_recovers_what_several_dead_workers_left(delivery, dead, tmp_path):
    second = leases.take(delivery.batches.get().pk)  # dies before it has recovered anything
    third = recover(delivery, tmp_path)
    assert (second.fence, third.fence) == (2, 3)
    assert standing(dead)[0] == ("SENT", False, 1)


def test_a_row_recorded_before_the_death_is_not_replayed(delivery, tmp_path):
    lease = leases.take(delivery.batches.get().pk)
    journal = Journal.open(tmp_path, lease.batch_id, lease.fence)
    row = leases.claim(lease, 1)[0].log_id
    journal.intent(row)
    journal.accepted(row)
    results.record(lease, [Change(row, LogMove.ACCEPT, 0, reply="250 queued as A1")])
    recover(delivery, tmp_path)
    assert SendingLog.objects.get(pk=row).reply == "250 queued as A1"
    assert figures(delivery)["relayed"] == 1


def test_leftover_journals_go_once_their_batch_is_done(delivery, dead, tmp_path):
    assert recovery.collect_leftovers(tmp_path) == 0, "the dead worker's lease still stands"
    leases.release(recover(delivery, tmp_path))
    assert recovery.collect_leftovers(tmp_path) == 1
    assert not list(tmp_path.iterdir())


def test_a_journal_in_use_is_left_alone(delivery, tmp_path):
    batch_id = delivery.batches.get().pk
    with BatchLock.acquire(tmp_path, batch_id):
        Journal.open(tmp_path, batch_id, 1).close()
        assert recovery.collect_leftovers(tmp_path) == 0


def test_a_host_that_comes_back_settles_the_doubts_about_itself(delivery, dead, tmp_path):
    leases.release(recover(delivery, tmp_path / "of-another-host"))  # all four in doubt
    recovery.collect_leftovers(tmp_path)
    assert [status for status, *_ in standing(dead)] == ["SENT", "PENDING", "IN_DOUBT", "PENDING"]
    assert figures(delivery) == true_figures(delivery)


class TestSettling:
    @pytest.fixture
    def doubtful(self, delivery, dead, tmp_path):
        leases.release(recover(delivery, tmp_path))
        Delivery.objects.update(state=State.FINISHED)
        return delivery

    def test_counting_as_sent(self, doubtful, dead, starter):
        assert in_doubt.resolve_in_doubt(doubtful, starter, decision="sent") == 1
        assert standing(dead)[2][0] == "SENT"
        assert doubtful.state == State.FINISHED
        assert doubtful.events.filter(code="doubt_settled", user=starter).exists()

    def test_sending_again_opens_a_finished_delivery(self, doubtful, dead, starter):
        in_doubt.resolve_in_doubt(doubtful, starter, decision="resend", log_ids=[dead[2]])
        assert standing(dead)[2] == ("PENDING", True, 0)
        assert doubtful.state == State.IN_PROGRESS
        assert doubtful.batches.get().next_due_at is not None

    def test_other_rows_are_left_alone(self, doubtful, dead, starter):
        with pytest.raises(Refused, match="None of these"):
            in_doubt.resolve_in_doubt(doubtful, starter, decision="sent", log_ids=[dead[0]])

    def test_nothing_is_sent_again_after_a_stop(self, doubtful, starter):
        Delivery.objects.update(state=State.STOPPED)
        with pytest.raises(Refused, match="stopped"):
            in_doubt.resolve_in_doubt(doubtful, starter, decision="resend")

    def test_it_takes_the_role(self, doubtful, preparer):
        with pytest.raises(Exception, match="Start deliveries"):
            in_doubt.resolve_in_doubt(doubtful, preparer, decision="sent")
