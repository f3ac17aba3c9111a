"""What a message may quote of a profile, as texts: for sending, previews and mirror pages alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime
from typing import Any

from campaigns.models import Profile

_ATTRIBUTE = "attributes."
_GENDERS = {Profile.Gender.UNKNOWN: "", Profile.Gender.MALE: "male", Profile.Gender.FEMALE: "female"}


def columns(fields: Collection[str]) -> tuple[str, ...]:
    """The columns of Profile to read for these fields, like first_name or attributes.colour; sorted."""
    return tuple(sorted({"attributes" if name.startswith(_ATTRIBUTE) else name for name in fields}))


def reader(fields: Collection[str]) -> Callable[[Sequence[Any]], dict[str, str]]:
    """How to read profiles for these fields.

    Out: a function that takes a row of the `columns` of these fields, as the database's driver gives them (attributes
    as a mapping or its JSON), and gives {field: text}. What a profile does not have is empty; gender is male or female,
    the birth date like 1990-05-01.
    """
    names = columns(fields)
    plain = [(name, names.index(name)) for name in fields if not name.startswith(_ATTRIBUTE)]
    attributes = [(name, name.removeprefix(_ATTRIBUTE)) for name in fields if name.startswith(_ATTRIBUTE)]

    def read(values: Sequence[Any]) -> dict[str, str]:
        found = {name: v if type(v := values[at]) is str else _text(name, v) for name, at in plain}
        if attributes:
            known = values[names.index("attributes")] or {}
            known = json.loads(known) if isinstance(known, str) else known
            found |= {name: _text(name, known.get(key)) for name, key in attributes}
        return found

    return read


def texts_of(profile: Profile, fields: Collection[str]) -> dict[str, str]:
    """The fields of a profile that is loaded, as texts."""
    return reader(fields)([getattr(profile, name) for name in columns(fields)])


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "gender":
        return _GENDERS.get(value, "")
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)
