"""Tokens that carry fewer rights than their owner, and the page on which people make them."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm
from rest_framework.test import APIClient

from campaigns.accounts import api_tokens, permissions
from campaigns.accounts.api_tokens import Right, allows, give, narrow, right_for
from campaigns.models.api import ApiToken
from campaigns.models.units import ROOT, GroupUnit, OrganizationalUnit

pytestmark = pytest.mark.django_db


def program(token: str) -> APIClient:
    """A client that sends a token."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


@pytest.mark.parametrize(
    ("permission", "right"),
    [
        ("campaigns.start_deliveries", Right.START),
        ("campaigns.prepare_deliveries", Right.PREPARE),
        ("campaigns.export_logs", Right.EXPORT),
        ("campaigns.view_profile", Right.READ),
        ("campaigns.add_profile", Right.PREPARE),
        ("deliveries.view_quarantinedaddress", Right.READ),
        ("deliveries.change_quarantinedaddress", Right.ADMINISTER),
        ("auth.view_user", Right.ADMINISTER),
        ("something.nobody_thought_of", Right.ADMINISTER),
    ],
)
def test_each_permission_needs_its_right(permission: str, right: Right) -> None:
    assert right_for(permission) == right


def test_starting_includes_preparing_and_not_the_other_way_round() -> None:
    assert allows([Right.START], permissions.PREPARE)
    assert not allows([Right.PREPARE], permissions.START)


def test_a_reading_token_of_a_starter_reads_and_no_more(message: Any, routing: Any, starter: Any) -> None:
    reader = program(give(starter, "Figures", [])[1])
    assert reader.get("/api/messages/").json()["results"][0]["id"] == message.pk
    assert reader.post("/api/deliveries/", {"message": message.pk}).status_code == 403
    assert reader.patch(f"/api/messages/{message.pk}/", {"subject": "Other"}).status_code == 403


def test_a_preparing_token_of_a_starter_cannot_confirm(message: Any, routing: Any, starter: Any) -> None:
    preparing = program(give(starter, "CMS", ["prepare"])[1])
    made = preparing.post("/api/deliveries/", {"message": message.pk})
    path = f"/api/deliveries/{made.data['id']}/commands/"
    assert preparing.post(path, {"method": "prepare"}).status_code == 200
    assert preparing.post(path, {"method": "confirm"}).status_code == 403


def test_a_token_gives_nothing_that_its_owner_does_not_hold(message: Any, make_user: Any) -> None:
    anything = program(give(make_user("nobody"), "All", Right.values)[1])
    assert anything.get(f"/api/messages/{message.pk}/").status_code == 404
    assert anything.post("/api/quarantine/", {"address": "a@example.com"}).status_code == 403


def test_a_superusers_reading_token_is_no_superuser(message: Any, admin_user: Any) -> None:
    reader = narrow(admin_user, [Right.READ])
    assert permissions.may_read(reader, message.campaign)
    assert not permissions.may_start(reader, message.campaign)
    assert not permissions.readable_campaigns(reader, permissions.START).exists()


def test_a_grant_on_one_campaign_is_narrowed_too(message: Any, make_user: Any) -> None:
    guest = make_user("guest")
    assign_perm("start_deliveries", guest, message.campaign)
    reader = narrow(guest, [Right.READ])
    assert not permissions.may_start(reader, message.campaign)
    assert not permissions.readable_campaigns(reader, permissions.START).exists()


def test_the_secret_is_kept_nowhere_and_ends_by_itself(starter: Any) -> None:
    token, secret = give(starter, "CMS", ["start"], days=1)
    assert secret not in str(ApiToken.objects.values().get())
    ApiToken.objects.filter(pk=token.pk).update(expiry=timezone.now() - timedelta(seconds=1))
    assert program(secret).get("/api/messages/").status_code == 401


@pytest.mark.parametrize("rights", [[], ["prepare"], list(Right.values)], ids=["read", "prepare", "all"])
def test_a_token_makes_no_token_and_ends_none_but_itself(make_user: Any, rights: list[str]) -> None:
    owner = make_user("owner", "Administrators", "Start deliveries")
    other, _secret = give(owner, "Figures", [])
    token, secret = give(owner, "CMS", rights, days=1)
    office = program(secret)
    made = office.post("/api/tokens/", {"label": "For a year", "rights": [], "days": 366})
    assert made.status_code == 403 and "user name and password" in made.json()["detail"]
    assert office.delete(f"/api/tokens/{other.uid}/").status_code == 403
    assert set(ApiToken.objects.values_list("uid", flat=True)) == {token.uid, other.uid}
    assert office.delete(f"/api/tokens/{token.uid}/").status_code == 204
    assert office.get("/api/tokens/").status_code == 401


@pytest.mark.parametrize("act", [api_tokens.log_in, lambda by: give(by, "CMS", [])])
def test_whatever_calls_for_a_token_in_the_name_of_a_token_is_refused(starter: Any, act: Any) -> None:
    with pytest.raises(PermissionDenied):
        act(narrow(starter, Right.values))
    assert not ApiToken.objects.exists()


def with_password(name: str = "starter", password: str = "pass-word-9") -> APIClient:
    client = APIClient()
    basic = base64.b64encode(f"{name}:{password}".encode()).decode()
    client.credentials(HTTP_AUTHORIZATION=f"Basic {basic}")
    return client


def test_a_program_makes_and_ends_tokens_with_the_password(starter: Any) -> None:
    office = with_password()
    for _ in range(8):  # right ones are no tries
        made = office.post("/api/tokens/", {"label": "CMS", "rights": ["prepare"], "days": 7})
        assert (made.status_code, made.json()["rights"]) == (201, ["read", "prepare"])
        assert office.delete(f"/api/tokens/{made.json()['id']}/").status_code == 204
    assert not ApiToken.objects.exists()
    assert with_password(password="wrong").post("/api/tokens/", {"label": "CMS", "rights": []}).status_code == 401


def test_of_log_ins_by_password_the_oldest_end_and_those_with_a_label_stay(starter: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(api_tokens, "MOST_LOG_INS", 3)
    give(starter, "CMS", [])
    secrets = [with_password().post("/api/token/").json()["token"] for _ in range(5)]
    assert [program(secret).get("/api/messages/").status_code for secret in secrets] == [401, 401, 200, 200, 200]
    assert ApiToken.objects.count() == 4 and ApiToken.objects.filter(label="CMS").exists()


def test_what_has_ended_is_deleted_once_a_day(starter: Any) -> None:
    give(starter, "CMS", []), give(starter, "ERP", [])
    ApiToken.objects.filter(label="CMS").update(expiry=timezone.now() - timedelta(seconds=1))
    api_tokens.clean_up()
    assert [token.label for token in ApiToken.objects.all()] == ["ERP"]


def test_people_see_and_end_their_own_and_administrators_everybodys(starter: Any, make_user: Any) -> None:
    token, secret = give(starter, "CMS", [])
    make_user("other", "Start deliveries"), make_user("chief", "Administrators")
    other, chief = with_password("other"), with_password("chief")
    assert other.delete(f"/api/tokens/{token.uid}/").status_code == 404
    assert "token" not in chief.get(f"/api/tokens/{token.uid}/").json()
    assert chief.delete(f"/api/tokens/{token.uid}/").status_code == 204
    assert program(secret).get("/api/messages/").status_code == 401


def test_an_administrator_of_a_part_of_the_tree_sees_their_own_alone(starter: Any, make_user: Any) -> None:
    part = OrganizationalUnit.objects.create(label="France", name="france", parent_id=ROOT)
    chief = make_user("chief", "Administrators")
    GroupUnit.objects.filter(group__user=chief).update(unit=part)
    give(starter, "CMS", []), give(chief, "own", [])
    assert [token.label for token in api_tokens.visible(chief)] == ["own"]


def test_a_token_ends_when_it_was_said_is_kept_by_no_cache_and_is_one_of_a_hundred(
    starter: Any, monkeypatch: Any
) -> None:
    office = APIClient()
    office.force_authenticate(starter)
    made = office.post("/api/tokens/", {"label": "CMS", "rights": [], "days": 7})
    left = ApiToken.objects.get().expiry - timezone.now()
    assert made["Cache-Control"] == "no-store" and timedelta(days=6) < left <= timedelta(days=7)
    monkeypatch.setattr(api_tokens, "MOST_TOKENS", 1)
    assert office.post("/api/tokens/", {"label": "CMS", "rights": []}).json()["code"] == "token_not_given"
    ApiToken.objects.update(expiry=timezone.now())  # what has ended is none
    assert not office.get("/api/tokens/").json()["results"]
    assert office.post("/api/tokens/", {"label": "CMS", "rights": []}).status_code == 201


def test_the_page_shows_a_new_token_once_and_ends_it(starter: Any, client: Client) -> None:
    client.force_login(starter)
    page = client.post("/admin/tokens/", {"label": "CMS", "rights": ["prepare"], "days": "30"})
    secret = page.context["secret"]
    assert secret in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    assert secret not in client.get("/admin/tokens/").content.decode()
    assert program(secret).get("/api/messages/").status_code == 200
    client.post("/admin/tokens/", {"end": api_tokens.tokens_of(starter)[0].uid})
    assert program(secret).get("/api/messages/").status_code == 401


def test_the_page_says_what_is_wrong_and_loses_nothing(starter: Any, client: Client) -> None:
    client.force_login(starter)
    page = client.post("/admin/tokens/", {"label": "CMS", "rights": ["start"], "days": "9999"})
    assert page.context["form"].errors["days"]
    assert 'value="CMS"' in page.content.decode()
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize("header", ["Token", "Token x", "Token a b", "Token \xff", "Token " + "9" * 5000])
def test_what_is_no_token_is_refused(header: str) -> None:
    answer = APIClient().get("/api/messages/", headers={"authorization": header})
    assert (answer.status_code, answer.json()["status"]) == (401, 401)
