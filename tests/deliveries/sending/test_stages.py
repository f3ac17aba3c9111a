"""The table of a sender's stages (deliveries/sending/stages.py)."""

import pytest

from deliveries.sending.stages import FOLLOWERS, Stage

ENDS = [stage for stage in Stage if not stage.begins]


def test_every_stage_has_its_line() -> None:
    assert set(FOLLOWERS) == set(Stage)


@pytest.mark.parametrize("stage", ENDS)
def test_no_message_is_begun_after_the_end(stage: Stage) -> None:
    assert not any(follower.begins for follower in FOLLOWERS[stage])


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage.begins])
def test_the_sending_may_end_at_any_time(stage: Stage) -> None:
    assert FOLLOWERS[stage].issuperset(ENDS)


def test_rows_are_found_by_claiming_alone() -> None:
    found = {Stage.SENDING, Stage.ALONE, Stage.EXHAUSTED}
    assert {stage for stage in Stage if FOLLOWERS[stage] & found} == {Stage.CLAIMING}


def test_nothing_is_claimed_twice_at_once() -> None:
    assert Stage.CLAIMING not in FOLLOWERS[Stage.CLAIMING]
