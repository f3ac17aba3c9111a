"""The ten rows of deliverability.md, What comes back, and that the order in which reports arrive never matters."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.ledger.transitions import Fact, Row, learn, relay
from deliveries.models.counters import FAILED, IN_DOUBT, PENDING, SENT

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def after(*facts, feedback):
    """A row after being relayed and then learning the facts, a minute apart."""
    row = relay(Row(PENDING), feedback=feedback)
    for minute, fact in enumerate(facts):
        row = learn(row, fact, T0 + timedelta(minutes=minute), feedback=feedback)
    return row


@pytest.mark.parametrize(
    "feedback, facts, status",
    [
        (True, [], PENDING),
        (True, [Fact.DELIVERED], SENT),
        (True, [Fact.HARD], FAILED),
        (True, [Fact.SOFT], FAILED),
        (True, [Fact.SOFT, Fact.DELIVERED], SENT),
        (True, [Fact.SOFT, Fact.EXPIRED], FAILED),
        (False, [], SENT),
        (False, [Fact.HARD], FAILED),
        (False, [Fact.SOFT], SENT),
        (False, [Fact.SOFT, Fact.DELIVERED], SENT),
        (False, [Fact.SOFT, Fact.EXPIRED], FAILED),
    ],
)
def test_the_tables_rows(feedback, facts, status):
    assert after(*facts, feedback=feedback).status == status


@pytest.mark.parametrize("feedback", [True, False])
def test_a_hard_bounce_after_delivery_fails_the_row(feedback):
    assert after(Fact.DELIVERED, Fact.HARD, feedback=feedback).status == FAILED


def test_a_late_delay_notice_changes_nothing_after_a_final_word():
    assert after(Fact.DELIVERED, Fact.DELAYED, feedback=True) == after(Fact.DELIVERED, feedback=True)


def test_an_asynchronous_soft_bounce_follows_the_soft_row_of_its_table():
    assert after(Fact.DELIVERED, Fact.SOFT, feedback=True).status == FAILED
    assert after(Fact.DELIVERED, Fact.SOFT, feedback=False).status == SENT


def test_a_success_that_is_reported_after_the_expiry_counts_without_feedback():
    assert after(Fact.EXPIRED, Fact.DELIVERED, feedback=False).status == SENT


@pytest.mark.parametrize("feedback", [True, False])
def test_nothing_is_retrying_once_the_validity_is_over(feedback):
    assert after(Fact.SOFT, feedback=feedback).retrying
    assert not after(Fact.SOFT, Fact.EXPIRED, feedback=feedback).retrying
    assert not after(Fact.SOFT, Fact.EXPIRED, Fact.SOFT, feedback=feedback).retrying


@pytest.mark.parametrize("feedback", [True, False])
@pytest.mark.parametrize("fact", Fact)
def test_any_report_ends_doubt(feedback, fact):
    assert learn(Row(IN_DOUBT), fact, T0, feedback=feedback).status in (SENT, FAILED)


def test_a_report_before_the_250_was_recorded_stands():
    row = learn(Row(PENDING), Fact.HARD, T0, feedback=False)
    assert relay(row, feedback=False).status == FAILED


reports = st.lists(st.tuples(st.sampled_from(Fact), st.integers(0, 5)), max_size=8)


@given(reports, st.booleans(), st.randoms(use_true_random=False))
def test_any_order_and_any_repeats_end_the_same(history, feedback, chance):
    def play(facts):
        row = relay(Row(PENDING), feedback=feedback)
        for fact, minute in facts:
            row = learn(row, fact, T0 + timedelta(minutes=minute), feedback=feedback)
        return row

    shuffled = [*history, *history[:3]]
    chance.shuffle(shuffled)
    assert play(shuffled) == play(history)
