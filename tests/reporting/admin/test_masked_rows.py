"""Rows about people of another unit: masked the same on page, in files and for programs, found by no search, and free
for readers at All."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from guardian.shortcuts import assign_perm

from campaigns.accounts import masking
from campaigns.models import Profile, TestProfile
from campaigns.models.units import ROOT, GroupUnit, OrganizationalUnit
from deliveries.ledger import masked_rows

pytestmark = pytest.mark.django_db
THEIRS, OURS = "user1@example.net", "user0@example.net"


@pytest.fixture
def tree() -> dict[str, Any]:
    """{name: unit}: above over own and beside, own over below."""
    made: dict[str, Any] = {}
    for name, parent in (("above", None), ("own", "above"), ("beside", "above"), ("below", "own")):
        within = made[parent] if parent else OrganizationalUnit.objects.get(pk=ROOT)
        made[name] = OrganizationalUnit.objects.create(label=name, name=name, parent=within)
    return made


@pytest.fixture
def reader(make_user: Any, tree: Any) -> Any:
    """Somebody who prepares and exports in the unit “own”."""
    user = make_user("reader", "Prepare deliveries", "Export")
    group = Group.objects.create(name="own")
    group.permissions.set(pk for each in user.groups.all() for pk in each.permissions.values_list("pk", flat=True))
    GroupUnit.objects.create(group=group, unit=tree["own"])
    user.groups.set([group])
    return type(user).objects.get(pk=user.pk)


@pytest.fixture
def shared(sent: Any, tree: Any) -> Any:
    """A delivery above of three rows, the second of which is about somebody beside, the third about one who is gone."""
    delivery = sent(3)
    delivery.campaign.unit = tree["above"]
    delivery.campaign.save()
    Profile.objects.update(unit=tree["own"])
    Profile.objects.filter(email=THEIRS).update(unit=tree["beside"])
    Profile.objects.filter(email="user2@example.net").delete()
    return delivery


def addresses(client: Client, delivery: Any, query: str = "") -> list[str]:
    """By the API."""
    answer = client.get(f"/api/deliveries/{delivery.pk}/sending-logs/?ordering=id&{query}")
    return [row["address"] for row in answer.json()["results"]]


def test_page_list_file_and_program_show_the_same_rows_and_mask_the_same(
    shared: Any, reader: Any, client: Client
) -> None:
    for right in ("view_campaign", "export_logs"):
        assign_perm(right, reader, shared.campaign)
    client.force_login(reader)
    expected = [OURS, str(masking.MARK), str(masking.MARK)]
    figure = client.get(f"/api/deliveries/{shared.pk}/figures/delivered/?count=1").json()
    page = client.get(reverse("admin:deliveries_delivery_sending_logs", args=[shared.pk]))
    export = client.post(reverse("delivery-export", args=[shared.pk, "sending-logs"]), {"format": "csv"})
    rows = list(csv.reader(io.StringIO(b"".join(export.streaming_content).decode("utf-8-sig")), delimiter=";"))
    assert addresses(client, shared) == expected
    assert [row["address"] for row in figure["results"]] == expected and figure["count"] == 3
    assert [row.address for row in page.context["page"].rows] == expected
    assert [row[1] for row in rows[1:]] == expected


def test_a_masked_row_keeps_what_became_of_it_and_says_that_it_is_masked(
    shared: Any, reader: Any, client: Client
) -> None:
    shared.sending_logs.update(reply="250 OK <somebody@example.com>")
    client.force_login(reader)
    ours, theirs, _gone = client.get(f"/api/deliveries/{shared.pk}/sending-logs/?ordering=id").json()["results"]
    kept = ("status", "date", "reason", "attempts", "relayed_at")
    assert [theirs[name] for name in kept] == [ours[name] for name in kept]
    assert (theirs["profile"], theirs["reply"], theirs["hidden"], ours["hidden"]) == (None, "", True, False)


@pytest.mark.parametrize(("beginning", "found"), [("user", [OURS]), (THEIRS, []), ("user2", []), (OURS, [OURS])])
def test_no_search_finds_a_masked_row(
    shared: Any, reader: Any, client: Client, beginning: str, found: list[str]
) -> None:
    client.force_login(reader)
    page = reverse("admin:deliveries_delivery_sending_logs", args=[shared.pk])
    assert addresses(client, shared, f"address={beginning}") == found
    assert [row.address for row in client.get(page, {"q": beginning}).context["page"].rows] == found


@pytest.mark.parametrize("unit", ["own", "below"])
def test_of_a_delivery_at_or_below_the_readers_unit_who_is_gone_is_shown_and_who_moved_away_is_not(
    shared: Any, reader: Any, client: Client, tree: Any, unit: str
) -> None:
    shared.campaign.unit = tree[unit]
    shared.campaign.save()
    client.force_login(reader)
    assert addresses(client, shared) == [OURS, str(masking.MARK), "user2@example.net"]
    assert addresses(client, shared, "address=user") == [OURS, "user2@example.net"]


def test_a_trap_is_seen_by_whoever_may_read_its_test_profile(
    shared: Any, reader: Any, client: Client, tree: Any
) -> None:
    shared.sending_logs.update(test_profile=True, profile=None)
    for address, unit in ((OURS, "above"), (THEIRS, "beside")):
        TestProfile.objects.create(label=address, email=address, unit=tree[unit])
    client.force_login(reader)
    assert addresses(client, shared) == [OURS, str(masking.MARK), str(masking.MARK)]
    assert addresses(client, shared, "address=user") == [OURS]


def test_readers_at_all_pay_nothing_and_others_three_queries_whatever_the_number_of_rows(
    shared: Any, reader: Any, starter: Any
) -> None:
    rows = list(shared.sending_logs.all())
    with CaptureQueriesContext(
        connection,
    ) as asked:
        everything = masked_rows.sight(starter, shared)
    assert everything.all and "profile" not in "".join(query["sql"] for query in asked.captured_queries)
    with CaptureQueriesContext(connection) as asked:
        masked_rows.mask_logs(rows, everything)
        assert not str(everything.found_with_tests())[6:-1] and len(asked) == 0
    seen = masked_rows.sight(reader, shared)
    with CaptureQueriesContext(connection) as asked:
        masked_rows.mask_logs(rows * 50, seen)
    assert len(asked) <= 3


def test_a_preview_neither_offers_nor_shows_people_of_another_unit(shared: Any, reader: Any, client: Client) -> None:
    client.force_login(reader)
    page = reverse("admin:campaigns_message_preview", args=[shared.message_id])
    theirs = Profile.objects.get(email=THEIRS)
    unknown = client.get(page, {"profile": 10**9})
    asked = client.get(page, {"profile": theirs.pk})
    assert asked.context["profile"] == unknown.context["profile"] == Profile.objects.get(email=OURS)
    assert client.get(page, {"q": "user"}).context["profiles"] == [Profile.objects.get(email=OURS)]
