"""How fast each domain's mail may leave."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.mail import throttle
from deliveries.mail.throttle import HOLD, Pace, problems


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_without_limits_everything_leaves(clock):
    pace = Pace({}, clock)
    assert [pace.wait(f"u{n}@example.com") for n in range(500)] == [0.0] * 500


def test_as_many_at_once_as_the_limit_says_and_no_other_domain_waits(clock):
    pace = Pace({"example.com": {"connections": 2}}, clock)
    assert [pace.wait("u@Example.com") for _ in range(3)] == [0.0, 0.0, HOLD]
    assert pace.wait("u@example.net") == 0.0
    pace.answered("u@example.com")
    assert pace.wait("u@example.com") == 0.0


@given(st.integers(1, 6000), st.integers(1, 300))
def test_no_more_than_the_rate_whatever_is_put_off_comes_in_its_turn(per_minute, number):
    clock = Clock()
    pace = Pace({"*": {"per_minute": per_minute}}, clock)
    waits = [pace.wait("u@example.com") for _ in range(number)]
    gone = waits.count(0.0)
    assert gone <= max(1, per_minute / 60 * throttle.BURST)
    late = [wait for wait in waits if wait]
    assert late == sorted(late)
    assert not late or late[-1] * per_minute / 60 <= len(late) + 1


@given(st.integers(1, 9), st.integers(1, 5), st.integers(60, 6000))
def test_those_who_send_at_once_keep_the_limits_together(connections, sharers, per_minute):
    clock = Clock()
    paces = [
        Pace({"a.example": {"connections": connections}, "b.example": {"per_minute": per_minute}}, clock)
        for _ in range(sharers)
    ]
    for place, pace in enumerate(paces):
        pace.share(place, sharers)
    asked = [[pace.wait("u@a.example") for _ in range(20)] for pace in paces]
    assert sum(waits.count(0.0) for waits in asked) == connections
    assert [waits[-1] for waits in asked] == [HOLD if 0.0 in waits else throttle.NO_SHARE for waits in asked]
    left = sum(pace.wait("u@b.example") == 0.0 for pace in paces for _ in range(2000))
    assert left <= max(sharers, per_minute / 60 * throttle.BURST)


def test_the_rate_is_given_again_with_time(clock):
    pace = Pace({"example.com": {"per_minute": 60}}, clock)
    assert [pace.wait("u@example.com") for _ in range(11)].count(0.0) == 10
    clock.now += 5
    assert [pace.wait("u@example.com") for _ in range(11)].count(0.0) == 5


def test_a_domain_that_says_too_much_is_left_in_peace_longer_each_time(clock):
    pace = Pace({}, clock)
    pauses = []
    for _ in range(9):
        for _ in range(throttle.PATIENCE_TOLD):
            pace.put_off("u@example.com", too_much=True)
        pauses.append(pace.wait("u@example.com"))
        clock.now += pauses[-1]
    assert pauses[:3] == [30.0, 60.0, 120.0]
    assert pauses[-1] == throttle.LONGEST_PAUSE
    assert pace.wait("u@example.net") == 0.0


def test_an_acceptance_ends_the_trouble(clock):
    pace = Pace({}, clock)
    for _ in range(50):
        for _ in range(throttle.PATIENCE - 1):
            pace.put_off("u@example.com", too_much=False)
        pace.answered("u@example.com", accepted=True)
    assert pace.wait("u@example.com") == 0.0


@pytest.mark.parametrize(
    "limits, wrong",
    [
        ({}, 0),
        ({"a.example": {"connections": 1, "per_minute": 0.5}}, 0),
        ([], 1),
        ({"a.example": 7}, 1),
        ({"a.example": {"speed": 1}}, 1),
        ({"a.example": {"connections": 0}, "b.example": {"per_minute": True}}, 2),
    ],
)
def test_limits_that_cannot_be_meant_are_told(limits, wrong):
    assert len(problems(limits)) == wrong


def test_a_routing_refuses_limits_that_cannot_be_meant():
    from django.core.exceptions import ValidationError

    from deliveries.models.routing import Routing

    with pytest.raises(ValidationError, match="above zero"):
        Routing(label="x", domain_limits={"example.com": {"connections": 0}}).clean()
