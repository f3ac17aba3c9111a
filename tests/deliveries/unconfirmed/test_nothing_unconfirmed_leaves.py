"""Nothing leaves that a holder of Start deliveries has not confirmed in that form.

Whatever can be changed, by whatever road (roads.py), by people of every kind without the role: afterwards
the world goes on (world.py), and each message that leaves is compared with those of the form that was confirmed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from dataclasses import fields as fields_of

import pytest

from deliveries.models import Delivery

from .people import ALL_BUT_START
from .roads import FORMED, Actor, Road, command, roads, rows
from .world import STAGES, Letter, Stage, World, live, undone

pytestmark = pytest.mark.django_db


# --- the property -----------------------------------------------------------------------------------------------------


@dataclass
class Walk:
    """Goes roads from one stage, each from the same beginning; then the actor pushes, and the world goes on."""

    world: World
    stage: Stage
    actor: Actor
    push: tuple[str, ...] = ()
    wrong: list[str] = field(default_factory=list)
    fields: set[str] = field(default_factory=set)  # of FORMED, that were changed

    def go(self, wanted: Callable[[Road], bool], *, once: bool = False) -> None:
        """In: which roads; `once`: of several inputs of one field, or roads to the same change, the first is enough."""
        self.begin()
        self.before, self.lived, subjects = rows(), set[frozenset[str]](), set[str]()
        others = []
        for road in filter(wanted, roads(self.actor, self.world.things)):
            if not road.formed:
                others.append(road)
            elif not (once and road.subject in subjects):
                subjects.add(road.subject) if self._one(road, once) else None
        for number in range(0, len(others), TOGETHER):
            self._some(others[number : number + TOGETHER])

    def begin(self) -> None:
        """Bring it to its stage; what leaves if nothing is changed."""
        self.world.slot = None
        self.stage.bring(self.world)
        self.world.forget()
        self.usual = self._live()
        assert bool(self.usual) == self.stage.sends and not self.world.early and len(set(self.usual)) <= 1

    def _one(self, road: Road, once: bool) -> bool:
        """Out: whether anything changed."""
        with undone():
            changed = road.walk(self.before)
            self.fields |= changed
            if not (changed and once and changed in self.lived):
                self.lived.add(changed)
                self._look([road])
        return bool(changed)

    def _some(self, together: list[Road]) -> None:
        """Roads that change nothing of FORMED: all of them at once, unless that keeps something from leaving."""
        with undone():
            for road in together:
                road.walk(self.before)
            left = self._look(together)
        if len(together) > 1 and not covers(left, self.usual):
            for road in together:
                self._some([road])

    def _look(self, gone: list[Road]) -> list[Letter]:
        """Push, let the world go on, and compare what leaves."""
        world, names = self.world, ", ".join(road.name for road in gone)
        for method in self.push:
            for pk in Delivery.objects.filter(message=world.message).order_by("-pk").values_list("pk", flat=True):
                command(self.actor, pk, method)
        left = self._live(gone=True)
        self.wrong += [f"{names}: {why}" for why in told(self.usual, left, world.early, data=not gone[0].formed)]
        return left

    def _live(self, *, gone: bool = False) -> list[Letter]:
        self.world.forget(letters=not gone)
        with undone():
            left = live(self.world, self.stage)
        self.world.forget()
        return left


TOGETHER = 12  # roads that change nothing of FORMED


def covers(left: list[Letter], usual: list[Letter]) -> bool:
    """Nothing was kept back, so that none of several changes can hide another."""
    return {one.recipient for one in usual} <= {one.recipient for one in left}


def told(usual: list[Letter], left: list[Letter], early: list[Letter], *, data: bool) -> list[str]:
    """What is wrong with the letters that left, in words. `data`: what was changed may bring other recipients."""
    forms, meant = set(usual), {one.recipient for one in usual}
    found = [f"{one.recipient} before its time" for one in early]
    found += [f"{one.recipient} is not meant" for one in left if not data and one.recipient not in meant]
    return found + [
        f"{one.recipient} in another form: {differing(one, usual)}" for one in left if not known(one, forms)
    ]


def known(one: Letter, forms: set[Letter]) -> bool:
    """One of these; whoever wants text alone gets that of it, which is the profile's affair."""
    return one in forms or (not one.html and any(replace(one, html=form.html) == form for form in forms))


def differing(one: Letter, usual: list[Letter]) -> str:
    """In what it differs from what usually leaves."""
    held = usual[0] if usual else None
    names = [each.name for each in fields_of(Letter) if each.compare]
    return ", ".join(
        f"{name} {getattr(one, name)!r}" for name in names if getattr(one, name) != getattr(held, name, None)
    )


def test_unchanged_every_stage_sends_what_was_confirmed(world, somebody, settings, caplog):
    """Else the others would find nothing wrong with a world in which nothing ever leaves."""
    caplog.set_level("CRITICAL")
    for stage in STAGES.values():
        settings.UNDO_SECONDS = 0
        with undone():
            Walk(world, stage, somebody("N")).begin()


BESIDE_A_MESSAGE = ("Schedule", "Recurrence", "ControlGroup", "TrackingOptions")
# Fields that no road of the sealed models' own reaches, and why that is as it should be.
ELSEWHERE = {
    "Audience.members": "data: test_who_reaches_with_data.py",
    **{f"{name}.message": "belongs to its message" for name in BESIDE_A_MESSAGE},
}


def test_whatever_is_changed_of_the_form_nothing_unconfirmed_leaves(world, somebody, caplog):
    """Every field of every model that makes up the form, by somebody with every role but the one: by API, or by form
    where there is no API."""
    caplog.set_level("CRITICAL")
    actor = somebody(ALL_BUT_START)
    series = Walk(world, STAGES["recurring, never asks"], actor)
    with undone():
        series.go(lambda road: road.formed and "form campaigns/message" not in road.name, once=True)
    single = Walk(world, STAGES["asked for, to start by itself"], actor)
    with undone():
        single.go(
            lambda road: "schedule" in road.name or road.name.endswith(("proof_prefix", "proof_number")), once=True
        )
    assert not series.wrong + single.wrong
    assert editable() - series.fields - single.fields == set(ELSEWHERE)


def editable() -> set[str]:
    """Model.field of all that somebody may write."""
    every = ((model, each) for model in FORMED for each in (*model._meta.concrete_fields, *model._meta.many_to_many))
    return {f"{model.__name__}.{each.name}" for model, each in every if each.editable and not each.primary_key}


PUSH = ("prepare", "startSeries")  # what whoever prepares may do afterwards; all other commands are roads themselves


def acts(road: Road) -> bool:
    """What is done to the delivery itself."""
    return road.name.startswith(("command", "POST delivery-", "POST admin:deliveries_delivery", "DELETE delivery"))


FILLED = ("asked for, to start by itself", "ready", "scheduled", "recurring, never asks")


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_by_every_road_at_every_stage(world, somebody, stage, caplog):
    """Of the form, and whatever is done to a delivery; at two stages all other roads, too.

    A page's fields are those of the API, and cost four times as much: they are filled in where a form is new, looked
    at, confirmed, or prepared by a series."""
    caplog.set_level("CRITICAL")
    walk = Walk(world, STAGES[stage], somebody(ALL_BUT_START), PUSH)
    whole, filled = stage in ("running", "recurring, never asks"), stage in FILLED
    walk.go(lambda road: (whole or road.formed or acts(road)) and (filled or not road.page), once=True)
    assert not walk.wrong, "\n".join(walk.wrong)
