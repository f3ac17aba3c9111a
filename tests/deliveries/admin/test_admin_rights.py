"""The admin asks permissions.py everywhere: list, page, buttons, own views, by group or by a grant on one campaign."""

import pytest
from django.urls import reverse
from guardian.shortcuts import assign_perm

from campaigns.models import Campaign, Message
from deliveries.lifecycle import commands
from deliveries.models import Batch, Delivery
from deliveries.models.states import State
from deliveries.preparation.sealing import current_seal

pytestmark = pytest.mark.django_db
ACTS = ("prepare", "stop-preparation", "confirm", "pause", "resume", "stop")
PAGES = ("change", "deployment", "log", "sending_logs", "exclusion_logs", "exclusion_causes", "in_doubt")


@pytest.fixture
def ready(message, routing, starter):
    """A delivery that waits for its confirmation."""
    made = commands.create_delivery(message, starter)
    Batch.objects.create(delivery=made, number=1, total=3, pending=3)
    Delivery.objects.filter(pk=made.pk).update(
        state=State.READY, preparation=1, fingerprint=current_seal(message), targeted=3, to_deliver=3
    )
    return Delivery.objects.get(pk=made.pk)


@pytest.fixture
def elsewhere(message, routing, starter):
    """A delivery of another campaign."""
    other = Message.objects.create(
        label="Elsewhere", campaign=Campaign.objects.create(label="Other campaign"), brand=message.brand
    )
    return commands.create_delivery(other, starter)


@pytest.fixture
def granted(make_user, ready):
    """granted("start_deliveries") gives a user who holds that on the one campaign, and nothing else."""

    def make(*rights):
        user = make_user("guest")
        for right in rights:
            assign_perm(right, user, ready.campaign)
        return user

    return make


def url(delivery, name, *args):
    return reverse(f"admin:deliveries_delivery_{name}", args=[delivery.pk, *args])


def listed(client):
    response = client.get(reverse("admin:deliveries_delivery_changelist"))
    return [d.pk for d in response.context["cl"].result_list] if response.status_code == 200 else response.status_code


def test_a_preparer_sees_no_confirm_but_a_note_and_a_forged_post_gets_403_and_is_logged(client, ready, preparer):
    client.force_login(preparer)
    html = client.get(url(ready, "change")).content.decode()
    assert "dm-act-confirm" not in html and "You cannot confirm this send" in html
    assert client.post(url(ready, "confirm")).status_code == 403
    assert client.post(url(ready, "act", "confirm")).status_code == 403
    assert client.get(url(ready, "confirm")).status_code == 403
    ready.refresh_from_db()
    assert ready.state == State.READY
    assert ready.events.filter(code="denied", user=preparer).count() == 2


@pytest.mark.parametrize("act", ["confirm", "undo", "pause", "resume", "stop"])
def test_what_sends_takes_start_deliveries(client, ready, preparer, act):
    client.force_login(preparer)
    assert client.post(url(ready, "act", act)).status_code == 403


def test_settling_takes_start_deliveries(client, ready, preparer):
    client.force_login(preparer)
    answer = client.post(url(ready, "resolve"), {"all": "1", "decision": "sent"})
    assert answer.status_code == 403


def test_an_administrator_reads_but_does_not_start(client, ready, make_user):
    client.force_login(make_user("chief", "Administrators"))
    assert client.get(url(ready, "change")).status_code == 200
    assert {client.post(url(ready, "act", act)).status_code for act in ACTS} == {403}


def test_a_grant_on_one_campaign_lets_one_start_there_alone(client, ready, elsewhere, granted):
    client.force_login(granted("start_deliveries"))
    assert listed(client) == [ready.pk]
    assert "dm-act-confirm" in client.get(url(ready, "change")).content.decode()
    client.post(url(ready, "confirm"))
    ready.refresh_from_db()
    assert ready.state == State.START_PENDING
    assert {client.get(url(elsewhere, page)).status_code for page in PAGES} == {404}
    assert client.post(url(elsewhere, "act", "prepare")).status_code == 404


def test_a_grant_to_read_lets_one_see_and_do_nothing(client, ready, granted):
    client.force_login(granted("view_campaign"))
    assert {client.get(url(ready, page)).status_code for page in PAGES} == {200}
    assert {client.post(url(ready, "act", act)).status_code for act in ACTS} == {403}
    assert "You may read this delivery." in client.get(url(ready, "change")).content.decode()


def test_staff_without_any_right_find_nothing(client, ready, make_user):
    client.force_login(make_user("nobody"))
    assert listed(client) == 403
    assert {client.get(url(ready, page)).status_code for page in PAGES} == {404}
    assert client.post(url(ready, "act", "confirm")).status_code == 404
    assert client.get(reverse("delivery-open", args=[ready.message_id])).status_code == 404


def test_nobody_gets_in_without_logging_in(client, ready):
    paths = [*(url(ready, page) for page in PAGES), url(ready, "confirm"), url(ready, "act", "confirm")]
    answers = [client.post(path) for path in paths] + [client.get(path) for path in paths]
    assert all(answer.status_code == 302 and "/login/" in answer.url for answer in answers)


def test_a_post_without_the_csrf_token_is_refused(ready, starter):
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(starter)
    assert client.post(url(ready, "confirm")).status_code == 403
    ready.refresh_from_db()
    assert ready.state == State.READY


def test_a_row_of_another_delivery_is_not_shown(client, ready, elsewhere, granted):
    row = elsewhere.sending_logs.create(address="a@example.com", date=elsewhere.created_at)
    client.force_login(granted("view_campaign"))
    assert client.get(url(ready, "sending_log", row.pk)).status_code == 404


def test_the_band_is_for_those_who_may_start(client, ready, preparer, starter):
    changelist = reverse("admin:deliveries_delivery_changelist")
    client.force_login(preparer)
    assert "dm-band" not in client.get(changelist).content.decode()
    client.force_login(starter)
    assert "dm-band" in client.get(changelist).content.decode()


def test_deliveries_are_neither_added_nor_edited_by_form_and_what_left_is_not_deleted(client, ready, starter):
    client.force_login(starter)
    Delivery.objects.filter(pk=ready.pk).update(state=State.IN_PROGRESS)
    assert client.get(reverse("admin:deliveries_delivery_add")).status_code == 403
    assert client.post(url(ready, "change"), {"label": "x"}).status_code == 405
    assert client.post(url(ready, "delete"), {"post": "yes"}).status_code == 403
    assert Delivery.objects.filter(pk=ready.pk).exists()


@pytest.mark.parametrize("group, status", [("Start deliveries", 200), ("Administrators", 200), (None, 403)])
def test_routings_are_seen_by_people_with_roles(client, routing, make_user, group, status):
    client.force_login(make_user("someone", *([group] if group else [])))
    assert client.get(reverse("admin:deliveries_routing_changelist")).status_code == status


def test_routings_and_quarantine_are_edited_by_administrators_alone(client, routing, starter, make_user):
    paths = [reverse("admin:deliveries_routing_add"), reverse("admin:deliveries_quarantinedaddress_add")]
    client.force_login(starter)
    assert [client.get(path).status_code for path in paths] == [403, 403]
    client.force_login(make_user("chief", "Administrators"))
    assert [client.get(path).status_code for path in paths] == [200, 200]
