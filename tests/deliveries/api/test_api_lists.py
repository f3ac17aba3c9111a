"""What programs read: filters, order, chosen fields, and the quarantine that administrators keep."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from campaigns.models import Campaign
from deliveries.models import Delivery, FeedbackEvent, Proof, QuarantinedAddress
from deliveries.models.states import State

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(starter: Any) -> APIClient:
    """Somebody who may read all deliveries."""
    made = APIClient()
    made.force_authenticate(starter)
    return made


@pytest.fixture
def three(message: Any, routing: Any) -> list[Delivery]:
    """Three deliveries: ready, paused, finished; a day between their contact dates."""
    now, states = timezone.now(), (State.READY, State.PAUSED, State.FINISHED)
    return [
        Delivery.objects.create(
            message=message,
            campaign=message.campaign,
            label=f"Number {n}",
            state=state,
            contact_date=now + timedelta(days=n),
        )
        for n, state in enumerate(states)
    ]


def found(office: APIClient, query: str) -> list[str]:
    return [row["label"] for row in office.get(f"/api/deliveries/?{query}").json()["results"]]


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ("", ["Number 2", "Number 1", "Number 0"]),
        ("ordering=id", ["Number 0", "Number 1", "Number 2"]),
        ("ordering=created_at", ["Number 0", "Number 1", "Number 2"]),
        ("state=ready", ["Number 0"]),
        ("state=ready&state=paused", ["Number 1", "Number 0"]),
        ("logical_status=finished", ["Number 2"]),
        ("text=number+1", ["Number 1"]),
        ("executions=true", []),
        ("campaign=999", []),
    ],
)
def test_lists_are_narrowed_and_ordered(office: APIClient, three: Any, query: str, labels: list[str]) -> None:
    assert found(office, query) == labels


def test_proofs_are_listed_if_asked_for_and_read_only(office: APIClient, three: Any) -> None:
    carrier = three[0]
    carrier.proof = Proof.objects.create(delivery=three[1], number=1)
    carrier.save(update_fields=["proof"])
    assert found(office, "") == found(office, "with_proofs=false") == ["Number 2", "Number 1"]
    assert found(office, "with_proofs=true&state=ready") == ["Number 0"]
    one, asked = f"/api/deliveries/{carrier.pk}/", "?with_proofs=true"
    assert office.get(f"{one}{asked}").json()["proof_of"] == three[1].pk
    assert office.get(f"{one}sending-logs/{asked}").status_code == 200
    assert office.get(one).status_code == office.get(f"{one}sending-logs/").status_code == 404
    assert office.post(f"{one}commands/{asked}", {"method": "confirm"}).status_code == 404


@pytest.mark.parametrize(("limit", "answer"), [("1000", 200), ("1001", 400), ("0", 400), ("-1", 400), ("x", 400)])
def test_a_page_has_one_to_a_thousand_rows(office: APIClient, limit: str, answer: int) -> None:
    assert office.get(f"/api/deliveries/?limit={limit}").status_code == answer


def test_by_period_and_by_code(office: APIClient, three: list[Delivery]) -> None:
    since = (timezone.now() + timedelta(hours=12)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found(office, f"since={since}") == ["Number 2", "Number 1"]
    assert found(office, f"until={since}") == ["Number 0"]
    assert found(office, f"text={three[1].code}") == ["Number 1"]


def test_only_the_chosen_fields_and_the_id(office: APIClient, three: Any) -> None:
    rows = office.get("/api/deliveries/?fields=label,state").json()["results"]
    assert {tuple(row) for row in rows} == {("id", "label", "state")}


@pytest.mark.parametrize("ordering", ["-id", "id", "-created_at", "created_at"])
def test_pages_miss_nobody_and_name_nobody_twice(office: APIClient, ordering: str, db: None) -> None:
    same = timezone.now()
    for n in range(7):
        Campaign.objects.create(label=f"C{n}", created_at=same)
    path, seen = f"/api/campaigns/?limit=2&ordering={ordering}", []
    while path:
        page = office.get(path).json()
        seen += [row["label"] for row in page["results"]]
        path = page["next"]
    assert sorted(seen) == [f"C{n}" for n in range(7)]


def test_dates_are_iso_in_utc(office: APIClient, three: Any) -> None:
    with timezone.override("Asia/Tokyo"):
        assert office.get("/api/deliveries/").json()["results"][0]["created_at"].endswith("Z")


def test_administrators_keep_the_quarantine(make_user: Any) -> None:
    office = APIClient()
    office.force_authenticate(make_user("chief", "Administrators"))
    made = office.post("/api/quarantine/", {"address": "Ann@Example.com", "status": 2}).json()
    assert (made["address"], made["by_hand"]) == ("ann@example.com", True)
    again = office.post("/api/quarantine/", {"address": "ann@example.com"})
    assert (again.status_code, again.json()["code"]) == (400, "unique")
    assert office.get("/api/quarantine/?address=ann").json()["results"][0]["id"] == made["id"]
    assert office.get("/api/quarantine/?address=bob").json()["results"] == []


def test_freeing_an_address_forgets_what_was_reported(make_user: Any) -> None:
    office = APIClient()
    office.force_authenticate(make_user("chief", "Administrators"))
    entry = QuarantinedAddress.objects.create(address="ann@example.com")
    FeedbackEvent.objects.create(source=1, kind=3, key="1", at=timezone.now(), address=entry.address, log_id=1)
    assert office.patch(f"/api/quarantine/{entry.pk}/", {"status": 0}).json()["by_hand"] is False
    assert not FeedbackEvent.objects.get().counts
    assert office.delete(f"/api/quarantine/{entry.pk}/").status_code == 204


def test_the_quarantine_is_nobody_elses(office: APIClient) -> None:
    assert office.get("/api/quarantine/").status_code == 403
