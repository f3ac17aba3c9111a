"""The OpenAPI document: what every operation may answer beside what it answers when all goes well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drf_spectacular.authentication import BasicScheme
from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.permissions import AllowAny

from .base import Selectable
from .etags import HEADER as IF_MATCH
from .etags import Versioned
from .idempotency import HEADER, Idempotent
from .problem_details import MEDIA_TYPE, ProblemSerializer

_SHARED = {
    400: "A value or a parameter is wrong; `errors` names each.",
    401: "No token, or one that is not good any more.",
    403: "The role, or the token's right, is missing.",
    404: "There is nothing there, or nothing that you may read.",
    406: "The answer is JSON; the Accept header wants something else.",
    409: "It cannot be done now; the code says why.",
    412: "It has changed since it was read: If-Match names another version.",
    413: "The body is too large.",
    415: "The body must be JSON.",
    422: "The Idempotency-Key was sent with another request.",
    429: "Too many requests; Retry-After says when to come again.",
}
_WITHOUT_BODY = ("GET", "DELETE")


class TokenScheme(KnoxTokenScheme):  # type: ignore[no-untyped-call]
    """Our tokens are sent like knox's."""

    target_class = "campaigns.accounts.api_tokens.TokenAuthentication"


class PasswordScheme(BasicScheme):  # type: ignore[no-untyped-call]
    """User name and password, where a token will not do."""

    target_class = "campaigns.accounts.login.PasswordOnce"


class Schema(AutoSchema):
    """drf-spectacular's, with the headers and errors that all views share."""

    def get_override_parameters(self) -> list[Any]:
        """With the header against doing twice, and the choice of fields."""
        found = list(super().get_override_parameters())
        if self._idempotent():
            words = "Any unique text. The same request with it is done once; it gets the same answer for a day."
            found.append(OpenApiParameter(HEADER, str, OpenApiParameter.HEADER, description=words))
        if self._versioned():
            words = "The ETag with which it was read: it is changed only if it is still that version."
            found.append(OpenApiParameter(IF_MATCH, str, OpenApiParameter.HEADER, description=words))
        if self.method == "GET" and self._selectable():
            words = "Names with commas between: only these fields, and the id."
            found.append(OpenApiParameter("fields", str, OpenApiParameter.QUERY, description=words))
        return found

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        bodies = super()._get_response_bodies(direction=direction)
        if direction == "response":
            for code in self._errors():
                if str(code) not in bodies:
                    body: Any = self._get_response_for_code(  # type: ignore[no-untyped-call]
                        ProblemSerializer, str(code), media_types=[MEDIA_TYPE]
                    )
                    bodies[str(code)] = {**body, "description": _SHARED[code]}
        return dict(sorted(bodies.items()))

    def _errors(self) -> Iterator[int]:
        """Which of the shared errors this operation can give."""
        takes = self.method not in _WITHOUT_BODY and bool(self.get_request_serializer())
        yield from (406, 429)
        if not any(isinstance(asked, AllowAny) for asked in self.view.get_permissions()):
            yield from (401, 403)
        if "{" in self.path:
            yield 404
        if takes:
            yield from (400, 413, 415)
        if self.method == "GET" and (self._is_list_view() or self._selectable()):
            yield 400
        if self._versioned():
            yield 412
        if self._idempotent():
            yield from (400, 409, 413, 422)

    def _versioned(self) -> bool:
        return self.method == "PATCH" and isinstance(self.view, Versioned)

    def _idempotent(self) -> bool:
        return self.method == "POST" and isinstance(self.view, Idempotent)

    def _selectable(self) -> bool:
        found: Any = self.get_response_serializers()
        found = found.get(200) if isinstance(found, dict) else found
        if isinstance(found, serializers.ListSerializer):
            found = found.child
        kind = found if isinstance(found, type) else type(found)
        return issubclass(kind, Selectable)


def loosen(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """After generation: where fields may be chosen, none but the id is sure to be there."""
    schemas = result["components"]["schemas"]
    for name in _chosen(result["paths"]):
        properties = schemas[name]["properties"]
        schemas[name]["required"] = [field for field in schemas[name].get("required", ()) if field == "id"]
        if not schemas[name]["required"] or "id" not in properties:
            del schemas[name]["required"]
    _any_of_texts(result)
    return result


def _any_of_texts(node: Any) -> None:
    """A text that may be empty is said as one of two schemas, both of which an empty text fits: any of them will do."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        _any_of_texts(child)
    if isinstance(node, dict) and any(
        isinstance(one, dict) and one.get("maxLength") == 0 for one in node.get("oneOf", ())
    ):
        node["anyOf"] = node.pop("oneOf")


def _chosen(paths: dict[str, Any]) -> set[str]:
    """The components that some operation gives with chosen fields."""
    found = set()
    for operations in paths.values():
        for operation in operations.values():
            if any(parameter["name"] == "fields" for parameter in operation.get("parameters", ())):
                found.add(_component(operation["responses"]["200"]))
    return found


def _component(answer: dict[str, Any]) -> str:
    """The component of a response; of a page: that of its rows, by drf-spectacular's naming."""
    content: dict[str, Any] = next(iter(answer["content"].values()))["schema"]
    name = str(content.get("$ref") or content["items"]["$ref"]).rpartition("/")[2]
    return name.removeprefix("Paginated").removesuffix("List") if name.startswith("Paginated") else name
