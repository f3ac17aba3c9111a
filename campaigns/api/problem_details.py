"""What the API answers when it cannot do what was asked: problem details (RFC 9457), the same everywhere.

`code` is stable and meant for programs; `detail` is meant for people. `errors` names each of them with the field that
it is about, if there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied as Forbidden
from django.core.exceptions import RequestDataTooBig
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import exception_handler
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotAuthenticated, NotFound, PermissionDenied, Throttled
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class TooLarge(APIException):
    """413: more than anybody needs to send at once."""

    status_code = 413
    default_detail = "The body is too large; send it in parts."
    default_code = "too_large"


MEDIA_TYPE = "application/problem+json"


class ErrorSerializer(serializers.Serializer[Any]):
    """One thing that is wrong."""

    code = serializers.CharField()
    detail = serializers.CharField()
    attr = serializers.CharField(allow_null=True, help_text="The field, like profiles.3.email.")


class ProblemSerializer(serializers.Serializer[Any]):
    """Problem details (RFC 9457)."""

    type = serializers.CharField(help_text="about:blank: the status says it.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField(help_text="Stable, for programs; that of the first error.")
    errors = ErrorSerializer(many=True)  # type: ignore[assignment]  # the base has a property of that name


class Formatter(ExceptionFormatter):
    """Writes an exception as problem details."""

    def format_error_response(self, error_response: Any) -> dict[str, Any]:
        """In: the library's list of errors."""
        return problem(self.exc.status_code, [vars(error) for error in error_response.errors])


def problem(status: int, errors: list[dict[str, Any]]) -> dict[str, Any]:
    """The body for a status and what is wrong, [{code, detail, attr}]."""
    first = errors[0] if errors else {"code": "error", "detail": HTTPStatus(status).phrase, "attr": None}
    named = f"{first['attr']}: " if first["attr"] else ""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": f"{named}{first['detail']}",
        "code": first["code"],
        "errors": errors or [first],
    }


Answer = Callable[[Any], APIException]
_ANSWERS: dict[type[Exception], Answer] = {
    Forbidden: lambda error: PermissionDenied(str(error) or None),
    RequestDataTooBig: lambda error: TooLarge(),
}


def answers(kind: type[Exception]) -> Callable[[Answer], Answer]:
    """Registers what is answered to an exception of the rooms below, wherever it comes from."""

    def register(answer: Answer) -> Answer:
        _ANSWERS[kind] = answer
        return answer

    return register


def handle(error: Exception, context: Any) -> Response | None:
    """DRF's exception handler. Callers who fail to prove who they are spend an anonymous caller's allowance."""
    from campaigns.audit import trail

    from . import rate_limits

    found = next((answer for kind, answer in _ANSWERS.items() if isinstance(error, kind)), None)
    error = found(error) if found else error
    if isinstance(error, NotAuthenticated) or getattr(error, "status_code", 0) == 401:
        wait = rate_limits.stranger(trail.client_address(context["request"].META))
        error = Throttled(wait) if wait else error
    answer = exception_handler(error, context)
    if answer is not None:
        answer.content_type = MEDIA_TYPE
    return answer


class NothingHere(APIView):
    """Every address beneath /api/ that is none."""

    permission_classes = [AllowAny]
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """404, whatever the method and whoever asks."""
        super().initial(request, *args, **kwargs)
        raise NotFound("There is nothing at this address. Addresses end with a slash; /api/docs/ lists them.")
