"""A campaign may want another person's approval: it binds to what was prepared, and dies with it."""

import re

import pytest
from django.core.exceptions import PermissionDenied

from campaigns.models import Profile, TestProfile
from deliveries.lifecycle import approving, commands
from deliveries.lifecycle.proofs import proofs
from deliveries.models import Verdict
from deliveries.models.states import State
from deliveries.preparation import prepare

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
    prepare.run(delivery.pk)
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
    approving.approve(ready, approver, comment="Good")
    commands.confirm(ready, starter)
    assert ready.state == State.START_PENDING
    event = ready.events.get(code="approved")
    assert event.user == approver and "Good" in event.message


def test_who_prepared_cannot_approve(ready, starter):
    assert code(approving.approve, ready, starter) == "own_preparation"


def test_approving_takes_start_deliveries(ready, preparer):
    with pytest.raises(PermissionDenied):
        approving.approve(ready, preparer)


def test_a_change_kills_the_approval(ready, starter, approver):
    approving.approve(ready, approver)
    ready.message.subject = "Another"
    ready.message.save()
    assert code(commands.confirm, ready, starter) == "changed"
    again(ready, starter)
    assert code(commands.confirm, ready, starter) == "unapproved"


def test_preparing_the_same_again_keeps_it(ready, starter, approver):
    approving.approve(ready, approver)
    again(ready, starter)
    commands.confirm(ready, starter)


def test_an_approver_who_prepares_again_has_approved_nothing(ready, starter, approver):
    approving.approve(ready, approver)
    again(ready, approver)
    assert code(commands.confirm, ready, starter) == "unapproved"


def test_a_later_refusal_takes_it_back(ready, starter, approver):
    approving.approve(ready, approver)
    approving.refuse(ready, approver, comment="Wait")
    assert code(commands.confirm, ready, starter) == "unapproved"


def test_an_approval_by_somebody_who_lost_the_role_is_none(ready, starter, approver):
    approving.approve(ready, approver)
    approver.groups.clear()
    assert code(commands.confirm, ready, starter) == "unapproved"


def test_what_was_changed_meanwhile_cannot_be_approved(ready, approver):
    ready.message.html += " "
    ready.message.save()
    assert code(approving.approve, ready, approver) == "changed"


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
    assert code(approving.approve, ready, approver, proof=old) == "changed"
    assert code(commands.confirm, ready, starter) == "unapproved"


def test_a_comment_is_cut(ready, approver):
    assert len(approving.refuse(ready, approver, comment="x" * 3000).comment) == approving.MOST_COMMENT


def test_an_approval_before_the_preparation_releases_nothing(message, routing, starter, approver):
    message.campaign.needs_approval = True
    message.campaign.save()
    Profile.objects.create(email="ada@example.org")
    delivery = commands.create_delivery(message, starter)
    approving.approve(delivery, approver)
    assert Verdict.objects.get().fingerprint == {}
    assert code(commands.confirm, again(delivery, starter), starter) == "unapproved"


def test_the_mail_of_a_reader_releases_nothing(ready, starter):
    Verdict.objects.create(delivery=ready, approved=True, address="a@example.org", fingerprint=ready.fingerprint)
    assert code(commands.confirm, ready, starter) == "unapproved"


def test_the_dashboard_hides_confirm_and_says_why(ready, approver, starter, client):
    client.force_login(approver)
    page = client.get(ready.get_absolute_url()).content.decode()
    assert "dm-act-confirm" not in page and "dm-act-approve" in page and "wants another person" in page
    approving.approve(ready, approver)
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
        path = f"/api/deliveries/{ready.pk}/"
        seen = {"if-match": client.get(path).json()["fingerprint"]} if body["method"] == "confirm" else {}
        return client.post(f"{path}commands/", body, content_type="application/json", headers=seen)

    assert command(method="confirm").status_code == 409
    assert command(method="refuse", comment="No").status_code == 200
    assert command(method="approve", comment="Well then").status_code == 200
    assert [row["comment"] for row in client.get(f"/api/deliveries/{ready.pk}/verdicts/").json()] == ["Well then", "No"]
    assert command(method="confirm").status_code == 200


def test_only_an_administrator_lifts_the_rule(ready, starter, client):
    client.force_login(starter)
    page = client.get(f"/admin/campaigns/campaign/{ready.campaign_id}/change/").content.decode()
    assert 'name="needs_approval"' not in page and 'name="four_eyes"' in page


# --- verdicts and accounts --------------------------------------------------------------------------------------------


def gone(user):
    user.delete()


def switched_off(user):
    user.is_active = False
    user.save()


def without_the_role(user):
    user.groups.clear()


ENDS = pytest.mark.parametrize("end", [gone, switched_off, without_the_role], ids=lambda end: end.__name__)


@ENDS
def test_a_refusal_outlives_its_author(ready, starter, approver, make_user, end):
    approving.approve(ready, make_user("second", "Start deliveries"))
    approving.refuse(ready, approver, comment="Wrong price")
    end(approver)
    with pytest.raises(commands.Refused, match="Refused by approver: “Wrong price”") as caught:
        commands.confirm(ready, starter)
    assert caught.value.code == "unapproved"


@ENDS
def test_an_approval_whose_author_may_not_give_it_any_more_does_not_count_and_the_page_says_why(
    ready, starter, approver, client, end
):
    approving.approve(ready, approver)
    end(approver)
    with pytest.raises(commands.Refused, match="approver approved it, which does not count: ") as caught:
        commands.confirm(ready, starter)
    client.force_login(starter)
    page = client.get(f"/admin/deliveries/delivery/{ready.pk}/proofs/").content.decode()
    assert "Does not count: " in page and "by approver" in page and caught.value.code == "unapproved"


@ENDS
def test_an_approval_that_stopped_counting_does_not_cover_the_refusal_before_it(
    ready, starter, approver, make_user, end
):
    second = make_user("second", "Start deliveries")
    approving.refuse(ready, approver)
    approving.approve(ready, second)
    end(second)
    with pytest.raises(commands.Refused, match="Refused by approver"):
        commands.confirm(ready, starter)


def test_a_refusal_that_was_orphaned_before_names_were_kept_stands_too(ready, starter):
    Verdict.objects.create(delivery=ready, approved=False, fingerprint=ready.fingerprint)
    with pytest.raises(commands.Refused, match="Refused by a deleted account"):
        commands.confirm(ready, starter)


def test_another_approval_lifts_a_deleted_accounts_refusal(ready, starter, approver, make_user):
    approving.refuse(ready, approver)
    approver.delete()
    approving.approve(ready, make_user("second", "Start deliveries"))
    commands.confirm(ready, starter)


@pytest.fixture
def four_eyes(ready):
    ready.campaign.needs_approval, ready.campaign.four_eyes = False, True
    ready.campaign.save()
    return ready


def test_who_prepared_cannot_confirm_by_a_program_either(four_eyes, starter):
    from campaigns.accounts.api_tokens import ALL, narrow

    own = narrow(type(starter).objects.get(pk=starter.pk), ALL)
    again(four_eyes, own)
    assert code(commands.confirm, four_eyes, starter) == code(commands.confirm, four_eyes, own) == "own_preparation"


def test_deleting_the_account_that_prepared_lifts_no_four_eyes(four_eyes, starter, approver, client):
    from reporting.admin.home import _awaiting

    starter.delete()
    four_eyes.refresh_from_db()
    assert code(commands.confirm, four_eyes, approver) == "preparer_unknown" and not _awaiting(approver)
    client.force_login(approver)
    page = client.get(four_eyes.get_absolute_url()).content.decode()
    assert "dm-act-confirm" not in page and "was deleted" in page and "by starter" in page
    again(four_eyes, approver)
    assert code(commands.confirm, four_eyes, approver) == "own_preparation"


def test_deleting_the_account_that_prepared_makes_nobody_another_person_who_approves(ready, starter, approver):
    approving.approve(ready, approver)
    starter.delete()
    ready.refresh_from_db()
    assert code(approving.approve, ready, approver) == "preparer_unknown"
    assert code(commands.confirm, ready, approver) == "unapproved"
