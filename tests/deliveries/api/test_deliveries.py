"""The API: the admin's commands and figures, under the same rights."""

import pytest
from guardian.shortcuts import assign_perm
from rest_framework.test import APIClient

from campaigns.models import Campaign, Profile
from deliveries.lifecycle import commands
from deliveries.models import Batch, Delivery, SendingLog
from deliveries.models.states import State
from deliveries.preparation.sealing import current_seal

pytestmark = pytest.mark.django_db


@pytest.fixture
def ready(message, routing, starter):
    """A delivery as a preparation leaves it."""
    delivery = commands.create_delivery(message, starter)
    Delivery.objects.filter(pk=delivery.pk).update(
        state=State.READY, fingerprint=current_seal(message), targeted=2, to_deliver=2
    )
    delivery.refresh_from_db()
    return delivery


def client(user=None):
    """An API client, logged in as `user`."""
    made = APIClient()
    made.force_authenticate(user)
    return made


def command(user, delivery, method, **headers):
    """A command as a program sends it: confirming says what was seen."""
    if method == "confirm":
        shown = client(user).get(f"/api/deliveries/{delivery.pk}/").data
        headers.setdefault("if_match", shown.get("fingerprint", "x"))
    return client(user).post(f"/api/deliveries/{delivery.pk}/commands/", {"method": method}, headers=headers)


def test_the_main_flow_by_api(message, routing, starter):
    made = client(starter).post("/api/deliveries/", {"message": message.pk})
    assert (made.status_code, made.data["state"]) == (201, "editing")
    delivery = Delivery.objects.get(pk=made.data["id"])
    assert command(starter, delivery, "prepare").data["state"] == "targeting_pending"


def test_confirm_with_the_fingerprint_that_was_seen(ready, starter):
    seen = client(starter).get(f"/api/deliveries/{ready.pk}/").data["fingerprint"]
    assert command(starter, ready, "confirm", if_match=f'"{seen}"').data["state"] == "start_pending"


def test_confirm_with_another_fingerprint_is_412(ready, starter):
    assert command(starter, ready, "confirm", if_match='"other"').status_code == 412
    ready.refresh_from_db()
    assert ready.state == State.READY


def test_a_browser_that_is_logged_in_cannot_be_made_to_confirm_by_another_site(ready, starter):
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(starter)
    assert browser.post(f"/api/deliveries/{ready.pk}/commands/", {"method": "confirm"}).status_code == 403
    ready.refresh_from_db()
    assert ready.state == State.READY


def test_a_program_that_does_not_say_what_it_saw_confirms_nothing(ready, starter):
    path = f"/api/deliveries/{ready.pk}/commands/"
    answer = client(starter).post(path, {"method": "confirm"})
    assert (answer.status_code, answer.data["code"]) == (428, "form_unseen") and "If-Match" in answer.data["detail"]
    assert Delivery.objects.get(pk=ready.pk).confirmed_at is None


def test_a_second_confirm_is_409_with_its_code(ready, starter):
    command(starter, ready, "confirm")
    answer = command(starter, ready, "confirm")
    assert (answer.status_code, answer.data["errors"][0]["code"]) == (409, "already_confirmed")


def test_a_changed_message_says_what_changed(ready, starter):
    ready.message.subject = "Other"
    ready.message.save()
    assert client(starter).get(f"/api/deliveries/{ready.pk}/").data["changed"] == ["subject"]
    assert command(starter, ready, "confirm").data["errors"][0]["code"] == "changed"


def test_preparing_alone_may_not_confirm(ready, preparer):
    assert command(preparer, ready, "confirm").status_code == 403


def test_what_one_may_not_read_is_not_there(ready, make_user):
    assert client(make_user("stranger")).get(f"/api/deliveries/{ready.pk}/").status_code == 404


@pytest.mark.parametrize("path", ["/api/messages/", "/api/deliveries/"])
def test_naming_what_one_may_not_read_is_answered_like_naming_what_is_not_there(ready, make_user, path):
    api, message = client(make_user("nobody")), ready.message
    asked = {"label": "X", "brand": message.brand_id, "campaign": message.campaign_id, "message": message.pk}
    there, nowhere = (
        api.post(path, {**asked, **keys}, format="json")
        for keys in (
            {},
            {
                "campaign": 99_999,
                "message": 99_999,
            },
        )
    )
    assert (there.status_code, there.data) == (nowhere.status_code, nowhere.data)
    assert there.status_code == 403 and message.campaign.label not in str(there.data)


def test_a_grant_on_one_campaign_shows_only_that(ready, make_user):
    Campaign.objects.create(label="Other")
    guest = make_user("guest")
    assign_perm("campaigns.start_deliveries", guest, ready.campaign)
    listed = client(guest).get("/api/campaigns/").data["results"]
    assert [campaign["id"] for campaign in listed] == [ready.campaign_id]
    assert command(guest, ready, "confirm").status_code == 200


@pytest.mark.parametrize("path", ["profiles", "audiences", "brands", "campaigns", "messages", "deliveries"])
def test_anonymous_gets_nothing(db, path):
    assert client().get(f"/api/{path}/").status_code == 401


def test_kpis_are_exact_and_balance(ready, starter):
    Batch.objects.create(delivery=ready, number=1, total=2, sent=1, pending=1)
    answer = client(starter).get(f"/api/deliveries/{ready.pk}/kpis/").data
    assert answer["sent"] == {"count": 1, "of": 2, "ratio": 0.5}
    assert answer["balances"]


def test_sending_logs_page_by_key_and_filter_by_status(ready, starter):
    for n in range(3):
        SendingLog.objects.create(delivery=ready, address=f"p{n}@example.com", status=n % 2, date=ready.created_at)
    answer = client(starter).get(f"/api/deliveries/{ready.pk}/sending-logs/?status=0&limit=1").data
    assert answer["results"][0]["address"] == "p2@example.com"
    assert client(starter).get(answer["next"]).data["results"][0]["address"] == "p0@example.com"


def test_a_confirmed_message_cannot_be_changed(ready, starter):
    command(starter, ready, "confirm")
    answer = client(starter).patch(f"/api/messages/{ready.message_id}/", {"subject": "Other"})
    assert (answer.status_code, answer.data["errors"][0]["code"]) == (409, "message_sent")


def test_profiles_in_bulk_are_created_and_updated(starter):
    Profile.objects.create(email="ann@example.com", city="Oslo")
    rows = [
        {"email": "Ann@example.com", "first_name": "Ann"},
        {"email": "bob@example.com", "attributes": {"plan": "gold"}},
    ]
    answer = client(starter).post("/api/profiles/bulk/", {"profiles": rows}).data
    assert (answer["created"], answer["updated"]) == (1, 1)
    ann, bob = Profile.objects.order_by("email")
    assert (ann.first_name, ann.city, bob.attributes) == ("Ann", "Oslo", {"plan": "gold"})


def test_one_bad_row_in_bulk_changes_nothing_and_is_named(starter):
    rows = [
        {"email": "ann@example.com"},
        {"email": "nobody"},
        {"email": "ann@example.com"},
        {"email": "b@example.com", "x": 1},
    ]
    answer = client(starter).post("/api/profiles/bulk/", {"profiles": rows})
    assert answer.status_code == 400
    assert [error["detail"][:4] for error in answer.data["errors"]] == ["[1] ", "[3] ", "[2] "]
    assert not Profile.objects.exists()


def test_a_token_is_had_with_name_and_password_and_ends(starter):
    import base64

    basic = base64.b64encode(b"starter:pass-word-9").decode()
    token = APIClient().post("/api/token/", headers={"authorization": f"Basic {basic}"}).data["token"]
    bearer = {"authorization": f"Token {token}"}
    assert APIClient().get("/api/deliveries/", headers=bearer).status_code == 200
    assert APIClient().post("/api/token/end/", headers=bearer).status_code == 204
    assert APIClient().get("/api/deliveries/", headers=bearer).status_code == 401


def test_the_openapi_document_has_no_gaps(client, capsys):
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.validation import validate_schema

    validate_schema(SchemaGenerator().get_schema(public=True))
    assert "Warning" not in capsys.readouterr().err
