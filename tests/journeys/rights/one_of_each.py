"""One of everything that an address can name, and one person of each kind."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from campaigns.models.units import ROOT

from .reach import RELATED, ROLES


def placed(name: str, unit: Any, *roles: str) -> Any:
    """A user with these roles by a group of their own, which stands in that unit."""
    from django.contrib.auth.models import Group, User

    from campaigns.accounts import permissions
    from campaigns.models.units import GroupUnit

    group = Group.objects.create(name=f"group of {name}")
    group.permissions.set(pk for role in roles for pk in permissions.permissions_of(role))
    GroupUnit.objects.create(group=group, unit=unit)
    user = User.objects.create_user(name, f"{name}@example.com", "pass-word-9", is_staff=True)
    user.groups.add(group)
    return user


@pytest.fixture
def world(message: Any, routing: Any, starter: Any, preparer: Any, make_user: Any) -> dict[str, Any]:
    """One of everything that an address can name, and one person of each kind."""
    from django.contrib.auth.models import Group, User

    from campaigns.accounts import api_tokens
    from campaigns.models import (
        Audience,
        AuditEntry,
        Campaign,
        Profile,
        ProfileImport,
        ProofDomain,
        TestProfile,
        Typology,
        TypologyRule,
    )
    from campaigns.models.tracking import NeverTracked
    from campaigns.models.units import OrganizationalUnit
    from deliveries.ledger import webhooks
    from deliveries.ledger.message_tokens.tokens import sign
    from deliveries.lifecycle import commands
    from deliveries.models import ExclusionLog, FeedbackEvent, QualificationRule, QuarantinedAddress
    from deliveries.models.host.heartbeat import Heartbeat
    from deliveries.models.webhooks import WebhookEndpoint
    from deliveries.preparation import prepare
    from reporting.models import Alert, AlertDashboard, TrackedUrl, TrackingLog

    tree = {"above": OrganizationalUnit.objects.create(label="above", name="above", parent_id=ROOT)}
    for name, parent in (("own", "above"), ("beside", "above"), ("below", "own")):
        tree[name] = OrganizationalUnit.objects.create(label=name, name=name, parent=tree[parent])
    own = tree["own"]
    for thing in (message.campaign, message.brand, routing):
        thing.unit = own
        thing.save()
    profile = Profile.objects.create(email="ann@example.com", first_name="Ann", unit=own)
    delivery = commands.create_delivery(message, starter)
    commands.prepare(delivery, starter)
    prepare.run(delivery.pk)
    row = delivery.sending_logs.get()
    guests = {kind: make_user(f"guest-{kind}") for kind in "EHV"}
    assign_perm("start_deliveries", guests["E"], Campaign.objects.create(label="Elsewhere"))
    assign_perm("start_deliveries", guests["H"], message.campaign)
    assign_perm("view_campaign", guests["V"], message.campaign)
    Heartbeat.objects.create(host="one", beat_at=timezone.now(), swept_at=timezone.now())  # all is well
    TrackedUrl.objects.create(delivery=delivery, place=0, label="News", kind="tracked", url="https://example.com/news")
    board = AlertDashboard.objects.create(label="Board", group=Group.objects.create(name="Some group"), unit=own)
    alert = Alert.objects.create(dashboard=board, unit=own)
    endpoint = WebhookEndpoint.objects.create(label="Hook", url="https://hooks.example/")
    foreign = api_tokens.give(make_user("owner"), "A program's", [])[0]
    things = {
        "campaign": message.campaign,
        "message": message,
        "brand": message.brand,
        "profile": profile,
        "audience": Audience.objects.create(label="A list", kind="list", unit=own),
        "delivery": delivery,
        "profileimport": ProfileImport.objects.create(file_name="people.csv", data=b"", unit=own),
        "routing": routing,
        "alertdashboard": board,
        "alert": alert,
        "quarantinedaddress": QuarantinedAddress.objects.create(address="old@example.com"),
        "qualificationrule": QualificationRule.objects.create(order=1, name="full", pattern="full", type="soft"),
        "feedbackevent": FeedbackEvent.objects.create(source=1, kind=1, key="1", at=timezone.now()),
        "user": placed("somebody", own),
        "group": board.group,
        "auditentry": AuditEntry.objects.order_by("pk")[0],
        "organizationalunit": own,
        "unit": own,
        "sendinglog": row,
        "exclusionlog": ExclusionLog.objects.create(delivery=delivery, cause=1, date=timezone.now()),
        "deliveryevent": delivery.events.all()[0],
        "trackinglog": TrackingLog.objects.create(
            delivery=delivery, sending_log=row, type=2, at=timezone.now(), agent=""
        ),
        "proofdomain": ProofDomain.objects.create(domain="example.com", unit=own),
        "testprofile": TestProfile.objects.create(label="Seed", email="seed@example.com", unit=own),
        "typology": Typology.objects.create(label="Some"),
        "typologyrule": TypologyRule.objects.create(label="Some"),
        "nevertracked": NeverTracked.objects.create(url="https://example.com/"),
        "webhookendpoint": endpoint,
        "webhookcall": webhooks.write_test(endpoint),
    }
    for kind in RELATED:
        role, relation = kind.split("-")
        guests[kind] = placed(kind, tree[relation], *ROLES[role])
    people = {
        "N": make_user("nobody"),
        "P": preparer,
        "S": starter,
        "A": make_user("chief", "Administrators"),
        "D": make_user("supervisor", "Delivery supervisors"),
        **guests,
        "U": User.objects.create_superuser("root", "root@example.com", "pass-word-9"),
        "*": None,
    }
    return {
        "things": {name: thing.pk for name, thing in things.items()},
        "people": people,
        "row": row.pk,
        "uid": foreign.uid,
        "tokens": sign(row.pk),
    }
