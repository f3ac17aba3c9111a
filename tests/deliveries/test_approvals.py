"""A campaign may want another person's approval: it binds to what was prepared, and dies with it."""

import re

import pytest
from django.core.exceptions import PermissionDenied

from campaigns.models import Profile, TestProfile
from deliveries import commands, preparing, proof_verdicts, proofs
from deliveries.models import Verdict
from deliveries.states import State

pytestmark = pytest.mark.django_db


@pytest.fixture
def approver(make_user):
    return make_user("approver", "Start deliveries")


@pytest.fixture
def ready(message, routing, starter):
    """Prepared by the starter, in a campaign that wants an approval."""
    message.campaign.needs_approval = True
    message.campaign.save()
    Profile.objects.create(email="ada@example.org", first_name="Ada")
    delivery = commands.create_delivery(message, starter)
    return again(delivery, starter)


def again(delivery, by):
    commands.prepare(delivery, by)
    preparing.run(delivery.pk)
    delivery.refresh_from_db()
    assert delivery.state == State.READY
    return delivery


def code(act, *args, **kwargs):
    with pytest.raises(commands.Refused) as caught:
        act(*args, **kwargs)
    return caught.value.code


def test_without_an_approval_nobody_confirms(ready, starter, approver):
    assert code(commands.confirm, ready, starter) == code(commands.confirm, ready, approver) == "unapproved"


def test_an_approval_releases_it_for_everybody_who_may_start(ready, starter, approver):
    proof_verdicts.approve(ready, approver, comment="Good")
    commands.confirm(ready, starter)
    assert ready.state == State.START_PENDING
    event = ready.events.get(code="approved")
    assert event.user == approver and "Good" in event.message


def test_who_prepared_cannot_approve(ready, starter):
    assert code(proof_verdicts.approve, ready, starter) == "own_preparation"


def test_approving_takes_start_deliveries(ready, preparer):
    with pytest.raises(PermissionDenied):
        proof_verdicts.approve(ready, preparer)


def test_a_change_kills_the_approval(ready, starter, approver):
    proof_verdicts.approve(ready, approver)
    ready.message.subject = "Another"
    ready.message.save()
    assert code(commands.confirm, ready, starter) == "changed"
    again(ready, starter)
    assert code(commands.confirm, ready, starter) == "unapproved"


def test_preparing_the_same_again_keeps_it(ready, starter, approver):
    proof_verdicts.approve(ready, approver)
    again(ready, starter)
    commands.confirm(ready, starter)


def test_an_approver_who_prepares_again_has_approved_nothing(ready, starter, approver):
    proof_verdicts.approve(ready, approver)
    again(ready, approver)
    assert code(commands.confirm, ready, starter) == "unapproved"


def test_a_later_refusal_takes_it_back(ready, starter, approver):
    proof_verdicts.approve(ready, approver)
    proof_verdicts.refuse(ready, approver, comment="Wait")
    assert code(commands.confirm, ready, starter) == "unapproved"


def test_an_approval_by_somebody_who_lost_the_role_is_none(ready, starter, approver):
    proof_verdicts.approve(ready, approver)
    approver.groups.clear()
    assert code(commands.confirm, ready, starter) == "unapproved"


def test_what_was_changed_meanwhile_cannot_be_approved(ready, approver):
    ready.message.html += " "
    ready.message.save()
    assert code(proof_verdicts.approve, ready, approver) == "changed"


def test_what_was_prepared_again_is_not_approved_unseen(ready, starter, approver, client):
    client.force_login(approver)
    address = f"/admin/deliveries/delivery/{ready.pk}/approve/"
    seen = re.search(r'name="preparation" value="(\d+)"', client.get(address).content.decode())[1]
    ready.message.subject = "Another"
    ready.message.save()
    again(ready, starter)
    answer = client.post(address, {"verdict": "approve", "preparation": seen}).content.decode()
    assert "prepared again since you looked" in answer and not Verdict.objects.exists()


def test_a_proof_of_something_else_is_not_approved(ready, starter, approver):
    seed = TestProfile.objects.create(label="Reader", email="r@example.org")
    old = proofs.send_proof(ready, starter, readers=[seed.pk])
    ready.message.subject = "Another"
    ready.message.save()
    again(ready, starter)
    assert code(proof_verdicts.approve, ready, approver, proof=old) == "changed"
    assert code(commands.confirm, ready, starter) == "unapproved"


def test_a_comment_is_cut(ready, approver):
    assert len(proof_verdicts.refuse(ready, approver, comment="x" * 3000).comment) == proof_verdicts.MOST_COMMENT


def test_an_approval_before_the_preparation_releases_nothing(message, routing, starter, approver):
    message.campaign.needs_approval = True
    message.campaign.save()
    Profile.objects.create(email="ada@example.org")
    delivery = commands.create_delivery(message, starter)
    proof_verdicts.approve(delivery, approver)
    assert Verdict.objects.get().fingerprint == {}
    assert code(commands.confirm, again(delivery, starter), starter) == "unapproved"


def test_the_mail_of_a_reader_releases_nothing(ready, starter):
    Verdict.objects.create(delivery=ready, approved=True, address="a@example.org", fingerprint=ready.fingerprint)
    assert code(commands.confirm, ready, starter) == "unapproved"


def test_the_dashboard_hides_confirm_and_says_why(ready, approver, starter, client):
    client.force_login(approver)
    page = client.get(ready.get_absolute_url()).content.decode()
    assert "dm-act-confirm" not in page and "dm-act-approve" in page and "wants another person" in page
    proof_verdicts.approve(ready, approver)
    page = client.get(ready.get_absolute_url()).content.decode()
    assert "dm-act-confirm" in page and "dm-act-approve" not in page


def test_a_forged_confirm_is_refused_on_the_server(ready, approver, client):
    client.force_login(approver)
    answer = client.post(f"/admin/deliveries/delivery/{ready.pk}/confirm/", follow=True)
    assert "wants another person" in answer.content.decode()
    ready.refresh_from_db()
    assert ready.state == State.READY


def test_by_api_too(ready, approver, client):
    client.force_login(approver)

    def command(**body):
        return client.post(f"/api/deliveries/{ready.pk}/commands/", body, content_type="application/json")

    assert command(method="confirm").status_code == 409
    assert command(method="refuse", comment="No").status_code == 200
    assert command(method="approve", comment="Well then").status_code == 200
    assert [row["comment"] for row in client.get(f"/api/deliveries/{ready.pk}/verdicts/").json()] == ["Well then", "No"]
    assert command(method="confirm").status_code == 200


def test_only_an_administrator_lifts_the_rule(ready, starter, client):
    client.force_login(starter)
    page = client.get(f"/admin/campaigns/campaign/{ready.campaign_id}/change/").content.decode()
    assert 'name="needs_approval"' not in page and 'name="four_eyes"' in page
