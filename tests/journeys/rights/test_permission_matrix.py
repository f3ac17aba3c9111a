"""Every address of the resolver, each kind of people, each method: nothing is read or written without the right to it.

`EXPECTED` says who gets in, one letter a kind. A view that it does not know fails the first test: whoever adds an
address says here who may use it. "In" is any answer but a refusal (401, 403, 404, 405, the way to the log-in, or the
admin's "does not exist"); whoever is refused must not have caused one writing statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, get_resolver
from django.utils import timezone
from guardian.shortcuts import assign_perm

from campaigns.models.units import ROOT

pytestmark = pytest.mark.django_db

# N staff without a role, P Prepare deliveries, S Start deliveries, A Administrators, D Delivery supervisors,
# E Start deliveries on another campaign, H on this one, V may only read this one, U superuser. "*": anonymous, too.
READERS, WRITERS, STARTERS, EVERYWHERE = "PSAHVU", "PSHU", "SHU", "PSU"
STAFF, LISTS, PEOPLE = "NPSADEHVU", "PSAEHVU", "PSAEHU"
ADMINS, SUPERVISORS = "AU", "ADU"


@dataclass(frozen=True)
class Rule:
    """Who gets in, by method. `body` is what a forged POST would send."""

    get: str = ""
    post: str = ""
    patch: str = ""
    delete: str = ""
    body: Any = None


def model(name: str, *, lists: str, sees: str, adds: str = "", changes: str = "", deletes: str = "") -> dict[str, Rule]:
    """The stock pages of a model's admin; a list may be searched by POST, which does nothing."""
    return {
        f"admin:{name}_changelist": Rule(lists, lists),
        f"admin:{name}_add": Rule(adds, adds),
        f"admin:{name}_history": Rule(sees, sees),
        f"admin:{name}_change": Rule(sees, changes),
        f"admin:{name}_delete": Rule(deletes, deletes, body={"post": "yes"}),
    }


def tabs(*names: str) -> dict[str, Rule]:
    """Pages that show one delivery, whatever the method."""
    return {name: Rule(READERS, READERS) for name in names}


EXPECTED: dict[str, Rule] = {
    "RedirectView": Rule("*", "*"),  # the root
    "set_language": Rule("*", "*"),
    # The admin's own pages
    "admin:RedirectView": Rule(STAFF, STAFF),  # to an object's form, which asks
    "admin:catch_all_view": Rule(),
    "admin:index": Rule(STAFF, STAFF),
    "admin:app_list": Rule(PEOPLE + "V", PEOPLE + "V"),
    "admin:login": Rule("*", "*"),
    "admin:logout": Rule("", STAFF),
    "second-factor": Rule(STAFF, STAFF, body={"act": "begin"}),
    "admin:password_change": Rule(STAFF, STAFF),
    "admin:password_change_done": Rule(STAFF),
    "admin:jsi18n": Rule(STAFF),
    "admin:autocomplete": Rule(),
    "admin:view_on_site": Rule(STAFF, STAFF),  # redirects to the object's page, which asks
    "help-index": Rule(STAFF),
    "help": Rule(STAFF),  # the documents
    # Campaigns
    **model("campaigns_campaign", lists=LISTS, sees=READERS, adds=EVERYWHERE, changes=WRITERS, deletes=WRITERS),
    **model("campaigns_message", lists=LISTS, sees=READERS, adds="PSEHU", changes=WRITERS, deletes=WRITERS),
    **model("campaigns_profile", lists=PEOPLE, sees=PEOPLE, adds=EVERYWHERE, changes=EVERYWHERE, deletes=EVERYWHERE),
    **model("campaigns_audience", lists=PEOPLE, sees=PEOPLE, adds="PSEHU", changes=EVERYWHERE, deletes=EVERYWHERE),
    **model("campaigns_brand", lists="PSAU", sees="PSAU", adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("campaigns_typology", lists="PSAU", sees="PSAU", adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("campaigns_typologyrule", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("campaigns_profileimport", lists=EVERYWHERE, sees=EVERYWHERE, adds=EVERYWHERE, changes=EVERYWHERE),
    "admin:campaigns_profileimport_problems": Rule(EVERYWHERE, EVERYWHERE),
    "admin:campaigns_profile_import": Rule(STAFF, STAFF),  # redirects to the form, which asks
    "admin:campaigns_campaign_permissions": Rule(ADMINS, ADMINS),
    "admin:campaigns_campaign_permissions_manage_user": Rule(ADMINS, ADMINS, body={"permissions": "view_campaign"}),
    "admin:campaigns_campaign_permissions_manage_group": Rule(ADMINS, ADMINS, body={"permissions": "view_campaign"}),
    "admin:campaigns_message_duplicate": Rule("", WRITERS),
    "admin:campaigns_message_preview": Rule(READERS, READERS),
    "admin:campaigns_message_preview_page": Rule(READERS, READERS),
    # Deliveries
    **model("deliveries_delivery", lists=LISTS, sees=READERS, deletes=WRITERS),
    "admin:deliveries_delivery_history": Rule(STAFF, STAFF),  # redirects to the log, which asks
    "delivery-open": Rule(READERS, WRITERS),
    **tabs(
        *(
            f"admin:deliveries_delivery_{name}"
            for name in (
                "deployment",
                "log",
                "sending_logs",
                "sending_log",
                "exclusion_logs",
                "exclusion_causes",
                "executions",
                "in_doubt",
            )
        )
    ),
    **tabs(
        "delivery-tracking-logs",
        "delivery-tracked-urls",
        "delivery-rows",
        "delivery-report",
        "delivery-hot-clicks",
        "campaign-report",
    ),
    "admin:deliveries_delivery_complete": Rule(STARTERS, STARTERS),
    "admin:deliveries_delivery_confirm": Rule(STARTERS, STARTERS),
    "admin:deliveries_delivery_stop": Rule(STARTERS, STARTERS),
    "admin:deliveries_delivery_series-on": Rule(WRITERS, WRITERS),  # Start for one that never asks: test_unasked.py
    "admin:deliveries_delivery_continue-series": Rule(STARTERS, STARTERS),
    "admin:deliveries_delivery_proof": Rule(WRITERS, WRITERS),
    "admin:deliveries_delivery_approve": Rule(STARTERS, STARTERS, body={"verdict": "refuse"}),
    **tabs("admin:deliveries_delivery_proofs"),
    "admin:deliveries_delivery_act": Rule("", STARTERS),  # asked for: confirm
    "admin:deliveries_delivery_resolve": Rule("", STARTERS, body={"decision": "sent", "all": "1"}),
    "delivery-compute-stats": Rule("", WRITERS),
    "delivery-copy": Rule(READERS, READERS),
    "delivery-name-url": Rule(WRITERS, WRITERS, body={"label": "Forged"}),
    "delivery-export": Rule("U", "U"),
    "delivery-export-sending-logs": Rule("U", "U"),
    "delivery-export-progress": Rule("U", "U"),
    "delivery-evidence": Rule("AU", "AU"),
    "profile-history": Rule(PEOPLE, PEOPLE),
    # Administration
    **model("deliveries_routing", lists="PSAU", sees="PSAU", adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("deliveries_quarantinedaddress", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("deliveries_qualificationrule", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    "admin:deliveries_qualificationrule_copy": Rule("", ADMINS),
    "admin:deliveries_qualificationrule_try": Rule(ADMINS, ADMINS),
    "admin:deliveries_quarantinedaddress_repair": Rule(ADMINS, ADMINS),
    **model("deliveries_feedbackevent", lists=ADMINS, sees=ADMINS),
    **model("campaigns_auditentry", lists=ADMINS, sees=ADMINS),
    **model("campaigns_organizationalunit", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("deliveries_sendinglog", lists=ADMINS, sees=ADMINS),
    **model("deliveries_exclusionlog", lists=ADMINS, sees=ADMINS),
    **model("deliveries_deliveryevent", lists=ADMINS, sees=ADMINS),
    **model("reporting_trackinglog", lists=ADMINS, sees=ADMINS),
    "admin:campaigns_campaign_who": Rule("PSAHU", "PSAHU"),
    "campaign-who-may-start": Rule("PSAHU"),
    "unit-list": Rule(ADMINS, ADMINS, body={"label": "Forged", "name": "forged", "parent": "unit"}),
    "unit-detail": Rule(ADMINS, patch=ADMINS, body={"label": "Forged"}),
    "group-list": Rule(ADMINS),
    "group-detail": Rule(ADMINS, patch=ADMINS, body={"roles": []}),
    "person-list": Rule(ADMINS),
    "person-detail": Rule(ADMINS, patch=ADMINS, body={"roles": []}),
    **model("campaigns_nevertracked", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("reporting_alertdashboard", lists=SUPERVISORS, sees=SUPERVISORS, adds=SUPERVISORS, changes=SUPERVISORS),
    "admin:reporting_alertdashboard_delete": Rule(SUPERVISORS, SUPERVISORS, body={"post": "yes"}),  # history too
    **model("reporting_alert", lists=SUPERVISORS, sees=SUPERVISORS, deletes="U"),
    **model("auth_user", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    **model("auth_group", lists=SUPERVISORS, sees=SUPERVISORS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    "admin:auth_user_password_change": Rule(ADMINS, ADMINS),
    **model("deliveries_webhookendpoint", lists=ADMINS, sees=ADMINS, adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    "admin:deliveries_webhookendpoint_test": Rule("", ADMINS),
    "admin:deliveries_webhookendpoint_rotate": Rule("", ADMINS),
    **model("deliveries_webhookcall", lists=ADMINS, sees=ADMINS),
    "api-tokens": Rule(STAFF, STAFF),
    "my-notices": Rule(STAFF, STAFF),  # one's own
    "my-time-zone": Rule("", STAFF, body={"zone": "Europe/Paris"}),
    **model("campaigns_proofdomain", lists="PSAU", sees="PSAU", adds=ADMINS, changes=ADMINS, deletes=ADMINS),
    "proofdomain-list": Rule("PSAU", ADMINS, body={"domain": "forged.example"}),
    "proofdomain-detail": Rule("PSAU", delete=ADMINS),
    **model("campaigns_testprofile", lists="PSU", sees="PSU", adds="PSU", changes="PSU", deletes="PSU"),
    # The API: lists show what is readable, so they let in whoever has an account
    "api-token": Rule(),
    "api-token-end": Rule(),  # by password and by token alone, not by session
    "schema": Rule("*"),
    "api-docs": Rule("*"),  # the format, no data
    "campaign-list": Rule(STAFF, EVERYWHERE, body={"label": "Forged"}),
    "campaign-detail": Rule(READERS, patch=WRITERS, body={"label": "Forged"}),
    "message-list": Rule(STAFF, WRITERS, body={"label": "Forged", "campaign": "campaign", "brand": "brand"}),
    "message-detail": Rule(READERS, patch=WRITERS, body={"subject": "Forged"}),
    "audience-list": Rule("PSAU", EVERYWHERE, body={"label": "Forged", "kind": "all"}),
    "audience-detail": Rule("PSAU", patch=EVERYWHERE, body={"label": "Forged"}),
    "audience-members": Rule("", EVERYWHERE, body={"profiles": ["profile"]}),
    "typology-list": Rule("PSAU"),
    "typology-detail": Rule("PSAU", body={"label": "Forged"}),
    "brand-list": Rule("PSAU"),
    "brand-detail": Rule("PSAU", body={"label": "Forged"}),
    "profile-list": Rule("PSAU", EVERYWHERE, body={"email": "forged@example.com"}),
    "profile-detail": Rule("PSAU", patch=EVERYWHERE, body={"city": "Forged"}),
    "profile-bulk": Rule("", EVERYWHERE, body={"profiles": [{"email": "forged@example.com"}]}),
    "delivery-list": Rule(STAFF, WRITERS, body={"message": "message"}),
    "delivery-detail": Rule(READERS, delete=WRITERS),
    "delivery-duplicate": Rule("", WRITERS),
    "delivery-stats": Rule("", WRITERS),
    "delivery-carry-out": Rule("", STARTERS, body={"method": "confirm"}),
    **{
        f"delivery-{name}": Rule(READERS)
        for name in (
            "proofs",
            "verdicts",
            "events",
            "exclusion-causes",
            "exclusion-logs",
            "kpis",
            "sending-logs",
        )
    },
    "healthz": Rule("*"),
    "metrics": Rule(),  # a token or a list of addresses opens metrics
    "api-tracking-logs": Rule(READERS),
    "api-tracked-urls": Rule(READERS),
    "api-figure-rows": Rule(READERS),
    "api-profile-history": Rule("PSAU"),
    "profile-consent": Rule("PSAU"),
    "quarantinedaddress-list": Rule(ADMINS, ADMINS, body={"address": "forged@example.com"}),
    "quarantinedaddress-detail": Rule(ADMINS, patch=ADMINS, delete=ADMINS, body={"status": 0}),
    "webhookendpoint-list": Rule(ADMINS, ADMINS, body={"label": "Forged", "url": "https://hooks.example/"}),
    "webhookendpoint-detail": Rule(ADMINS, patch=ADMINS, delete=ADMINS, body={"enabled": False}),
    "webhookendpoint-rotate": Rule("", ADMINS),
    "webhookendpoint-test": Rule("", ADMINS),
    "webhookcall-list": Rule(ADMINS),
    "webhookcall-detail": Rule(ADMINS),
    "webhookcall-replay": Rule("", ADMINS),
    "apitoken-list": Rule(STAFF, STAFF, body={"label": "Forged", "rights": []}),  # one's own; an administrator: all
    "apitoken-detail": Rule("AU", delete="AU"),
    "api-nothing": Rule(),
    # Doors for recipients and mail services: a token or a secret is the key, an account opens nothing
    "tracking-open": Rule("*"),
    "tracking-click": Rule("*"),
    "tracking-mirror": Rule("*"),
    "tracking-optout": Rule("*", "*"),
    "feedback": Rule(),
    "feedback-signed": Rule(),
    "proof-verdict": Rule(),  # by their own secrets
}


@dataclass(frozen=True)
class Address:
    """One pattern of the resolver: its name in EXPECTED, and its route with places for arguments."""

    name: str
    route: str

    @property
    def arguments(self) -> list[str]:
        """The names of its places."""
        return re.findall(r"<(\w+)>", self.route)

    def path(self, values: dict[str, Any]) -> str:
        """The address with its places filled."""
        return "/" + re.sub(r"<(\w+)>", lambda found: str(values.get(found[1], 1)), self.route)


def addresses() -> list[Address]:
    """All that the product answers to, from the URL table itself."""
    return list(_walk(get_resolver(), "", ""))


def _walk(resolver: Any, space: str, before: str) -> Iterator[Address]:
    for pattern in resolver.url_patterns:
        route = before + _plain(str(pattern.pattern))
        if isinstance(pattern, URLPattern):
            yield Address(f"{space}{pattern.name or pattern.lookup_str.rsplit('.', 1)[1]}", route)
        else:
            yield from _walk(pattern, f"{space}{pattern.namespace}:" if pattern.namespace else space, route)


def _plain(pattern: str) -> str:
    """Routes and regular expressions alike, with <name> for each argument."""
    pattern = re.sub(r"\(\?P<(\w+)>(?:\[[^\]]*\]|[^()\[\]])*\)", r"<\1>", pattern)  # no group within a group here
    pattern = re.sub(r"<\w+:(\w+)>", r"<\1>", pattern)
    return pattern.removeprefix("^").replace("/?$", "/").replace("$", "").replace("\\.", ".")


ROLES = {
    "P": ["Prepare deliveries"],
    "S": ["Start deliveries"],
    "A": ["Administrators"],
    "X": ["Prepare deliveries", "Export"],
}
RELATED = tuple(f"{role}-{relation}" for role in ROLES for relation in ("own", "above", "below", "beside"))

# Whole logs, and what is everybody's: from a unit below All, nobody reads the former nor writes the latter.
_WHOLE = (
    "auditentry",
    "feedbackevent",
    "sendinglog",
    "exclusionlog",
    "deliveryevent",
    "trackinglog",
    "webhook",
    "typologyrule",
    "quarantinedaddress",
    "apitoken-detail",
)
_EVERYBODYS = ("qualificationrule", "typology", "nevertracked")
_SHOWING = ("_changelist", "_change", "_history", "_try", "-list", "-detail")
EXPORTS = frozenset(
    {
        "delivery-export",
        "delivery-export-sending-logs",
        "delivery-export-progress",
        "delivery-evidence",
    }
)
# Routes that name something which lies in a unit.
_IN_UNIT = (
    "/(campaigns?|messages?|brands?|profiles?|audiences?|delivery|deliveries|routing|profileimport|testprofile|users?|"
    "alertdashboard|alert|proof-?domains?)"
    "/<"
)


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


def may(kind: str, address: Address, method: str, rule: Rule) -> bool:
    """Does this kind of people get in? For those who stand in a unit it follows from the role's rule."""
    allowed = getattr(rule, method)
    role, _, relation = kind.partition("-")
    if not relation or allowed == "*":
        return allowed == "*" or kind in allowed
    if role == "X" and address.name in EXPORTS:
        return relation in ("own", "above")
    return by_role(kind, address, method, rule) and reaches(relation, address, method, rule)


def by_role(kind: str, address: Address, method: str, rule: Rule) -> bool:
    """Does the role let in, were it held at the root? What is everybody's is not asked for again."""
    allowed, role = getattr(rule, method), kind[0].replace("X", "P")
    return (role in allowed and allowed != STAFF) or (kind[0] == "X" and address.name in EXPORTS)


def reaches(relation: str, address: Address, method: str, rule: Rule) -> bool:
    """Does the unit let in whoever holds the role?"""
    name = re.sub("^admin:[a-z_]+?_(?=[a-z])|^admin:", "", address.name)
    if name.startswith(_WHOLE):
        return False
    if name.startswith(_EVERYBODYS):
        return name.endswith("_changelist") or (method == "get" and name.endswith(_SHOWING))
    if name.startswith(("unit-", "organizationalunit")):
        return reaches_unit(relation, address, method)
    if name.startswith(("group_", "group-")) and changes_a_group(name, method):
        return False  # the group of the world has no unit, so it is the root's
    within = relation in ("own", "above")
    if name.startswith("alert_") and address.arguments:
        return within  # what a dashboard above told is about deliveries beside, too
    if name.startswith(("user_", "person-")) and address.arguments:
        return within  # whoever stands above is not managed from below
    if name in ("message-list", "delivery-list") and method == "post":
        return within  # the body names what is written to
    if within or rule.get == STAFF or not re.search(_IN_UNIT, f"/{address.route}"):
        return True
    return relation == "below" and (method == "get" or name == "profileimport_change") and reading(name, rule)


def changes_a_group(name: str, method: str) -> bool:
    """Its form or its address in the API would write it."""
    return name.endswith("_delete") or (name.endswith(("_change", "-detail")) and method != "get")


def reaches_unit(relation: str, address: Address, method: str) -> bool:
    """Units themselves: one changes what lies below one's own, and makes units at and below it."""
    if not address.arguments:
        return relation in ("own", "above") or not (address.name == "unit-list" and method == "post")
    showing = method == "get" and not address.name.endswith("_delete")
    return relation == "above" or (showing and relation in ("own", "below"))


def reading(name: str, rule: Rule) -> bool:
    """A page that shows without offering an act: who may only read a campaign gets it; or it is an object's own."""
    return "V" in rule.get or name.endswith(("_change", "_history", "-detail", "-history", "-consent", "_problems"))


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


def values(address: Address, world: dict[str, Any]) -> dict[str, Any]:
    """An argument for each place of the address that names something that is there."""
    things = world["things"]
    found = re.search(r"(?:admin/\w+/|api/)([\w-]+?)s?(?:/|\.|<)", address.route)
    named = found[1] if found else ""
    named = {
        "deliverie": "delivery",
        "quarantine": "quarantinedaddress",
        "webhook": "webhookendpoint",
        "proof-domain": "proofdomain",
        "webhook-call": "webhookcall",
        "typologie": "typology",
        "quarantinedaddres": "quarantinedaddress",
    }.get(named, named)
    own = things.get("message" if address.name == "admin:view_on_site" else named, 1)
    return {
        "pk": own,
        "object_id": own,
        "object_pk": own,
        "id": own,
        "message_id": things["message"],
        "user_id": things["user"],
        "group_id": things["group"],
        "row": world["row"],
        "uid": world["uid"],
        "token": getattr(world["tokens"], _PURPOSES.get(address.name, "optout")),
        "index": 0,
        "place": 0,
        "act": "confirm",
        "name": "to_deliver",
        "what": "exclusion-logs",
        "format": "json",
        "key": "0" * 32,
        "provider": "mailgun",
        "secret": "not-the-secret-" * 2,
        "content_type_id": _type_of_messages(),
        "app_label": "campaigns",
        "url": "nothing/here",
        "page": "howto/index",
    }


_PURPOSES = {"tracking-open": "pixel", "tracking-click": "link", "tracking-mirror": "mirror"}


def _type_of_messages() -> int:
    from django.contrib.contenttypes.models import ContentType

    from campaigns.models import Message

    ContentType.objects.clear_cache()  # it may remember one that another test made and rolled back
    return int(ContentType.objects.get_for_model(Message).pk)


@contextmanager
def undone() -> Iterator[list[str]]:
    """What happens inside is taken back; gives the writing statements, the log-in session's left out."""
    written: list[str] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if re.match(r"\s*(INSERT|UPDATE|DELETE|WITH)\b", sql, re.I) and "django_session" not in sql:
            written.append(sql)
        return execute(sql, params, many, context)

    with transaction.atomic():
        with connection.execute_wrapper(watch):
            yield written
        transaction.set_rollback(True)


def ask(client: Client, method: str, path: str, body: Any) -> Any:
    """One request; to the API in JSON."""
    if method == "get":
        return client.get(path)
    if path.startswith("/api/"):
        return client.generic(method, path, _json(body), "application/json")
    return client.generic(method, path, "") if method != "post" else client.post(path, body or {})


def _json(body: Any) -> str:
    import json

    return json.dumps(body or {})


def refused(answer: Any, written: list[str]) -> bool:
    """True if the answer gave nothing. The admin's start page is where it sends people whose object is not there."""
    if answer.status_code == 302:
        came, goes = answer.request["PATH_INFO"], urlsplit(answer.url).path
        return goes.endswith("/login/") or (goes == "/admin/" and came not in ("/", "/admin/login/") and not written)
    return answer.status_code in (401, 403, 404, 405)


def filled(body: Any, world: dict[str, Any]) -> Any:
    """The body with the names of things replaced by their keys."""
    if isinstance(body, dict):
        return {name: filled(value, world) for name, value in body.items()}
    if isinstance(body, list):
        return [filled(value, world) for value in body]
    return world["things"].get(body, body) if isinstance(body, str) else body


def test_the_table_knows_every_view_and_no_other() -> None:
    found = {address.name for address in addresses()}
    assert found - set(EXPECTED) == set(), "say in EXPECTED who may use these"
    assert set(EXPECTED) - found == set(), "these are gone"


SLOWER = (pytest.param(kind, marks=pytest.mark.slow) for kind in (*"EHNPSADVU", *RELATED))


@pytest.mark.parametrize("kind", ["*", *SLOWER])
def test_nobody_gets_further_than_their_rights(world: dict[str, Any], kind: str, caplog: Any) -> None:
    caplog.set_level("CRITICAL", "django")  # refusals by the hundred
    client, wrong = Client(raise_request_exception=False), []
    if world["people"][kind] is not None:
        client.force_login(world["people"][kind])
    cookies = client.cookies.output(header="")
    for address in addresses():
        path = address.path(values(address, world))
        for method in methods(address.name, path):
            rule = EXPECTED.get(address.name, Rule())
            if "-" in kind and not by_role(kind, address, method, rule):
                continue  # refused from the root already
            client.cookies.load(cookies)  # logging out would be for good
            with undone() as written:
                answer = ask(client, method, path, filled(rule.body, world))
            allowed = may(kind, address, method, rule)
            wrong += faults(f"{address.name}: {method} {path}", answer, allowed, written)
    assert not wrong, "\n".join(wrong)


def methods(name: str, path: str) -> list[str]:
    """What is tried: a page that treats all methods alike is not asked twice."""
    rule = EXPECTED.get(name, Rule())
    alike = rule.get == rule.post and rule.get and rule.body is None and not name.endswith(("_add", "_change"))
    return ["get", *([] if alike else ["post"]), *(["patch", "delete"] if path.startswith("/api/") else [])]


# A forged act is written down, and a program's request counted.
BOOKS = "deliveries_deliveryevent|campaigns_audit(?:entry|value)|campaigns_apiwindow"


def faults(what: str, answer: Any, expected: bool, written: list[str]) -> list[str]:
    """What is wrong with an answer, in words."""
    if answer.status_code >= 500:
        return [f"{what}: {answer.status_code} {answer.exc_info and answer.exc_info[1]!r}"]
    got_in = not refused(answer, written)
    if got_in != expected:
        return [f"{what}: {'got in' if got_in else 'was refused'} ({answer.status_code})"]
    if not got_in and [sql for sql in written if not re.search(BOOKS, sql)]:
        return [f"{what}: refused, but wrote {written}"]
    return []


SILLY = ("nobody", "9" * 30, *(pytest.param(silly, marks=pytest.mark.slow) for silly in ("0", "9" * 5000, "%00'%22")))
NAMES = "after before status cause campaign profile type who p limit state message campaign__id__exact o"
QUERY = dict.fromkeys(NAMES.split(), "9" * 5000)
SAMPLES = {"seen": "1:" + "9" * 400, "cursor": "bz05", "q": "\x00", "e": "1"}
QUERIES = (QUERY | SAMPLES, dict.fromkeys(QUERY, "\x00'\"") | {"cursor": "\x00", "status__exact": "x"})


@pytest.mark.parametrize("silly", SILLY, ids=lambda silly: silly[:12])
def test_a_silly_address_is_never_a_fault_of_ours(world: dict[str, Any], silly: str, caplog: Any) -> None:
    caplog.set_level("CRITICAL", "django")
    client = Client(raise_request_exception=False)
    client.force_login(world["people"]["U"])
    wrong = []
    for address in addresses():
        for method in ("get", "post") if address.arguments else ():
            path = address.path(dict.fromkeys(address.arguments, silly))
            with undone():
                answer = ask(client, method, path, filled(EXPECTED.get(address.name, Rule()).body, world))
            if answer.status_code >= 500:
                wrong.append(f"{address.name}: {method} {answer.exc_info[1]!r}"[:300])
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_a_silly_query_is_never_a_fault_of_ours(world: dict[str, Any], caplog: Any) -> None:
    caplog.set_level("CRITICAL", "django")
    client = Client(raise_request_exception=False)
    client.force_login(world["people"]["U"])
    wrong = []
    for address in addresses():
        for query in QUERIES if EXPECTED.get(address.name, Rule("*")).get else ():
            with undone():
                answer = client.get(address.path(values(address, world)), query)
            if answer.status_code >= 500:
                wrong.append(f"{address.name}: {str(query)[:60]}: {answer.exc_info[1]!r}"[:300])
    assert not wrong, "\n".join(wrong)
