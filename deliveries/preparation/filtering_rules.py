"""Filtering rules over a preparation's target: a query, excluded addresses, excluded domains."""

from __future__ import annotations

from django.core.exceptions import EmptyResultSet
from django.db import connection

from campaigns.models import Audience, TypologyRule
from campaigns.models.typologies import entries
from campaigns.targeting import audiences
from deliveries.models.states import Reason

from .target import as_targeted
from .target_table import Found, leave_out, temporary

HIDDEN = (TypologyRule.Kind.ADDRESSES, TypologyRule.Kind.DOMAINS)  # of these the logs reveal the number alone
_LIST = "prepared_list"


def run(rule: TypologyRule) -> Found:
    """Leave out whom the rule excludes. Out: how many."""
    volume = _by_query(rule) if rule.kind == TypologyRule.Kind.QUERY else _by_list(rule)
    return Found(Reason.FILTERING_RULE, volume, rule.pk, rule.label)


def _by_query(rule: TypologyRule) -> int:
    matching = audiences.profiles(Audience(kind=Audience.Kind.FILTER, conditions=rule.conditions))
    try:
        sql, params = matching.values("pk").query.sql_with_params()
    except EmptyResultSet:  # conditions that nobody can meet
        return 0
    return leave_out(Reason.FILTERING_RULE, f"profile_id IN ({sql})", params, rule=rule.pk)


def _by_list(rule: TypologyRule) -> int:
    """Addresses of the target have their domain in ASCII, so the listed ones are written alike."""
    domains = rule.kind == TypologyRule.Kind.DOMAINS
    before = "x@" if domains else ""
    written = {as_targeted(before + entry).removeprefix(before) for entry in entries(rule)}
    temporary(_LIST, "entry varchar(254) PRIMARY KEY", [(entry,) for entry in sorted(written) if entry])
    at = "STRPOS(address, '@')" if connection.vendor == "postgresql" else "INSTR(address, '@')"
    found = f"SUBSTR(address, {at} + 1)" if domains else "address"
    where = f"LOWER({found}) IN (SELECT entry FROM {_LIST})"
    return leave_out(Reason.FILTERING_RULE, where, rule=rule.pk)
