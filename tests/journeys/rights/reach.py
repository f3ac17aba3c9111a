"""Whom the table lets in, when they stand in a unit: the role's rule, and how far the unit reaches."""

from __future__ import annotations

import re

from .addresses import Address
from .expected import STAFF, Rule

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
