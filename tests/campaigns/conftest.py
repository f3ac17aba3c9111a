"""What the tests of rights share: a tree of units, and people who stand in it."""

import pytest
from django.contrib.auth.models import Group

from campaigns.accounts import permissions
from campaigns.models.units import ROOT, GroupUnit, OrganizationalUnit


@pytest.fixture
def tree(db):
    """{name: unit}: france above paris and lyon, paris above montmartre."""
    made = {"all": OrganizationalUnit.objects.get(pk=ROOT)}
    for name, parent in (("france", "all"), ("paris", "france"), ("lyon", "france"), ("montmartre", "paris")):
        made[name] = OrganizationalUnit.objects.create(label=name.title(), name=name, parent=made[parent])
    return made


@pytest.fixture
def at(make_user, tree):
    """at("paris", "Start deliveries") gives somebody with those roles who acts from that unit."""

    def make(unit, *roles, name=""):
        group = Group.objects.create(name=f"{unit} {roles} {name}")
        group.permissions.set(pk for role in roles for pk in permissions.permissions_of(role))
        GroupUnit.objects.create(group=group, unit=tree[unit])
        return make_user(name or f"{unit}-{len(roles)}", group.name)

    return make


@pytest.fixture
def in_paris(message, tree):
    """The message's campaign, in Paris."""
    message.campaign.unit = tree["paris"]
    message.campaign.save()
    return message.campaign
