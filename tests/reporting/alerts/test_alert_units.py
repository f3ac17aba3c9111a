"""Alert dashboards belong to units: who sees and changes them, what their forms offer, and who is told of what."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from django.test import Client
from django.urls import reverse
from guardian.shortcuts import assign_perm

from campaigns.accounts import permissions
from campaigns.models import Campaign
from campaigns.models.units import ROOT, GroupUnit, OrganizationalUnit
from deliveries.models.states import State
from reporting.alerts import evaluate
from reporting.models.alert_criteria import Limits
from reporting.models.alerts import Alert, AlertCriterion, AlertDashboard

pytestmark = pytest.mark.django_db
LIMITS = {field: getattr(Limits(), field) for field in Limits.__slots__}
NO_CRITERIA = {"criteria-TOTAL_FORMS": "0", "criteria-INITIAL_FORMS": "0"}


@pytest.fixture
def tree() -> dict[str, Any]:
    """{name: unit}: all over own and beside, own over below."""
    made: dict[str, Any] = {"all": OrganizationalUnit.objects.get(pk=ROOT)}
    for name, parent in (("own", "all"), ("beside", "all"), ("below", "own")):
        made[name] = OrganizationalUnit.objects.create(label=name, name=name, parent=made[parent])
    return made


@pytest.fixture
def groups(tree: Any, roles: Any) -> dict[str, Group]:
    """{unit: a group of delivery supervisors there}."""
    made = {}
    for name, unit in tree.items():
        made[name] = Group.objects.create(name=f"watch {name}")
        made[name].permissions.set(permissions.permissions_of(permissions.SUPERVISORS))
        GroupUnit.objects.create(group=made[name], unit=unit)
    return made


@pytest.fixture
def supervisor(groups: Any, make_user: Any, client: Client) -> Any:
    """One in the unit “own”, logged in."""
    user = make_user("supervisor", "watch own")
    client.force_login(user)
    return user


@pytest.fixture
def boards(tree: Any, groups: Any) -> dict[str, AlertDashboard]:
    """{unit: its dashboard, enabled, whose criterion names no campaign}."""
    made = {}
    for name, unit in tree.items():
        made[name] = AlertDashboard.objects.create(
            label=f"Board {name}", group=groups[name], unit=unit, enabled=True, minimum_target=1
        )
        AlertCriterion.objects.create(dashboard=made[name], kind="failed")
    return made


@pytest.fixture
def failed(sent: Any, tree: Any) -> dict[str, Any]:
    """{unit: a failed delivery there}."""
    made = {}
    for name, unit in tree.items():
        made[name] = sent(2, state=State.FAILED, label=f"Letter {name}")
        campaign = Campaign.objects.create(label=f"Campaign {name}", unit=unit)
        type(made[name]).objects.filter(pk=made[name].pk).update(campaign=campaign)
    return made


def page(board: AlertDashboard, act: str = "change") -> str:
    return reverse(f"admin:reporting_alertdashboard_{act}", args=[board.pk])


def test_dashboards_at_and_below_are_changed_those_above_read_and_those_beside_not_there(
    supervisor: Any, boards: Any, client: Client
) -> None:
    listed = client.get(reverse("admin:reporting_alertdashboard_changelist")).content.decode()
    assert [f"Board {name}" in listed for name in boards] == [True, True, False, True]
    posted = {"label": "Forged"} | LIMITS | NO_CRITERIA
    for name, seen, changed in (("all", 200, 403), ("own", 200, 200), ("below", 200, 200), ("beside", 302, 302)):
        assert client.get(page(boards[name])).status_code == seen
        assert client.post(page(boards[name]), posted).status_code == changed  # 200: the group is missing
        deleted = client.post(page(boards[name], "delete"), {"post": "yes"}).status_code
        assert deleted == (403 if name == "all" else 302)
    assert set(AlertDashboard.objects.values_list("label", flat=True)) == {"Board all", "Board beside"}


def test_a_dashboard_gets_its_makers_unit_and_nobody_without_administration_moves_it(
    supervisor: Any, groups: Any, tree: Any, client: Client
) -> None:
    posted = {"label": "Mine", "group": groups["own"].pk, "unit": tree["all"].pk} | LIMITS | NO_CRITERIA
    assert client.post(reverse("admin:reporting_alertdashboard_add"), posted).status_code == 302
    assert AlertDashboard.objects.get(label="Mine").unit == tree["own"]


def test_the_form_offers_groups_and_campaigns_in_reach_alone(
    supervisor: Any, boards: Any, failed: Any, client: Client
) -> None:
    form = client.get(page(boards["own"])).content.decode()
    assert "watch below" in form and "Campaign below" in form and "Campaign own" in form
    assert "beside" not in form and "Campaign all" not in form


@pytest.mark.parametrize(("field", "key"), [("group", "beside"), ("criteria-0-campaign", "beside")])
def test_what_is_not_offered_is_refused(
    supervisor: Any, boards: Any, groups: Any, failed: Any, client: Client, field: str, key: str
) -> None:
    campaign = Campaign.objects.get(label="Campaign own")
    inline = {"TOTAL_FORMS": "1", "INITIAL_FORMS": "0", "0-kind": "soft_bounces", "0-campaign": campaign.pk}
    posted = {"label": "Mine", "group": groups["own"].pk} | LIMITS | {f"criteria-{k}": v for k, v in inline.items()}
    foreign = {"group": groups[key].pk, "criteria-0-campaign": Campaign.objects.get(label=f"Campaign {key}").pk}
    add = reverse("admin:reporting_alertdashboard_add")
    answer = client.post(add, posted | {field: foreign[field]})
    assert answer.status_code == 200 and "not one of the available choices" in answer.content.decode()
    assert client.post(add, posted).status_code == 302


def test_a_dashboard_above_shows_neither_foreign_names_nor_what_it_told(
    supervisor: Any, boards: Any, groups: Any, failed: Any, client: Client
) -> None:
    AlertDashboard.objects.filter(pk=boards["all"].pk).update(group=groups["beside"])
    boards["all"].criteria.update(campaign=Campaign.objects.get(label="Campaign beside"))
    told = Alert.objects.create(dashboard=boards["all"], subject="Letter beside failed", text="Letter beside")
    form = client.get(page(boards["all"])).content.decode()
    alert = reverse("admin:reporting_alert_change", args=[told.pk])
    pages = [
        form,
        *(
            client.get(reverse(f"admin:reporting_{name}_changelist")).content.decode()
            for name in ("alert", "alertdashboard")
        ),
    ]
    assert "another unit&#x27;s group" in form and "another unit&#x27;s campaign" in form
    assert not any(words in one for one in pages for words in ("watch beside", "Campaign beside", "Letter beside"))
    assert client.get(alert).status_code in (302, 403)


def test_what_a_dashboard_told_before_it_was_moved_down_is_not_told_to_its_new_readers(
    supervisor: Any, boards: Any, tree: Any, client: Client
) -> None:
    for unit in ("all", "own"):
        Alert.objects.create(dashboard=boards["all"], unit=tree[unit], subject=f"Subject {unit}", text="Letter")
    AlertDashboard.objects.filter(pk=boards["all"].pk).update(unit=tree["own"])
    for shown in (page(boards["all"]), reverse("admin:reporting_alert_changelist")):
        text = client.get(shown).content.decode()
        assert "Subject own" in text and "Subject all" not in text


def test_a_dashboard_watches_what_lies_at_and_below_its_unit(boards: Any, failed: Any, make_user: Any) -> None:
    AlertDashboard.objects.exclude(pk=boards["own"].pk).update(enabled=False)
    make_user("chief", "watch own")
    assert evaluate.look() == 1
    assert [f"Letter {name}" in mail.outbox[0].body for name in failed] == [False, True, False, True]


@pytest.mark.parametrize(
    ("unit", "told"),
    [("all", ["all", "own", "beside", "below"]), ("own", ["all", "own", "below"]), ("beside", ["all", "beside"])],
)
def test_each_member_is_told_of_what_they_may_read(
    boards: Any, failed: Any, groups: Any, make_user: Any, unit: str, told: list[str]
) -> None:
    everybody = Group.objects.create(name="everybody")
    AlertDashboard.objects.exclude(pk=boards["all"].pk).update(enabled=False)
    AlertDashboard.objects.update(group=everybody)
    make_user("member", "everybody", f"watch {unit}")
    make_user("nowhere", "everybody")  # without a unit
    assert evaluate.look() == 1
    (letter,) = mail.outbox
    assert [name for name in failed if f"Letter {name}" in letter.body] == told
    assert f"Failed deliveries: {len(told)}" in letter.subject and letter.to == ["member@example.com"]
    assert "Letter beside" in Alert.objects.get().text  # the history tells the whole, to those at All


def test_a_grant_on_a_campaign_lets_a_member_be_told_of_its_deliveries(
    boards: Any, failed: Any, make_user: Any
) -> None:
    AlertDashboard.objects.exclude(pk=boards["beside"].pk).update(enabled=False)
    AlertDashboard.objects.update(group=Group.objects.get(name="watch own"))
    guest = make_user("guest", "watch own")
    assert evaluate.look() == 0
    assign_perm("campaigns.view_campaign", guest, Campaign.objects.get(label="Campaign beside"))
    boards["beside"].criteria.update(once_a_day=False)
    assert evaluate.look() == 1


def test_an_alert_written_before_there_were_parts_goes_to_those_at_all_alone(
    boards: Any, groups: Any, make_user: Any
) -> None:
    both = Group.objects.create(name="both")
    AlertDashboard.objects.update(group=both, enabled=False)
    make_user("chief", "both", "watch all")
    make_user("supervisor", "both", "watch own")
    letters = {"en": ["Old", "Letter beside", ""]}
    Alert.objects.create(dashboard=boards["all"], subject="Old", text="Letter beside", letters=letters)
    assert evaluate.look() == 1
    assert mail.outbox[0].to == ["chief@example.com"]


def test_who_left_the_group_meanwhile_is_not_told(
    boards: Any, failed: Any, groups: Any, make_user: Any, monkeypatch: Any
) -> None:
    AlertDashboard.objects.exclude(pk=boards["own"].pk).update(enabled=False)
    gone = make_user("gone", "watch own")
    with monkeypatch.context() as broken:
        broken.setattr(evaluate, "_send", lambda alert: 0)
        evaluate.look()
    gone.groups.clear()
    assert evaluate.look() == 0
