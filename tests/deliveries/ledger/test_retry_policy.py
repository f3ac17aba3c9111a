"""When something is tried again."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from deliveries.ledger.retry_policy import DAY, Policy, pause_before

HOUR = timedelta(hours=1)
chances = st.lists(st.floats(0, 1), min_size=12, max_size=12)


def moments(policy, chances):
    """Hours after the first try at which the next ones come."""
    at, found = timedelta(0), []
    for attempt, chance in enumerate(chances, 1):
        at += pause_before(attempt, policy, lambda chance=chance: chance)
        found.append(at)
    return found


def test_the_default_tries_five_times_in_a_day_and_then_daily():
    hours = [round(at / HOUR, 1) for at in moments(Policy(), [0] * 8)]
    assert hours == [2.1, 6.1, 11.2, 17.2, 24.0, 48.0, 72.0, 96.0]


@given(chances)
def test_five_fall_in_the_first_day_whatever_chance_does(chances):
    found = moments(Policy(), chances)
    assert sum(at <= DAY + timedelta(seconds=1) for at in found) == 5


@given(chances, st.integers(0, 10), st.integers(1, 600), st.integers(1, 100))
def test_two_tries_are_never_closer_than_the_gap(chances, first_day, gap, every):
    policy = Policy(first_day, timedelta(minutes=gap), timedelta(hours=every))
    found = [timedelta(0), *moments(policy, chances)]
    assert all(later - earlier >= policy.gap for earlier, later in pairwise(found))


def test_chance_spreads_them():
    assert pause_before(3, chance=lambda: 0.0) > pause_before(3, chance=lambda: 1.0)
