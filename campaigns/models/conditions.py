"""The conditions of a filter: which fields and operators there are, and whether a condition makes sense.

Conditions are `[{"field": "country", "op": "is", "value": "FR"}, …]`, all of which must hold. A field is a column of
Profile or `attributes.<name>`. audiences.py turns them into a queryset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.models.people.profile import PERSONAL_FIELDS, Profile

OPERATORS = {
    "is": gettext_lazy("is"),
    "is_not": gettext_lazy("is not"),
    "contains": gettext_lazy("contains"),
    "starts_with": gettext_lazy("starts with"),
    "in": gettext_lazy("is one of"),
    "gt": gettext_lazy("is greater than"),  # of dates: is after
    "lt": gettext_lazy("is less than"),  # of dates: is before
    "older": gettext_lazy("is at least so many years ago:"),
    "younger": gettext_lazy("is fewer years ago than"),
    "is_empty": gettext_lazy("is empty"),
    "not_empty": gettext_lazy("is not empty"),
}
WITHOUT_VALUE = ("is_empty", "not_empty")
_TEXT = ("is", "is_not", "contains", "starts_with", "in", *WITHOUT_VALUE)
KINDS: dict[str, tuple[str, ...]] = {  # kind of field: the operators that fit it
    "text": _TEXT,
    "attribute": (*_TEXT, "gt", "lt"),
    "choice": ("is", "is_not", "in"),
    "switch": ("is", "is_not"),
    "date": ("is", "is_not", "gt", "lt", "older", "younger", *WITHOUT_VALUE),
    "moment": ("gt", "lt"),
}
FIELDS: dict[str, str] = {  # column of Profile: kind
    **dict.fromkeys((name for name in PERSONAL_FIELDS if name not in ("gender", "birth_date")), "text"),
    "gender": "choice",
    "email_format": "choice",
    "opt_out": "switch",
    "opt_out_email": "switch",
    "birth_date": "date",
    "created_at": "moment",
    "modified_at": "moment",
}
_CHOICES: dict[str, Any] = {"gender": Profile.Gender, "email_format": Profile.EmailFormat}
_SWITCHES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_ATTRIBUTE = re.compile(r"attributes\.([a-z][a-z0-9_]{0,63})")  # the names that an import may give
NUMBER = r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a condition. `index` counts from 0; None: with the filter as a whole."""

    index: int | None
    field: str
    message: str

    def __str__(self) -> str:
        return self.message if self.index is None else _("Condition %d: ") % (self.index + 1) + self.message


def check(conditions: object) -> list[Problem]:
    """What is wrong with a filter's conditions; empty when nothing is. In: anything that JSON may hold."""
    if not isinstance(conditions, list) or not conditions:
        return [Problem(None, "", _("A filter needs at least one condition. For everybody, choose All profiles."))]
    return [problem for index, condition in enumerate(conditions) for problem in _check_one(index, condition)]


def kind_of(field: object) -> str | None:
    """The kind of a field (a key of KINDS), or None if there is no such field."""
    return FIELDS.get(str(field)) or ("attribute" if attribute_of(str(field)) else None)


def attribute_of(field: str) -> str | None:
    """The attribute's name if the field is `attributes.<name>`, else None."""
    found = _ATTRIBUTE.fullmatch(field)
    return found[1] if found else None


def value_of(condition: dict[str, Any]) -> Any:
    """The condition's value as the comparison needs it; a list for `in`, None for operators without one.

    Raises ValueError with words for people.
    """
    field, op, value = condition["field"], condition["op"], condition.get("value")
    if op in WITHOUT_VALUE:
        return None
    if op != "in":
        return _single(field, op, value)
    values = [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(values, list) or not 0 < len(values) <= 500:
        raise ValueError(_("Give a list of one to 500 values."))
    return [_single(field, op, one) for one in values]


def words(condition: dict[str, Any]) -> str:
    """A correct condition in words: “country is FR”."""
    field, op, value = condition["field"], condition["op"], condition.get("value")
    subject = attribute_of(field) or str(getattr(Profile._meta.get_field(field), "verbose_name", field))
    label = {"gt": _("is after"), "lt": _("is before")}.get(op) if kind_of(field) in ("date", "moment") else None
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{subject} {label or OPERATORS[op]} {'' if op in WITHOUT_VALUE else shown}".strip()


def _check_one(index: int, condition: object) -> Iterable[Problem]:
    if not isinstance(condition, dict) or not {"field", "op"} <= condition.keys() <= {"field", "op", "value"}:
        yield Problem(index, "", _("It must have field, op and value."))
        return
    field, op = condition["field"], condition["op"]
    kind = kind_of(field)
    if kind is None:
        known = ", ".join(FIELDS)
        text = _("Profiles have no field “%s”. Use %s or attributes.<name>.") % (field, known)
        yield Problem(index, str(field), text)
    elif op not in KINDS[kind]:
        yield Problem(index, field, _("“%s” does not fit %s. Use %s.") % (op, field, ", ".join(KINDS[kind])))
    else:
        try:
            value_of(condition)
        except ValueError as error:
            yield Problem(index, field, f"{field}: {error}")


def _single(field: str, op: str, value: Any) -> Any:
    kind = kind_of(field)
    if op in ("older", "younger"):
        return _years(value)
    if kind in ("date", "moment"):
        return _date(value)
    if op in ("gt", "lt"):
        return _number_or_date(value)
    if kind == "choice":
        return _choice(field, value)
    return _switch(value) if kind == "switch" else _text(field, value)


def _text(field: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not 0 < len(str(value).strip()) <= 1000:
        raise ValueError(_("Give a value of one to 1000 characters; to find none, use is_empty."))
    text = str(value).strip()
    if "\0" in text:
        raise ValueError(_("No profile contains a NUL character."))
    return text.lower() if field == "email" else text  # addresses are stored in lower case


def _years(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,3}", str(value)) or int(value) > 150:
        raise ValueError(_("Give a whole number of years from 0 to 150."))
    return int(value)


def _date(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (ValueError, TypeError):
        raise ValueError(_("“%s” is no date; write it like 1990-12-31.") % (value,)) from None


def _number_or_date(value: Any) -> float | date:
    if not isinstance(value, bool) and re.fullmatch(NUMBER, str(value)):
        return float(value)
    try:
        return _date(value)
    except ValueError:
        raise ValueError(_("“%s” is neither a number nor a date like 1990-12-31.") % (value,)) from None


def _switch(value: Any) -> bool:
    try:
        return _SWITCHES[str(value).lower()]
    except KeyError:
        raise ValueError(_("Give true or false.")) from None


def _choice(field: str, value: Any) -> int:
    for member in _CHOICES[field]:
        if str(value).lower() in (str(member.value), member.name.lower()):
            return int(member.value)
    names = ", ".join(name.lower() for name in _CHOICES[field].names)
    raise ValueError(_("“%s” is none of %s.") % (value, names))
