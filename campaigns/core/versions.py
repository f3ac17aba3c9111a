"""What an object looked like when somebody read it, so that who saves later notices that it has changed since.

A version covers what people edit: the object's own fields, its lists of other objects, and the rows that belong to it
one to one (a message's schedule, recurrence, control group and tracking). It is made of the values, not of a time of
change: what was changed and changed back is the same, whichever road it came by.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import models

Values = dict[str, Any]  # {part: value}; a part is "html", or "schedule.contact_date" of a row that belongs to it
Digests = dict[str, str]

_NOT_EDITED = {"password", "last_login"}  # Django has them editable, but they change by themselves


def values(obj: models.Model) -> Values:
    """What people edit of `obj`, as it stands in the database or as it was loaded: keys for other objects."""
    found = {name: getattr(obj, field.attname) for name, field in _fields(type(obj))}
    for many in obj._meta.many_to_many:
        through = many.remote_field.through
        if through is None or not through._meta.auto_created:
            continue  # rows of their own, a list's members: no form edits them, and they may be millions
        found[many.name] = sorted(getattr(obj, many.name).values_list("pk", flat=True))
    for name, model in owned(type(obj)):
        row = getattr(obj, name, None)
        found |= {f"{name}.{part}": getattr(row, field.attname) if row else None for part, field in _fields(model)}
    return found


def owned(model: type[models.Model]) -> Iterator[tuple[str, type[models.Model]]]:
    """(name, model) of the rows that belong to an object of `model` one to one, within its own app."""
    for relation in model._meta.related_objects:
        name, other = relation.get_accessor_name(), relation.related_model
        if relation.one_to_one and name and isinstance(other, type) and other._meta.app_label == model._meta.app_label:
            yield name, other


def _fields(model: type[models.Model]) -> Iterator[tuple[str, models.Field[Any, Any]]]:
    for field in model._meta.concrete_fields:
        belongs = field.one_to_one and field.related_model is not None
        if field.editable and not (field.primary_key or belongs or field.name in _NOT_EDITED):
            yield field.name, field


def entity_tag(obj: models.Model) -> str:
    """The version as one word, quoted, for ETag and If-Match (RFC 9110 §8.8.3): another one for any other value."""
    text = json.dumps(values(obj), sort_keys=True, default=str)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def digests(of: Mapping[str, Any]) -> Digests:
    """Eight hex digits for each part, the same for what a form makes of a value: it trims texts and ends lines in its
    own way, and names an object itself where a row has its key."""
    return {part: digest(value) for part, value in of.items()}


def digest(value: Any) -> str:
    """Eight hex digits, for one value."""
    text = json.dumps(_plain(value), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\r\n", "\n").strip()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, models.Model):
        return value.pk
    if isinstance(value, models.QuerySet):
        return sorted(value.values_list("pk", flat=True))
    return value


def label(model: type[models.Model], part: str) -> str:
    """What people call a part: “HTML”, “schedule: contact date”."""
    name, _dot, inner = part.partition(".")
    if not inner:
        return str(getattr(model._meta.get_field(name), "verbose_name", name))
    other = dict(owned(model))[name]
    return f"{other._meta.verbose_name}: {label(other, inner)}"
