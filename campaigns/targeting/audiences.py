"""From an audience to its profiles: one queryset, never a list.

Letters' case matters for the operators `is` and `in`, and not for `contains` and `starts_with` (SQLite ignores it for
the letters A to Z alone).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Case, F, FloatField, Q, QuerySet, TextField, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.accounts import units
from campaigns.models import Audience, Profile
from campaigns.models.conditions import NUMBER, Problem, attribute_of, check, kind_of, value_of, words
from campaigns.models.units import ROOT, OrganizationalUnit

_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


class InvalidAudience(ValueError):
    """The audience's conditions cannot be read; `problems` says which and why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(" ".join(map(str, problems)))
        self.problems = problems


def profiles(
    audience: Audience, ids: tuple[int, int | None] | None = None, within: OrganizationalUnit | None = None
) -> QuerySet[Profile]:
    """The audience's profiles, each once, in no order.

    In: `ids` limits them to profile ids from the first to the second (None: without end), both included; `within` to
    those that can be read from that unit (None: all). Raises InvalidAudience.
    """
    if within is not None and within.pk != ROOT:
        return profiles(audience, ids).filter(unit__in=units.related_units(within))
    if audience.kind == Audience.Kind.LIST:
        # One filter() and the range on the member itself: its index then finds the slice of a long list.
        return Profile.objects.filter(_between("audiencemember__profile_id", ids), audiencemember__audience=audience)
    found = Profile.objects.filter(_between("pk", ids))
    return _filtered(found, audience.conditions) if audience.kind == Audience.Kind.FILTER else found


def validate(audience: Audience) -> None:
    """For forms. Raises ValidationError on `conditions`, with a message for each condition that is wrong."""
    problems = check(audience.conditions) if audience.kind == Audience.Kind.FILTER else []
    if problems:
        raise ValidationError({"conditions": [str(problem) for problem in problems]})


def describe(audience: Audience) -> str:
    """The audience in words, such as “country is FR and city is not empty”."""
    if audience.kind == Audience.Kind.ALL:
        return _("all profiles")
    if audience.kind == Audience.Kind.LIST:
        return _("the profiles of the list “%s”") % audience.label
    problems = check(audience.conditions)
    return str(problems[0]) if problems else _(" and ").join(map(words, audience.conditions))


def attribute_names() -> list[str]:
    """The names of the attributes that profiles have, sorted. Reads every profile once: about 1 µs each."""
    keys, type_of = ("jsonb_object_keys(attributes)", "jsonb_typeof")
    table = Profile._meta.db_table
    if connection.vendor == "sqlite":
        keys, table, type_of = "key", f"{table}, json_each(attributes)", "json_type"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT {keys} FROM {table} WHERE {type_of}(attributes) = 'object'")
        return sorted(name for (name,) in cursor.fetchall())


def _between(column: str, ids: tuple[int, int | None] | None) -> Q:
    if ids is None:
        return Q()
    low, high = ids
    return Q((f"{column}__gte", low)) if high is None else Q((f"{column}__gte", low), (f"{column}__lte", high))


def _filtered(found: QuerySet[Profile], conditions: Any) -> QuerySet[Profile]:
    if problems := check(conditions):
        raise InvalidAudience(problems)
    for number, condition in enumerate(conditions):
        name, field = f"condition_{number}", condition["field"]
        found = found.alias(**{name: _expression(field)})
        found = found.filter(_TESTS[condition["op"]](name, value_of(condition), kind_of(field)))
    return found


def _expression(field: str) -> Any:
    """The column; or the attribute as text, '' where the profile has none."""
    attribute = attribute_of(field)
    if attribute is None:
        return F(field)
    text = Cast(KeyTextTransform(attribute, "attributes"), TextField())
    return Coalesce(text, Value(""), output_field=TextField())


# What each operator asks of the database: (alias, value, kind of field) -> condition.


def _is_not(name: str, value: Any, kind: str | None) -> Any:
    differs = ~Q((name, value))
    return differs | Q((f"{name}__isnull", True)) if kind == "date" else differs


def _is_empty(name: str, value: Any, kind: str | None) -> Q:
    return Q((f"{name}__isnull", True)) if kind == "date" else Q((name, ""))


def _compared(sign: str) -> Callable[[str, Any, str | None], Any]:
    def test(name: str, value: Any, kind: str | None) -> Any:
        if kind != "attribute":
            return Q((f"{name}__date__{sign}" if kind == "moment" else f"{name}__{sign}", value))
        if isinstance(value, date):  # as text: written like this, the order of letters is the order of time
            return Q((f"{name}__regex", _DAY), (f"{name}__{sign}", value.isoformat()))
        # What is no number must not reach the cast: PostgreSQL would raise.
        number = Case(When(Q((f"{name}__regex", NUMBER)), then=Cast(name, FloatField())), output_field=FloatField())
        lookup: Any = FloatField().get_lookup(sign)
        return lookup(number, value)

    return test


def _plain(lookup: str) -> Callable[[str, Any, str | None], Q]:
    return lambda name, value, kind: Q((f"{name}__{lookup}", value))


_TESTS: dict[str, Callable[[str, Any, str | None], Any]] = {
    "is": _plain("exact"),
    "is_not": _is_not,
    "contains": _plain("icontains"),
    "starts_with": _plain("istartswith"),
    "in": _plain("in"),
    "gt": _compared("gt"),
    "lt": _compared("lt"),
    "older": lambda name, value, kind: Q((f"{name}__lte", _years_ago(value))),
    "younger": lambda name, value, kind: Q((f"{name}__gt", _years_ago(value))),
    "is_empty": _is_empty,
    "not_empty": lambda name, value, kind: ~_is_empty(name, value, kind),
}


def _years_ago(years: int) -> date:
    today = timezone.localdate()
    day = min(today.day, 28) if today.month == 2 else today.day  # most years have no 29 February
    return today.replace(year=today.year - years, day=day)
