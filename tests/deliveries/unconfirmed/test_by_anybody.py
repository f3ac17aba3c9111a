"""The property of test_nothing_unconfirmed_leaves.py for people of every kind without Start deliveries."""

from __future__ import annotations

import pytest

from .people import PEOPLE
from .test_nothing_unconfirmed_leaves import PUSH, Walk, acts
from .world import STAGES

pytestmark = pytest.mark.django_db
NOBODY_IS_ASKED = ("recurring, never asks", "written, to start by itself")


@pytest.mark.slow
@pytest.mark.parametrize("stage", NOBODY_IS_ASKED)
@pytest.mark.parametrize("kind", PEOPLE)
def test_by_people_of_every_kind(world, somebody, kind, stage, caplog):
    """By the API and the command line: the pages ask the same rights (test_permission_matrix.py)."""
    caplog.set_level("CRITICAL")
    walk = Walk(world, STAGES[stage], somebody(kind), PUSH)
    walk.go(lambda road: road.name.startswith("PATCH") or acts(road), once=True)
    assert not walk.wrong, "\n".join(walk.wrong)
