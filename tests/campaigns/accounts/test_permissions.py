"""The roles, granted everywhere or on one campaign, and as far as the unit reaches; and what one may give on."""

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.urls import reverse
from guardian.shortcuts import assign_perm

from campaigns.accounts import api_tokens, grants, permissions, units
from campaigns.models.units import ROOT, OrganizationalUnit, PersonUnit

pytestmark = pytest.mark.django_db


def test_start_deliveries_includes_preparing(starter, message):
    assert permissions.may_start(starter, message.campaign)
    assert permissions.may_prepare(starter, message.campaign)


def test_preparing_does_not_include_starting(preparer, message):
    assert permissions.may_prepare(preparer, message.campaign)
    assert not permissions.may_start(preparer, message.campaign)


def test_administrators_may_not_start(make_user, message):
    administrator = make_user("admin", permissions.ADMINISTRATORS)
    assert permissions.may_administer(administrator)
    assert not permissions.may_start(administrator, message.campaign)


def test_a_grant_on_one_campaign_reaches_that_campaign_alone(make_user, message):
    from campaigns.models import Campaign

    other = Campaign.objects.create(label="Other")
    user = make_user("guest")
    assign_perm("campaigns.start_deliveries", user, message.campaign)
    assert permissions.may_start(user, message.campaign)
    assert not permissions.may_start(user, other)
    assert list(permissions.readable_campaigns(user)) == [message.campaign]
    assert list(permissions.who_may_start(message.campaign)) == [user]


def test_an_inactive_user_may_nothing(starter, message):
    starter.is_active = False
    assert not permissions.may_read(starter, message.campaign)


def test_sync_roles_takes_back_what_was_added_by_hand(make_user, message):
    from django.contrib.auth.models import Permission

    group = Group.objects.get(name=permissions.PREPARERS)
    group.permissions.add(Permission.objects.get(codename="start_deliveries"))
    permissions.sync_roles()
    assert not permissions.may_start(make_user("late", permissions.PREPARERS), message.campaign)


# --- Units ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unit, reads, starts",
    [
        ("all", True, True),
        ("france", True, True),
        ("paris", True, True),
        ("montmartre", True, False),
        ("lyon", False, False),
    ],
)
def test_one_reads_above_writes_below_and_sees_nothing_beside(at, in_paris, unit, reads, starts):
    user = at(unit, permissions.STARTERS)
    assert (permissions.may_read(user, in_paris), permissions.may_start(user, in_paris)) == (reads, starts)
    assert permissions.readable_campaigns(user).filter(pk=in_paris.pk).exists() == reads
    assert permissions.readable_campaigns(user, permissions.START).filter(pk=in_paris.pk).exists() == starts
    assert permissions.who_may_start(in_paris).filter(pk=user.pk).exists() == starts


def test_a_grant_on_one_campaign_reaches_beside(at, in_paris):
    guest = at("lyon", permissions.PREPARERS)
    assign_perm("campaigns.start_deliveries", guest, in_paris)
    assert permissions.may_start(guest, in_paris)
    assert [str(g) for g in grants.who_may_start(in_paris)[0].grounds] == ["a grant on this campaign"]


def test_a_refusal_names_what_may_be_read_and_not_written(at, in_paris):
    with pytest.raises(PermissionDenied, match=rf"campaign #{in_paris.pk} “Spring campaign”: it belongs to Paris"):
        permissions.require_start(at("montmartre", permissions.STARTERS), in_paris)


def test_of_several_groups_roles_add_up_and_the_highest_unit_wins(at, tree, in_paris):
    user = at("montmartre", permissions.STARTERS)
    user.groups.add(at("france", name="other").groups.get())
    assert units.unit_of(user) == tree["france"] and units.standing(user).beside == ()
    assert permissions.may_start(user, in_paris)


def test_of_parallel_branches_the_first_in_the_tree_wins_and_the_user_is_flagged(at, tree, client, admin_user):
    user = at("lyon", permissions.STARTERS)
    user.groups.add(at("paris", name="other").groups.get())
    assert (units.unit_of(user), units.standing(user).beside) == (tree["paris"], (tree["lyon"],))
    client.force_login(admin_user)
    page = client.get(reverse("admin:auth_user_changelist")).content.decode()
    assert "not from Lyon, which lies beside it" in page


def test_a_unit_that_moves_takes_along_what_lies_beneath(tree):
    tree["paris"].parent = tree["lyon"]
    tree["paris"].save()
    below = OrganizationalUnit.objects.get(name="montmartre")
    assert [u.name for u in units.related_units(below)] == ["all", "france", "lyon", "paris", "montmartre"]


def test_nobody_without_a_unit_logs_in(client, make_user):
    user = make_user("nowhere")
    assert client.login(username="nowhere", password="pass-word-9")
    PersonUnit.objects.all().delete()
    assert not client.login(username="nowhere", password="pass-word-9")
    client.force_login(user)
    assert client.get(reverse("admin:index")).status_code == 302
    token = {"authorization": f"Token {api_tokens.give(user, 'Shop', [])[1]}"}
    assert client.get("/api/messages/", headers=token).status_code == 401


def test_what_somebody_makes_gets_their_unit(client, at, tree):
    from campaigns.models import Audience

    client.force_login(at("paris", permissions.PREPARERS))
    client.post(reverse("admin:campaigns_audience_add"), {"label": "Here", "kind": "all"})
    answer = client.post("/api/audiences/", {"label": "There", "kind": "all"}, "application/json")
    assert answer.json()["unit"] == tree["paris"].pk
    assert set(Audience.objects.values_list("unit__name", flat=True)) == {"paris"}


def test_a_delivery_reaches_only_profiles_that_its_campaigns_unit_reads(in_paris, message, tree):
    from campaigns.models import Profile
    from campaigns.targeting import audiences

    for unit in tree.values():
        Profile.objects.create(email=f"{unit.name}@example.com", unit=unit)
    found = audiences.profiles(message.audience, within=in_paris.unit).values_list("unit__name", flat=True)
    assert set(found) == {"all", "france", "paris", "montmartre"}


def test_programs_neither_change_nor_learn_of_profiles_beside(client, at, tree):
    from campaigns.models import Profile

    beside = Profile.objects.create(email="ann@example.com", city="Lyon", unit=tree["lyon"])
    client.force_login(at("paris", permissions.PREPARERS))
    rows = {"profiles": [{"email": "ann@example.com", "city": "Paris"}]}
    answer = client.post("/api/profiles/bulk/", rows, "application/json").json()
    assert (answer["created"], answer["updated"]) == (1, 0)
    beside.refresh_from_db()
    assert beside.city == "Lyon"
    assert client.get(f"/api/profiles/{beside.pk}/").status_code == 404


# --- Giving -----------------------------------------------------------------------------------------------------------


def test_nobody_gives_what_they_do_not_hold(at, tree):
    chief, group = at("paris", permissions.ADMINISTRATORS), at("paris", name="other").groups.get()
    with pytest.raises(PermissionDenied, match="Start deliveries"):
        grants.give(chief, group, [permissions.STARTERS], tree["paris"])
    with pytest.raises(PermissionDenied, match="not at or below yours"):
        grants.give(chief, group, [], tree["france"])
    grants.give(chief, group, [permissions.SUPERVISORS], tree["montmartre"])
    assert grants.roles_of(group) == [permissions.SUPERVISORS]


def test_an_administrator_cannot_put_anybody_into_a_group_that_holds_more(at):
    chief, other = at("paris", permissions.ADMINISTRATORS), at("paris", name="other")
    starters = Group.objects.filter(name=permissions.STARTERS)
    with pytest.raises(PermissionDenied, match="to yourself"):
        grants.put_into_groups(chief, chief, starters)
    with pytest.raises(PermissionDenied, match="more than you hold"):
        grants.put_into_groups(chief, other, starters)
    grants.put_into_groups(chief, other, chief.groups.all())
    assert grants.roles_of(other.groups.get()) == [permissions.ADMINISTRATORS, permissions.SUPERVISORS]


def test_the_form_does_not_let_administrators_raise_themselves(client, at):
    chief = at("all", permissions.ADMINISTRATORS, name="chief")
    client.force_login(chief)
    values = {
        "username": "chief",
        "is_active": "on",
        "is_staff": "on",
        "held_roles": [permissions.STARTERS],
        "groups": [Group.objects.get(name=permissions.STARTERS).pk],
    }
    assert client.post(reverse("admin:auth_user_change", args=[chief.pk]), values).status_code == 302
    assert not User.objects.get(pk=chief.pk).has_perm(permissions.START)


def test_a_unit_that_somebody_above_gave_is_not_taken(at, tree):
    chief, group = at("paris", permissions.ADMINISTRATORS), at("france", name="other").groups.get()
    with pytest.raises(PermissionDenied, match=r"France .* is not at or below yours"):
        grants.give(chief, group, [], tree["montmartre"])


def test_nobody_gives_to_a_group_of_their_own_and_nobody_changes_a_built_in_one(at, tree):
    chief = at("all", permissions.ADMINISTRATORS)
    for group, why in ((chief.groups.get(), "to yourself"), (Group.objects.get(name=permissions.PREPARERS), "fixed")):
        with pytest.raises(PermissionDenied, match=why):
            grants.give(chief, group, [permissions.SUPERVISORS], tree["all"])


def test_into_which_groups_an_administrator_may_put_people(at, in_paris):
    chief = at("paris", permissions.ADMINISTRATORS, name="chief")
    here, above, beside, granted, starters = (
        at(unit, *roles, name=name).groups.get()
        for unit, roles, name in (
            ("paris", (), "here"),
            ("france", (), "above"),
            ("lyon", (), "beside"),
            ("paris", (), "granted"),
            ("paris", (permissions.STARTERS,), "starters"),
        )
    )
    assign_perm("campaigns.start_deliveries", granted, in_paris)
    asked = {group.pk for group in (here, above, beside, granted, starters)}
    assert set(grants.groups_within(chief).filter(pk__in=asked)) == {here}


def test_nobody_sets_the_password_of_one_who_holds_a_grant_that_they_do_not(at, in_paris):
    chief, friend, member = (
        at("paris", *roles, name=name)
        for roles, name in (
            ((permissions.ADMINISTRATORS,), "chief"),
            ((), "friend"),
            ((), "member"),
        )
    )
    assert grants.outranks(chief, friend) and grants.outranks(chief, member)
    assign_perm("campaigns.start_deliveries", friend, in_paris)
    assign_perm("campaigns.start_deliveries", member.groups.get(), in_paris)
    assert not grants.outranks(chief, friend) and not grants.outranks(chief, member)


def test_an_administrator_sets_no_password_of_who_holds_more(client, at):
    client.force_login(at("all", permissions.ADMINISTRATORS))
    page = reverse("admin:auth_user_password_change", args=[at("paris", permissions.STARTERS).pk])
    assert client.post(page, {"password1": "x", "password2": "x"}).status_code == 403


def test_a_grant_on_a_campaign_gives_no_more_than_the_giver_holds(client, at, in_paris):
    client.force_login(at("paris", permissions.ADMINISTRATORS))
    guest = at("montmartre")
    page = reverse("admin:campaigns_campaign_permissions_manage_user", args=[in_paris.pk, guest.pk])
    assert client.post(page, {"permissions": ["start_deliveries"]}).status_code == 403
    assert client.post(page, {"permissions": ["view_campaign"]}).status_code == 302
    assert permissions.may_read(guest, in_paris)


def test_the_page_says_who_may_start_and_why(client, at, in_paris, admin_user):
    starter = at("france", permissions.STARTERS, name="marie")
    at("montmartre", permissions.STARTERS, name="jean")
    client.force_login(starter)
    page = client.get(reverse("admin:campaigns_campaign_who", args=[in_paris.pk]))
    assert [str(one.user) for one in page.context["people"]] == ["admin", "marie"]
    assert "the group “france" in page.content.decode() and "jean" not in page.content.decode()


def test_each_ground_is_named_and_no_other(at, in_paris, make_user):
    low, own, member, gone = (
        at(unit, *roles, name=name)
        for unit, roles, name in (
            ("montmartre", (permissions.STARTERS,), "low"),
            ("paris", (), "own"),
            ("lyon", (), "member"),
            ("paris", (permissions.STARTERS,), "gone"),
        )
    )
    assign_perm("campaigns.start_deliveries", low, in_paris)  # the role does not reach so high
    assign_perm("campaigns.start_deliveries", member.groups.get(), in_paris)
    own.user_permissions.set(permissions.permissions_of(permissions.STARTERS))
    gone.is_active = False
    gone.save()
    low.groups.add(at("lyon", name="other").groups.get())
    grounds = {one.user.username: [ground.kind for ground in one.grounds] for one in grants.who_may_start(in_paris)}
    assert grounds == {"low": ["grant"], "own": ["own"], "member": ["group_grant"]}


def test_of_several_units_the_highest_decides_who_may_start_too(at, in_paris):
    user = at("montmartre", permissions.STARTERS, name="jean")
    user.groups.add(at("france", name="other").groups.get())
    [one] = grants.who_may_start(in_paris)
    assert (one.user, one.unit.name, [ground.kind for ground in one.grounds]) == (user, "france", ["group"])


def test_a_program_puts_nothing_into_a_unit_that_its_owner_does_not_administer(client, at, tree):
    send, ask = {"content_type": "application/json"}, {"label": "Spring", "kind": "all"}
    for roles, unit, answer in (
        ((permissions.PREPARERS,), "montmartre", 403),
        ((permissions.PREPARERS, permissions.ADMINISTRATORS), "lyon", 403),
        ((permissions.PREPARERS, permissions.ADMINISTRATORS), "montmartre", 201),
    ):
        client.force_login(at("paris", *roles, name=f"{len(roles)} {unit}"))
        assert client.post("/api/audiences/", ask | {"unit": tree[unit].pk}, **send).status_code == answer


def test_programs_give_rights_by_the_same_rules(client, at, tree, in_paris):
    other = at("paris", name="other")
    client.force_login(at("paris", permissions.ADMINISTRATORS, name="chief"))
    send = {"content_type": "application/json"}
    path = f"/api/groups/{other.groups.get().pk}/"
    assert client.patch(path, {"roles": [permissions.STARTERS]}, **send).status_code == 403
    given = client.patch(path, {"roles": [permissions.SUPERVISORS], "unit": tree["montmartre"].pk}, **send).json()
    assert (given["roles"], given["unit"]) == ([permissions.SUPERVISORS], tree["montmartre"].pk)
    assert client.post("/api/units/", {"label": "X", "name": "x", "parent": ROOT}, **send).status_code == 403
    assert (
        client.post("/api/units/", {"label": "X", "name": "x", "parent": tree["paris"].pk}, **send).status_code == 201
    )
    assert {row["username"] for row in client.get("/api/users/").json()["results"]} == {"other", "chief"}
    assert client.get(f"/api/campaigns/{in_paris.pk}/who-may-start/").json() == []


def test_a_group_above_is_read_and_one_beside_is_not_there(client, at, tree):
    above, beside = (at(unit, name=unit).groups.get() for unit in ("france", "lyon"))
    client.force_login(at("paris", permissions.ADMINISTRATORS, name="chief"))
    send = {"content_type": "application/json"}
    seen = {row["name"] for row in client.get("/api/groups/").json()["results"]}
    assert above.name in seen and beside.name not in seen
    people = {row["username"] for row in client.get("/api/users/").json()["results"]}
    assert (
        people
        == {"chief"}
        == set(grants.people_within(User.objects.get(username="chief")).values_list("username", flat=True))
    )
    page = client.get(reverse("admin:auth_group_changelist")).content.decode()
    assert above.name in page and beside.name not in page
    starters = Group.objects.get(name=permissions.STARTERS)
    looked_at = client.get(reverse("admin:auth_group_change", args=[starters.pk])).content.decode()
    assert "All (all)" in looked_at and permissions.STARTERS in looked_at and "Held roles" not in looked_at
    for group, answer in ((above, 403), (beside, 404), (Group.objects.get(name=permissions.PREPARERS), 403)):
        for change in ({"roles": [permissions.ADMINISTRATORS]}, {"roles": []}, {"unit": tree["paris"].pk}):
            assert client.patch(f"/api/groups/{group.pk}/", change, **send).status_code == answer
    assert grants.roles_of(above) == grants.roles_of(beside) == []


def test_from_a_unit_below_a_delivery_is_read_and_every_command_refused_and_beside_it_is_not_there(
    client, at, in_paris, message, starter, capsys
):
    from django.core.management import CommandError, call_command

    from deliveries.api.deliveries import COMMANDS
    from deliveries.lifecycle import commands

    delivery = commands.create_delivery(message, starter)
    below, beside = (
        at("montmartre", permissions.STARTERS, name="below"),
        at("lyon", permissions.STARTERS, name="beside"),
    )
    path = f"/api/deliveries/{delivery.pk}/"
    for user, read, act in ((below, 200, 403), (beside, 404, 404)):
        client.force_login(user)
        assert client.get(path).status_code == read
        answers = [client.post(f"{path}commands/", {"method": name}, "application/json") for name in COMMANDS]
        assert {answer.status_code for answer in answers} == {act}
        assert client.post(f"{path}stats/").status_code == act
    with pytest.raises(CommandError, match="You may read, but not change, the campaign #"):
        call_command("prepare", delivery.pk, user="below")
