"""What every API room shares: reading a body, paging by key, choosing fields and order, and the rights of
permissions.py."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

from django import forms
from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as Invalid
from django.db.models import QuerySet
from django.http import HttpRequest
from django_filters import NumberFilter
from rest_framework import permissions, serializers, status
from rest_framework.exceptions import APIException, NotFound, ParseError, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import JSONParser as PlainJSONParser
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.accounts import permissions as access
from campaigns.accounts import units
from campaigns.core.web import paging
from campaigns.models import Campaign
from campaigns.models.units import OrganizationalUnit

GREATEST = 2**63 - 1  # of a key
_UNSTORABLE = re.compile(r"\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})")


class Conflict(APIException):
    """409: the request fits, but not the state of things. The code is stable."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "This cannot be done now."
    default_code = "conflict"


@contextmanager
def answered_by_field() -> Iterator[None]:
    """What a model's own rules find wrong becomes an answer, field by field. Raises DRF's ValidationError."""
    try:
        yield
    except Invalid as error:
        raise ValidationError(error.message_dict if hasattr(error, "error_dict") else error.messages) from error


class JSONParser(PlainJSONParser):
    """JSON in UTF-8; what is nested beyond reason, or holds what no database keeps, is the sender's mistake."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """Raises ParseError; RequestDataTooBig, before what would fill the memory is read."""
        try:
            text = _whole(stream).decode("utf-8")
            found = json.loads(text, parse_constant=_no_number)
            if _UNSTORABLE.search(text):
                _refuse_unstorable(found)
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error
        except ValueError as error:
            raise ParseError(f"This is not JSON in UTF-8: {str(error)[:200]}") from error
        return found


def _whole(stream: Any) -> bytes:
    """The body. Django limits its own reading alone, so that is what reads."""
    body: bytes = stream.body if isinstance(stream, HttpRequest) else stream.read()
    return body


def _refuse_unstorable(found: Any) -> None:
    """No text may hold a NUL, or a surrogate without its other half. Raises ValidationError, which names the field."""
    for name, value in found.items() if isinstance(found, dict) else [("", found)]:
        if not all(map(_storable, (name, *_texts(value)))):
            words = ["A text holds \\u0000, or half of a surrogate pair."]
            raise ValidationError({name: words} if name and _storable(name) else words)


def _storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


class KeyPagination(CursorPagination):
    """Newest first by key: a page costs the same wherever it lies, and nothing is counted. `?limit=` up to 1,000.

    A view's `ordering_fields` may be asked for by `?ordering=`, with a minus to turn it; none of them may be null.
    """

    ordering: Any = "-id"
    page_size = paging.ROWS_FOR_PROGRAMS
    page_size_query_param = "limit"
    max_page_size = paging.MOST_ROWS
    page_size_query_description = "Rows on a page, 1 to 1,000."

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        """The chosen order, made unique by the key. Raises ValidationError."""
        wanted, known = request.query_params.get("ordering", self.ordering), _orders(view)
        if wanted not in known:
            raise ValidationError({"ordering": [f"Write one of {', '.join(known)}."]})
        name = wanted.removeprefix("-")
        return (wanted,) if name == "id" else (wanted, "-pk" if wanted != name else "pk")

    def get_page_size(self, request: Request) -> int | None:
        """Raises ValidationError for what is no number of rows."""
        wanted = request.query_params.get("limit", str(self.page_size))
        if not (wanted.isascii() and wanted.isdecimal() and len(wanted) < 5 and 1 <= int(wanted) <= self.max_page_size):
            raise ValidationError({"limit": [f"Write a whole number from 1 to {self.max_page_size}."]})
        return int(wanted)

    def decode_cursor(self, request: Request) -> Any:
        """A cursor that was not made here is the sender's mistake. Raises ValidationError."""
        wrong = ValidationError({"cursor": ["Use the address in `next` or `previous` as it is."]})
        try:
            cursor = super().decode_cursor(request)
        except NotFound as error:
            raise wrong from error
        if cursor is not None and cursor.position is not None and not self._possible(str(cursor.position)):
            raise wrong
        return cursor

    def _possible(self, position: str) -> bool:
        """True for what can stand in the column that is ordered by: a key, or a time."""
        if self.ordering[0].lstrip("-") == "id":
            return position.isascii() and position.isdecimal() and len(position) < 19
        try:
            return datetime.fromisoformat(position).tzinfo is not None
        except ValueError:
            return False

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """With the orders that the view knows, and the exact bounds."""
        found = super().get_schema_operation_parameters(view)
        for parameter in found:
            if parameter["name"] == "limit":
                bounds = {"minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
                parameter["schema"] = {"type": "integer", **bounds}
        order = {"type": "string", "enum": _orders(view), "default": self.ordering}
        words = "The order of the rows; a minus turns it."
        return [*found, {"name": "ordering", "required": False, "in": "query", "description": words, "schema": order}]


def _orders(view: Any) -> list[str]:
    return [f"{sign}{name}" for name in getattr(view, "ordering_fields", ("id",)) for sign in ("-", "")]


class InUtc(serializers.Serializer[Any]):
    """Mixin: times are told in UTC, whatever the server's zone; one that is given without a zone is meant so, too."""

    def get_fields(self) -> dict[str, Any]:
        """DRF would take the zone of the moment."""
        fields = super().get_fields()
        for field in fields.values():
            if isinstance(field, serializers.DateTimeField):
                field.timezone = UTC
        return fields


class Selectable(InUtc):
    """Mixin: `?fields=id,label` leaves the others out of what is read; the key stays."""

    @classmethod
    def many_init(cls, *args: Any, **options: Any) -> Any:
        """Raises ValidationError for a name that is no field, also when there is no row to show."""
        rows: Any = super().many_init(*args, **options)
        if options.get("context"):
            _ = rows.child.fields
        return rows

    def get_fields(self) -> dict[str, Any]:
        """Raises ValidationError for a name that is no field."""
        fields = super().get_fields()
        request = self.context.get("request")
        wanted = request.query_params.get("fields") if request is not None and request.method == "GET" else None
        whole = self.parent is None or (isinstance(self.parent, serializers.ListSerializer) and not self.parent.parent)
        if not wanted or not whole:
            return fields
        names = [name.strip() for name in wanted.split(",")]
        if unknown := [name for name in names if name not in fields]:
            raise ValidationError({"fields": [f"There is no field {unknown[0][:100]!r}; known: {', '.join(fields)}."]})
        return {name: field for name, field in fields.items() if name in names or name == "id"}


class ReadableKey(serializers.PrimaryKeyRelatedField[Any]):
    """A key of something that not everybody may read: what is not there is refused like what the user may not use."""

    def to_internal_value(self, data: Any) -> Any:
        """A number beyond all keys is a mistake, not a secret. Raises as `fail`."""
        if isinstance(data, int) and abs(data) >= 2**63:
            super().fail("incorrect_type", data_type="too large a number")
        return super().to_internal_value(data)

    def fail(self, key: str, **values: Any) -> NoReturn:
        """Raises PermissionDenied instead of telling which keys there are, ValidationError for what is no key."""
        if key == "does_not_exist":
            raise PermissionDenied("You may not use this one, or it is not there.")
        super().fail(key, **values)


class UnitKey(ReadableKey):
    """A key of something that has a unit: of what the user's unit reads."""

    def get_queryset(self) -> QuerySet[Any]:
        """Without what lies beside it."""
        rows: Any = super().get_queryset()
        found: QuerySet[Any] = rows.filter(units.readable(self.context["request"].user))
        return found


class CampaignKey(ReadableKey):
    """A key of a campaign, or of what belongs to one: of campaigns that the user may read."""

    def get_queryset(self) -> QuerySet[Any]:
        """Without what the user may not read."""
        rows: Any = super().get_queryset()
        within = "pk__in" if rows.model is Campaign else "campaign__in"
        found: QuerySet[Any] = rows.filter(**{within: access.readable_campaigns(self.context["request"].user)})
        return found


class WithUnit(serializers.Serializer[Any]):
    """Mixin: the `unit`; administrators may ask for one at or below their own."""

    unit = ReadableKey(queryset=OrganizationalUnit.objects.all(), required=False)

    def validate_unit(self, unit: OrganizationalUnit) -> OrganizationalUnit:
        """Raises PermissionDenied."""
        user = self.context["request"].user
        if self.instance is not None and self.instance.unit_id == unit.pk:
            return unit
        # From elsewhere nobody takes into their own unit what a grant lets them change: there they would be its
        # administrator.
        if not (access.may_administer(user, self.instance) and units.writable_units(user).filter(pk=unit.pk).exists()):
            raise PermissionDenied("Only an administrator of the unit may put something into it.")
        return unit


class KeyFilter(NumberFilter):  # type: ignore[misc]  # django-filter has no types
    """Rows that belong to the object with this key; whether there is such an object is not told."""

    field_class = forms.IntegerField

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=GREATEST, **options)

    def filter(self, qs: Any, value: Any) -> Any:
        """By the key's column alone."""
        return qs if value is None else qs.filter(**{f"{self.field_name}_id": value})


def paged(
    view: Any, rows: QuerySet[Any], serializer: Any, mask: Callable[[list[Any]], None] = lambda rows: None
) -> Response:
    """A page of `rows` as the view pages, with the fields that were asked for. `mask` hides in the page's rows what its
    reader may not see."""
    page = view.paginate_queryset(rows)
    mask(page)
    context = view.get_serializer_context()
    answer: Response = view.get_paginated_response(serializer(page, many=True, context=context).data)
    return answer


class ModelRights(permissions.DjangoModelPermissions):
    """Django's permission of the verb on the model; reading asks too. For what belongs to no campaign."""

    perms_map = {
        **permissions.DjangoModelPermissions.perms_map,
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
    }

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        """What lies above the user's unit is read only; what lies beside, the queryset leaves out (InUnits)."""
        if request.method not in permissions.SAFE_METHODS and hasattr(obj, "unit_id"):
            units.require_writes(request.user, obj)
        return True


class InUnits:
    """For views of models that have a unit: shows what the user's unit reads, and gives new ones the user's unit."""

    request: Any

    def get_queryset(self) -> QuerySet[Any]:
        """Without what lies beside the user's unit."""
        rows: QuerySet[Any] = super().get_queryset()  # type: ignore[misc]
        return rows.filter(units.readable(self.request.user))

    def perform_create(self, serializer: Any) -> None:
        """In the unit that an administrator asked for, or else the creator's."""
        serializer.save(unit=serializer.validated_data.get("unit") or units.unit_of(self.request.user))


class EverybodysRights(ModelRights):
    """For what concerns everybody: the permission, and Administration with the unit All."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Both."""
        return bool(super().has_permission(request, view) and access.may_administer_all(request.user))


class CampaignRights(permissions.IsAuthenticated):
    """Reading needs the campaign to be readable (the queryset sees to it), writing the right to prepare in it."""

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        """`obj` is a campaign, or has one as `campaign`."""
        campaign = getattr(obj, "campaign", obj)
        if request.method in permissions.SAFE_METHODS:
            return access.may_read(request.user, campaign)
        access.require_prepare(request.user, campaign)
        return True
