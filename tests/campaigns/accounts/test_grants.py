"""What a grant on one campaign does not do: tell which accounts there are, or lift what binds people there."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from guardian.shortcuts import assign_perm

from campaigns.accounts import permissions
from campaigns.models import Campaign

pytestmark = pytest.mark.django_db
JSON = {"content_type": "application/json"}


@pytest.fixture
def chief(at: Any, client: Client) -> Any:
    """An administrator in Paris, logged in."""
    user = at("paris", permissions.ADMINISTRATORS, name="chief")
    client.force_login(user)
    return user


def sought(client: Client, campaign: Campaign, kind: str, name: str) -> tuple[int, str]:
    """What the page of permissions answers to a name, without what differs in every answer or was typed."""
    page = reverse("admin:campaigns_campaign_permissions", args=[campaign.pk])
    answer = client.post(page, {kind: name, f"submit_manage_{kind}": "1"})
    context = answer.context
    return answer.status_code, str(context[f"{kind}_form"].errors) if context else ""


@pytest.mark.parametrize("kind", ["user", "group"])
def test_an_account_that_one_may_not_see_is_answered_like_one_that_is_not_there(
    chief: Any, at: Any, in_paris: Any, client: Client, kind: str
) -> None:
    seen, beside = at("montmartre", name="seen"), at("lyon", name="beside")
    names = [one.username if kind == "user" else one.groups.get().name for one in (seen, beside)]
    unknown = sought(client, in_paris, kind, "nobody at all")
    assert sought(client, in_paris, kind, names[1]) == unknown and "does not exist" in unknown[1]
    assert sought(client, in_paris, kind, names[0])[0] == 302


@pytest.mark.parametrize("kind", ["user", "group"])
def test_the_page_of_an_account_that_one_may_not_see_is_not_there(
    chief: Any, at: Any, in_paris: Any, client: Client, kind: str
) -> None:
    seen, beside = at("montmartre", name="seen"), at("lyon", name="beside")
    for one, found in ((seen, True), (beside, False)):
        key = one.pk if kind == "user" else one.groups.get().pk
        page = reverse(f"admin:campaigns_campaign_permissions_manage_{kind}", args=[in_paris.pk, key])
        assert client.get(page).status_code == (200 if found else 404)
        assert client.post(page, {"permissions": ["view_campaign"]}).status_code == (302 if found else 404)


def test_whoever_holds_a_grant_here_is_seen_here_so_that_it_can_be_taken(
    chief: Any, at: Any, in_paris: Any, client: Client
) -> None:
    guest = at("lyon", name="guest")
    assign_perm("view_campaign", guest, in_paris)
    page = reverse("admin:campaigns_campaign_permissions_manage_user", args=[in_paris.pk, guest.pk])
    assert client.post(page, {"permissions": [], "save": "1"}, follow=True).status_code == 200
    assert not permissions.may_read(guest, in_paris)
    assert client.get(page).status_code == 404


def test_the_api_names_no_group_that_does_not_exist_for_the_administrator(chief: Any, at: Any, client: Client) -> None:
    person, beside = at("montmartre", name="person"), at("lyon", name="beside").groups.get()
    path = f"/api/users/{person.pk}/"
    answers = [client.patch(path, {"groups": [key]}, **JSON) for key in (beside.pk, 10**9)]
    assert answers[0].json() == answers[1].json() and {answer.status_code for answer in answers} == {403}
    assert client.patch(path, {"groups": [person.groups.get().pk]}, **JSON).status_code == 200


# --- Another person confirms, or approves -----------------------------------------------------------------------------

ADMIN, PREPARE = permissions.ADMINISTRATORS, permissions.PREPARERS
MAY_LIFT = [  # unit, roles, a grant of Prepare on the campaign, whether four eyes and approval can be taken away
    ("all", (ADMIN, PREPARE), False, True),
    ("france", (ADMIN, PREPARE), False, True),
    ("paris", (ADMIN, PREPARE), False, True),
    ("paris", (ADMIN,), True, True),
    ("paris", (PREPARE,), False, False),
    ("montmartre", (ADMIN, PREPARE), True, False),
    ("lyon", (ADMIN, PREPARE), True, False),
    ("lyon", (ADMIN, permissions.STARTERS), True, False),
    ("lyon", (PREPARE,), True, False),
]


@pytest.mark.parametrize(("unit", "roles", "granted", "lifts"), MAY_LIFT)
def test_who_may_take_away_that_another_person_confirms_or_approves(
    at: Any, in_paris: Any, tree: Any, client: Client, unit: str, roles: Any, granted: bool, lifts: bool
) -> None:
    user = at(unit, *roles)
    if granted:
        assign_perm("prepare_deliveries", user, in_paris)
    Campaign.objects.update(four_eyes=True, needs_approval=True)
    client.force_login(user)
    home = tree[unit].pk
    client.patch(f"/api/campaigns/{in_paris.pk}/", {"unit": home, "four_eyes": False, "needs_approval": False}, **JSON)
    form = {"label": "L", "start": "2026-01-01", "end": "2026-12-31", "status": 0, "unit": home}
    client.post(reverse("admin:campaigns_campaign_change", args=[in_paris.pk]), form)
    client.post(reverse("admin:campaigns_campaign_change", args=[in_paris.pk]), form)  # now perhaps in their own unit
    found = Campaign.objects.get(pk=in_paris.pk)
    assert (found.four_eyes, found.needs_approval) == (not lifts, not lifts)


def test_an_administrator_from_elsewhere_cannot_take_a_campaign_into_their_own_unit(
    at: Any, in_paris: Any, tree: Any, client: Client
) -> None:
    user = at("lyon", ADMIN, PREPARE)
    assign_perm("prepare_deliveries", user, in_paris)
    client.force_login(user)
    answer = client.patch(f"/api/campaigns/{in_paris.pk}/", {"unit": tree["lyon"].pk}, **JSON)
    assert answer.status_code == 403 and Campaign.objects.get(pk=in_paris.pk).unit == tree["paris"]


def test_whoever_prepares_in_a_campaign_may_ask_for_another_person(at: Any, in_paris: Any, client: Client) -> None:
    client.force_login(at("paris", PREPARE))
    form = {"label": "L", "start": "2026-01-01", "end": "2026-12-31", "status": 0, "four_eyes": "on"}
    client.post(reverse("admin:campaigns_campaign_change", args=[in_paris.pk]), form)
    assert Campaign.objects.get(pk=in_paris.pk).four_eyes
