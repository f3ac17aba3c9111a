"""The API over what a delivery left in the logs: recipients, exclusions with their causes, and its own log."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.base import Selectable, paged
from campaigns.core.web.search import starts_with
from deliveries.ledger import masked_rows
from deliveries.models import DeliveryEvent, ExclusionCause, ExclusionLog, SendingLog
from deliveries.models.states import LogStatus, Reason


class SendingLogSerializer(Selectable, serializers.ModelSerializer[SendingLog]):
    """One recipient of a delivery and what became of it. `hidden`: of another unit, so it is not told who that is."""

    hidden = serializers.BooleanField(read_only=True, default=False)
    status_label = serializers.CharField(source="get_status_display", read_only=True)
    reason_label = serializers.CharField(source="get_reason_display", read_only=True)

    class Meta:
        model = SendingLog
        fields = [
            "id",
            "profile",
            "address",
            "status",
            "status_label",
            "failure_type",
            "reason",
            "reason_label",
            "reply",
            "date",
            "attempts",
            "due_at",
            "relayed_at",
            "opened_at",
            "clicked_at",
            "opted_out_at",
            "hidden",
        ]


class ExclusionLogSerializer(Selectable, serializers.ModelSerializer[ExclusionLog]):
    """A profile that was left out, and why; `rule` is the number of the typology rule, 0 if it was none. `hidden`: of
    another unit, so it is not told who that is."""

    hidden = serializers.BooleanField(read_only=True, default=False)
    cause_label = serializers.CharField(source="words", read_only=True)

    class Meta:
        model = ExclusionLog
        fields = ["id", "profile", "address", "cause", "rule", "cause_label", "date", "hidden"]


class ExclusionCauseSerializer(Selectable, serializers.ModelSerializer[ExclusionCause]):
    """How many a cause, or a typology rule, left out, zero included."""

    cause_label = serializers.CharField(source="words", read_only=True)

    class Meta:
        model = ExclusionCause
        fields = ["cause", "rule", "cause_label", "volume", "date"]


class EventSerializer(Selectable, serializers.ModelSerializer[DeliveryEvent]):
    """A line of a delivery's log."""

    class Meta:
        model = DeliveryEvent
        fields = ["id", "at", "severity", "code", "message", "user", "details"]


def _choice(name: str, choices: Any, words: str) -> OpenApiParameter:
    return OpenApiParameter(name, int, enum=[int(choice) for choice in choices], description=words)


_ADDRESS = OpenApiParameter("address", str, description="Beginning of the address.")


class DeliveryLogs:
    """Mixin of the view set over deliveries: its logs, a page at a time, newest first."""

    @extend_schema(
        responses=SendingLogSerializer(many=True),
        filters=False,
        parameters=[_choice("status", LogStatus, "Only rows of this status."), _ADDRESS],
    )
    @action(detail=True, url_path="sending-logs", filter_backends=[], ordering_fields=("id",))
    def sending_logs(self: Any, request: Request, pk: str) -> Response:
        """One row per recipient."""
        delivery = self.get_object()
        seen = masked_rows.sight(request.user, delivery)
        rows = _narrowed(delivery.sending_logs.all(), request, "status", LogStatus, seen.found_with_tests)
        return paged(self, rows, SendingLogSerializer, partial(masked_rows.mask_logs, seen=seen))

    @extend_schema(
        responses=ExclusionLogSerializer(many=True),
        filters=False,
        parameters=[_choice("cause", Reason, "Only rows of this cause."), _ADDRESS],
    )
    @action(detail=True, url_path="exclusion-logs", filter_backends=[], ordering_fields=("id",))
    def exclusion_logs(self: Any, request: Request, pk: str) -> Response:
        """One row per profile left out."""
        delivery = self.get_object()
        seen = masked_rows.sight(request.user, delivery)
        rows = _narrowed(delivery.exclusion_logs.all(), request, "cause", Reason, seen.found)
        return paged(self, rows, ExclusionLogSerializer, partial(masked_rows.mask_exclusions, seen=seen))

    @extend_schema(responses=ExclusionCauseSerializer(many=True), filters=False)
    @action(detail=True, url_path="exclusion-causes", pagination_class=None, filter_backends=[])
    def exclusion_causes(self: Any, request: Request, pk: str) -> Response:
        """How many each cause left out, zero included."""
        rows = self.get_object().exclusion_causes.all()
        return Response(ExclusionCauseSerializer(rows, many=True, context=self.get_serializer_context()).data)

    @extend_schema(
        responses=EventSerializer(many=True),
        filters=False,
        parameters=[_choice("severity", DeliveryEvent.Severity, "Only lines of this severity.")],
    )
    @action(detail=True, filter_backends=[], ordering_fields=("id",))
    def events(self: Any, request: Request, pk: str) -> Response:
        """The delivery's own log."""
        delivery = self.get_object()
        seen = masked_rows.sight(request.user, delivery)
        rows = _narrowed(delivery.events.all(), request, "severity", DeliveryEvent.Severity)
        return paged(self, rows, EventSerializer, partial(masked_rows.mask_words, seen=seen))


def _narrowed(
    rows: QuerySet[Any], request: Request, name: str, choices: Any, found: Callable[[], Q] | None = None
) -> QuerySet[Any]:
    """By a number of `choices` and the beginning of the address, where they are given; `found`: the rows that a search
    by address may find, None where rows have no address. Raises ValidationError."""
    wanted, beginning = request.query_params.get(name), request.query_params.get("address", "").strip().lower()
    if wanted is not None:
        known = {str(int(choice)) for choice in choices}
        if wanted not in known:
            raise serializers.ValidationError({name: [f"Write one of {', '.join(sorted(known, key=int))}."]})
        rows = rows.filter(**{name: int(wanted)})
    return rows.filter(starts_with("address", beginning), found()) if beginning and found else rows
