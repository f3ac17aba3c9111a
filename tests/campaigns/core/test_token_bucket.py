"""Buckets: so much a second on average, a burst at once, and bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from campaigns.core import token_bucket
from campaigns.core.token_bucket import Buckets


class Clock:
    """Time as the test sets it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_the_rate_alone() -> None:
    clock = Clock()
    buckets = Buckets(2, 5, clock)
    assert [buckets.take("a") for _ in range(7)] == [True] * 5 + [False] * 2
    clock.now = 1.0
    assert [buckets.take("a") for _ in range(3)] == [True, True, False]


def test_one_key_does_not_pay_for_another_and_a_guess_pays_more() -> None:
    buckets = Buckets(1, 10, Clock())
    assert buckets.take("a") and buckets.take("a", 20)
    assert not buckets.take("a") and buckets.take("b")


def test_no_rate_is_no_limit() -> None:
    buckets = Buckets(0, 0, Clock())
    assert all(buckets.take("a", 1000) for _ in range(1000))


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0.5, 4)), max_size=60))
def test_never_more_than_burst_and_rate_allow(steps: list[tuple[float, float]]) -> None:
    clock = Clock()
    buckets, taken = Buckets(3, 10, clock), 0.0
    for pause, cost in steps:
        clock.now += pause
        taken += cost if buckets.take("a", cost) else 0
        assert taken <= 10 + 3 * clock.now + 4


def test_a_million_addresses_do_not_fill_the_memory(monkeypatch: object) -> None:
    clock = Clock()
    buckets = Buckets(1, 10, clock)
    for number in range(token_bucket.MOST * 3):
        clock.now += 0.001
        buckets.take(str(number))
    assert len(buckets._left) <= token_bucket.MOST
