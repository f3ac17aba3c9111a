"""Nobody reads of people of a unit beside their own, by whatever address of the product, through what lies above both.

The addresses come from the resolver: a page that is added is asked, too. What lies above holds people of both units; no
answer to somebody of the one may hold an address, a name or an attribute of the other's people.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from django.test import Client
from guardian.shortcuts import assign_perm

from campaigns.models.units import ROOT
from deliveries.ledger.message_tokens.tokens import sign

from .addresses import Address, addresses, values
from .asking import ask, filled, methods, undone
from .expected import EXPECTED, Rule
from .one_of_each import placed

pytestmark = pytest.mark.django_db

MARK = "another unit"
# What must not be told of B's people: the profile's, the test profile's, and that of somebody who is gone.
SECRETS = (
    "bernadette.q@beside.example",
    "Bernadetta",
    "Quillfeather",
    "Zanzibarium",
    "seedling@beside.example",
    "Seedlingham",
    "vanished@beside.example",
    "mistyped-line",
    "jumbled@beside.example",
)
# What people might look for: beginnings, shorter than what must not be told.
SOUGHT = tuple(f"q={beginning}&address={beginning}&text={beginning}" for beginning in ("bernadet", "see", "jum"))
ROLES = {
    "P": ["Prepare deliveries"],
    "S": ["Start deliveries", "Export"],
    "A": ["Administrators"],
    "D": ["Delivery supervisors", "Prepare deliveries"],
    "G": ["Prepare deliveries"],
}


@pytest.fixture
def world(message: Any, routing: Any, starter: Any) -> dict[str, Any]:
    """A delivery above two units that went to both's people, and left traces of them wherever a delivery does."""
    from campaigns.models import Profile, ProfileImport, TestProfile
    from campaigns.models.units import OrganizationalUnit
    from deliveries.lifecycle import commands
    from deliveries.models import Delivery
    from deliveries.preparation import prepare

    from .stage_units import traces

    above = OrganizationalUnit.objects.create(label="Above", name="above", parent_id=ROOT)
    own, beside = (
        OrganizationalUnit.objects.create(label=name.title(), name=name, parent=above) for name in ("own", "beside")
    )
    for thing in (message.campaign, message.brand, message.audience, routing):
        thing.unit = above
        thing.save()
    message.html = "<p>{{ first_name }} {{ last_name }} {{ attributes.colour }} {{ email }} {{ unsubscribe_url }}</p>"
    seed = TestProfile.objects.create(
        label="Seedlingham", email="seedling@beside.example", first_name="Seedlingham", trap=True, unit=beside
    )
    message.save()
    message.traps.add(seed)
    ours = Profile.objects.create(email="ann@own.example", first_name="Ann", unit=own)
    theirs = Profile.objects.create(
        email="bernadette.q@beside.example",
        first_name="Bernadetta",
        last_name="Quillfeather",
        attributes={"colour": "Zanzibarium"},
        unit=beside,
    )
    gone = Profile.objects.create(email="vanished@beside.example", unit=beside)
    delivery = commands.create_delivery(message, starter)
    commands.prepare(delivery, starter)
    prepare.run(delivery.pk)
    gone.delete()
    things = traces(Delivery.objects.get(pk=delivery.pk), starter, theirs, seed)
    held = ProfileImport.objects.create(file_name="people.csv", data=b"", unit=above, errors=1)
    held.problems.create(line=2, column="email", message="'mistyped-line' is no e-mail address.")
    people = {role: placed(f"reader-{role}", own, *names) for role, names in ROLES.items()}
    for right in ("view_campaign", "prepare_deliveries", "start_deliveries", "export_logs"):
        assign_perm(right, people["G"], message.campaign)
    things |= {
        "campaign": message.campaign.pk,
        "message": message.pk,
        "brand": message.brand.pk,
        "profile": theirs.pk,
        "audience": message.audience.pk,
        "delivery": delivery.pk,
        "profileimport": held.pk,
        "routing": routing.pk,
        "testprofile": seed.pk,
        "unit": above.pk,
        "organizationalunit": above.pk,
        "user": starter.pk,
        "group": 1,
    }
    logs = dict(delivery.sending_logs.values_list("address", "pk"))
    rows = [logs[theirs.email], logs[seed.email], logs["vanished@beside.example"], logs[ours.email]]
    known = {"uid": "0", "tokens": sign(logs[ours.email]), "ours": ours}
    return {"things": things, "people": people, "rows": rows, "row": rows[0], **known}


def texts(answer: Any) -> str:
    """All that an answer says, a file's parts unpacked."""
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    if body[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(body)) as file:
            body = b"\n".join(file.read(name) for name in file.namelist())
    return body.decode("utf-8", "replace")


def told(text: str) -> list[str]:
    """The secrets that a text gives away."""
    return [secret for secret in SECRETS if secret in text]


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_no_address_of_the_product_tells_of_people_of_a_unit_beside(
    world: dict[str, Any], role: str, caplog: Any
) -> None:
    caplog.set_level("CRITICAL", "django")
    seen, wrong = asked_everything(world, role, addresses(), (*SOUGHT, profile_query(world)))
    assert not wrong, "\n".join(wrong)
    assert seen > 10 or role == "A"  # rows there were, masked; administrators of a unit read no delivery above


def test_no_page_of_a_delivery_or_message_above_tells_of_people_of_a_unit_beside(world: dict[str, Any]) -> None:
    shown = [
        one for one in addresses() if re.search("(deliver|message)[a-z]*/<", one.route) and "export" not in one.name
    ]
    seen, wrong = asked_everything(world, "P", shown, ())
    assert not wrong, "\n".join(wrong)
    assert seen > 10


def asked_everything(
    world: dict[str, Any], role: str, asked: Iterable[Address], queries: Sequence[str]
) -> tuple[int, list[str]]:
    """Ask these addresses by each method, and GET with each query. Out: how many answers masked somebody, and what was
    told that must not be."""
    client, wrong, seen = Client(), [], 0
    client.force_login(world["people"][role])
    cookies = client.cookies.output(header="")
    for address, path in ((one, path) for one in asked for path in paths(one, world)):
        todo = [("get", path), *((method, path) for method in methods(address.name, path) if method != "get")]
        todo += [("get", f"{path}?{query}") for query in queries]
        for method, url in todo:
            client.cookies.load(cookies)
            with undone():
                answer = ask(client, method, url, body_of(address.name, method, world))
                text = texts(answer)
            assert answer.status_code < 500 or address.name == "healthz", f"{url}: {text[:500]}"
            seen += answer.status_code == 200 and MARK in text
            wrong += [f"{address.name}: {method} {url}: {found}"] if (found := told(text)) else []
            if (method, url) == ("get", path) and answer.status_code != 200:
                del todo[-len(queries) or len(todo) :]
    return seen, wrong


def paths(address: Address, world: dict[str, Any]) -> list[str]:
    """The address for each row that it may name."""
    rows = world["rows"] if "<row>" in address.route else world["rows"][:1]
    return [address.path(values(address, world | {"row": row})) for row in rows]


def profile_query(world: dict[str, Any]) -> str:
    """With their profile chosen, and whatever widens a list."""
    return f"profile={world['things']['profile']}&with_proofs=true&limit=1000&executions=all"


def body_of(name: str, method: str, world: dict[str, Any]) -> Any:
    """As the permission matrix forges it; exports in either format."""
    if method == "get":
        return None
    return {"format": "xlsx"} if "export" in name else filled(EXPECTED.get(name, Rule()).body, world)
