"""The control group of a preparation's target: whom nothing is sent, to measure the effect.

Extracted after filters and fatigue, so that it is made of people who could have got the message. Chance is a digest of
profile and delivery: preparing the same target again finds the same people, on either database.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import Case, F, FloatField, Q, TextField, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from campaigns.models import Audience, ControlGroup, Profile
from campaigns.models.conditions import NUMBER, attribute_of
from campaigns.targeting import audiences
from deliveries.models.states import Reason

from .target_table import TARGET, Found, leave_out


def extract(group: ControlGroup, delivery_id: int, targeted: int) -> Found:
    """Hold back those whom the query finds, then those whom the extraction picks. In: `targeted`, all of the target."""
    volume = _by_query(group) if group.conditions else 0
    most = limit(group, targeted)
    if most and group.extraction == ControlGroup.Extraction.RANDOM:
        digest = f"MD5(CAST(profile_id AS varchar(20)) || ':{delivery_id:d}')"
        volume += _hold(
            f"SELECT profile_id FROM {TARGET} WHERE cause = 0 ORDER BY {digest}, profile_id LIMIT %s", [most]
        )
    elif most and group.extraction == ControlGroup.Extraction.FIRST:
        volume += _hold_first(group, most)
    return Found(Reason.CONTROL_GROUP, volume)


def limit(group: ControlGroup, targeted: int) -> int:
    """How many the extraction takes at most: the smaller of its percentage and its size."""
    limits = [group.size] if group.size is not None else []
    limits += [targeted * group.percent // 100] if group.percent is not None else []
    return min(limits, default=0)


def _hold(sql: str, params: Any) -> int:
    return leave_out(Reason.CONTROL_GROUP, f"profile_id IN ({sql})", params)


def _by_query(group: ControlGroup) -> int:
    matching = audiences.profiles(Audience(kind=Audience.Kind.FILTER, conditions=group.conditions))
    try:
        return _hold(*matching.values("pk").query.sql_with_params())
    except EmptyResultSet:  # conditions that nobody can meet
        return 0


def _hold_first(group: ControlGroup, most: int) -> int:
    """By the group's field; numbers in attributes by their size. What is missing comes last."""
    sql, params = _keys(group).query.sql_with_params()
    way = "DESC" if group.descending else "ASC"
    return _hold(
        f"""SELECT p.pid FROM ({sql}) p JOIN {TARGET} t ON t.profile_id = p.pid WHERE t.cause = 0
            ORDER BY p.number {way} NULLS LAST, p.held {way} NULLS LAST, p.pid LIMIT %s""",
        [*params, most],
    )


def _keys(group: ControlGroup) -> Any:
    """(pid, number, held): by what the people are sorted."""
    name = attribute_of(group.sort_field)
    held: Any = Cast(KeyTextTransform(name, "attributes"), TextField()) if name else F(group.sort_field)
    number = Case(When(Q(held__regex=NUMBER), then=Cast(F("held"), FloatField())), output_field=FloatField())
    people = Profile.objects.annotate(pid=F("pk"), held=held)
    nothing = Value(None, output_field=FloatField())
    return people.annotate(number=number if name else nothing).values_list("pid", "number", "held")
