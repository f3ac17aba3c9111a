"""Values of profiles and membership of lists are data, not form: who may change them, and what that
reaches while a delivery is scheduled or recurring.

A delivery is prepared for certain people: whoever comes later is not in it. Values are read when a message is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from campaigns.models import Audience, Message, Profile, ProfileImport
from campaigns.targeting import import_profiles
from deliveries.models import QuarantinedAddress
from tests.journeys.rights.expected import EXPECTED

from .people import ALL_BUT_START
from .roads import Actor
from .world import STAGES, World, live, undone

pytestmark = pytest.mark.django_db
ANN, BOB, CARL, SEED = "ann@example.com", "bob@example.com", "carl@example.net", "seed@example.com"


@pytest.fixture
def listed(world) -> World:
    """The message goes to a list with Ann and Bob; Carl is a profile outside it, quarantined Dan is in it."""
    people = Audience.objects.create(label="Readers", kind="list", unit_id=world.things["unit"])
    people.members.set(Profile.objects.filter(email__in=(ANN, BOB)))
    for name in ("Carl", "Dan"):
        Profile.objects.create(email=f"{name.lower()}@example.net", first_name=name, unit_id=world.things["unit"])
    people.members.add(Profile.objects.get(email="dan@example.net"))
    QuarantinedAddress.objects.create(address="dan@example.net")
    Message.objects.filter(pk=world.message.pk).update(audience=people)
    world.message = Message.objects.get(pk=world.message.pk)
    return world


def key(email: str) -> int:
    return int(Profile.objects.get(email=email).pk)


def patch(whose: str, **body: Any) -> Callable[[Actor, World], Any]:
    return lambda actor, world: actor.send("PATCH", f"/api/profiles/{key(whose)}/", body)


def add_carl(actor: Actor, world: World) -> Any:
    path = f"/api/audiences/{world.message.audience_id}/members/"
    return actor.send("POST", path, {"profiles": [key(CARL)]})


def bulk(actor: Actor, world: World) -> Any:
    return actor.send("POST", "/api/profiles/bulk/", {"profiles": [{"email": ANN, "first_name": "Zed"}]})


def import_carl(actor: Actor, world: World) -> Any:
    """Somebody whom nobody knew comes by a file into the list."""
    Profile.objects.get(email=CARL).delete()
    file = SimpleUploadedFile("people.csv", f"email,first_name\n{CARL},Carl\n".encode())
    body = {"file": file, "audience": world.message.audience_id}
    answer = actor.client.post("/admin/campaigns/profileimport/add/", body)
    for pk in ProfileImport.objects.order_by("-pk").values_list("pk", flat=True)[:1]:
        import_profiles.run(pk)
    return answer


def delete_ann(actor: Actor, world: World) -> Any:
    return actor.client.post(f"/admin/campaigns/profile/{key(ANN)}/delete/", {"post": "yes"})


def quarantine_ann(actor: Actor, world: World) -> Any:
    return actor.send("POST", "/api/quarantine/", {"address": ANN})


def free_dan(actor: Actor, world: World) -> Any:
    dan = QuarantinedAddress.objects.get(address="dan@example.net")
    return actor.send("PATCH", f"/api/quarantine/{dan.pk}/", {"status": 0})


def elsewhere(actor: Actor, world: World) -> Any:
    """Ann moves to a unit that is out of the campaign's reach."""
    from campaigns.models.units import OrganizationalUnit

    beside = OrganizationalUnit.objects.get(name="beside")
    return actor.client.post(*_moved(actor, beside.pk))


def _moved(actor: Actor, unit: int) -> tuple[str, dict[str, Any]]:
    from .page_controls import controls, posting

    path = f"/admin/campaigns/profile/{key(ANN)}/change/"
    return path, posting(controls(actor.client.get(path).content.decode(), "profile_form"), "unit", [str(unit)])


@dataclass(frozen=True)
class Row:
    """A change of data: `who` may do it, as in the permission matrix under `address`; {recipient: their subject} of
    what leaves then of a `scheduled` delivery, and of the next execution of a `series` that never asks."""

    change: Callable[[Actor, World], Any]
    address: tuple[str, str]
    who: str
    scheduled: dict[str, str]
    series: dict[str, str]


USUAL = {ANN: "Hello Ann", BOB: "Hello Bob", SEED: "Hello Seedling"}
WITHOUT_ANN = {name: words for name, words in USUAL.items() if name != ANN}
PREPARERS, ADMINISTRATORS = "PSU", "AU"
TABLE = {
    "a value of a profile": Row(
        patch(ANN, first_name="Zed"),
        ("profile-detail", "patch"),
        PREPARERS,
        USUAL | {ANN: "Hello Zed"},
        USUAL | {ANN: "Hello Zed"},
    ),
    "a value, in bulk": Row(
        bulk, ("profile-bulk", "post"), PREPARERS, USUAL | {ANN: "Hello Zed"}, USUAL | {ANN: "Hello Zed"}
    ),
    "a profile's address": Row(
        patch(ANN, email="new@example.net"),
        ("profile-detail", "patch"),
        PREPARERS,
        USUAL,
        WITHOUT_ANN | {"new@example.net": "Hello Ann"},
    ),
    "somebody comes onto the list": Row(
        add_carl, ("audience-members", "post"), PREPARERS, USUAL, USUAL | {CARL: "Hello Carl"}
    ),
    "somebody comes onto the list by a file": Row(
        import_carl, ("admin:campaigns_profileimport_add", "post"), PREPARERS, USUAL, USUAL | {CARL: "Hello Carl"}
    ),
    "somebody opts out": Row(
        patch(ANN, opt_out_email=True), ("profile-detail", "patch"), PREPARERS, WITHOUT_ANN, WITHOUT_ANN
    ),
    "a profile is deleted": Row(
        delete_ann, ("admin:campaigns_profile_delete", "post"), PREPARERS, USUAL | {ANN: "Hello reader"}, WITHOUT_ANN
    ),
    "a profile moves to another unit": Row(
        elsewhere, ("admin:campaigns_profile_change", "post"), PREPARERS, USUAL, WITHOUT_ANN
    ),
    "an address comes into quarantine": Row(
        quarantine_ann, ("quarantinedaddress-list", "post"), ADMINISTRATORS, WITHOUT_ANN, WITHOUT_ANN
    ),
    "an address is freed": Row(
        free_dan,
        ("quarantinedaddress-detail", "patch"),
        ADMINISTRATORS,
        USUAL,
        USUAL | {"dan@example.net": "Hello Dan"},
    ),
}


@pytest.mark.parametrize("column, stage", [("scheduled", "scheduled"), ("series", "recurring, never asks")])
def test_what_a_change_of_data_reaches(listed, somebody, column, stage, caplog):
    caplog.set_level("CRITICAL")
    actor, at, found = somebody(ALL_BUT_START), STAGES[stage], {}
    at.bring(listed)
    for what, row in TABLE.items():
        listed.forget()
        with undone():
            answer = row.change(actor, listed)
            assert answer.status_code in (200, 201, 302), (what, answer.content)
            found[what] = {one.recipient: one.shown.strip() for one in live(listed, at)}
    assert found == {what: getattr(row, column) for what, row in TABLE.items()}


@pytest.mark.parametrize("what", TABLE)
def test_who_may_change_data(what):
    name, method = TABLE[what].address
    assert getattr(EXPECTED[name], method) == TABLE[what].who


# --- a list of a running series ---------------------------------------------------------------------------------------


def test_an_execution_that_asks_nobody_tells_how_many_came_by_data(listed, somebody):
    stage = STAGES["recurring, never asks"]
    stage.bring(listed)
    listed.turn(listed.slot)
    add_carl(somebody("P"), listed)
    listed.turn(listed.newest.message.recurrence.next_at)
    line = listed.newest.events.get(code="newcomers")
    assert line.details["number"] == 1 and line.words == "1 of them were not in the execution before."


def test_the_first_execution_has_nobody_to_compare_with(listed):
    STAGES["recurring, never asks"].bring(listed)
    listed.turn(listed.slot)
    assert not listed.newest.events.filter(code="newcomers").exists()
