"""What programs may ask of reporting: figures, tracking logs, tracked URLs, and a profile's history."""

from __future__ import annotations

import functools
import operator
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns.accounts import permissions
from campaigns.accounts.masking import EVERYTHING
from campaigns.api.base import InUnits, InUtc, ModelRights, Selectable
from campaigns.api.idempotency import Idempotent
from campaigns.core.actors import person
from campaigns.models import Profile
from deliveries.api.deliveries import COMMANDS
from deliveries.ledger import masked_rows
from deliveries.models import Delivery
from reporting.figures import breakdown, kept_figures
from reporting.figures.clicks import clicks_by_url
from reporting.figures.history import MOST, history
from reporting.figures.row_sets import tracking_logs
from reporting.models import Figures, TrackedUrl, TrackingLog, TrackingType

COMMANDS["computeStats"] = kept_figures.compute_stats


class FiguresSerializer(Selectable, serializers.ModelSerializer[Figures]):
    """Distinct recipients, but for all_opens and all_clicks, which are events; people_…: machines left out."""

    opens = serializers.IntegerField(source="delivery.opens", read_only=True)
    clicks = serializers.IntegerField(source="delivery.clicks", read_only=True)

    class Meta:
        model = Figures
        fields = [
            "opens",
            "clicks",
            "people_opens",
            "people_clicks",
            "mirrors",
            "opt_outs",
            "all_opens",
            "all_clicks",
            "refreshed_at",
        ]


class TrackingLogSerializer(Selectable, serializers.ModelSerializer[TrackingLog]):
    """An act of one recipient, or of a machine before them (`machine`, and the `rule` that says so). `hidden`: of
    another unit, so it is not told who that is."""

    hidden = serializers.BooleanField(read_only=True, default=False)
    address = serializers.CharField(source="sending_log.address", read_only=True)
    profile = serializers.IntegerField(source="sending_log.profile_id", read_only=True, allow_null=True)
    type_label = serializers.CharField(source="get_type_display", read_only=True)

    class Meta:
        model = TrackingLog
        fields = [
            "id",
            "at",
            "type",
            "type_label",
            "link",
            "sending_log",
            "address",
            "profile",
            "machine",
            "rule",
            "agent",
            "network",
            "hidden",
        ]


class TrackedUrlSerializer(Selectable, serializers.ModelSerializer[TrackedUrl]):
    """A link of the content. `link` is its number in tracking logs; `recipients` and `people` are distinct."""

    events = serializers.IntegerField(read_only=True)
    recipients = serializers.IntegerField(read_only=True)
    people = serializers.IntegerField(read_only=True)

    class Meta:
        model = TrackedUrl
        fields = ["id", "link", "label", "category", "kind", "part", "url", "events", "recipients", "people"]


class HistoryEntrySerializer(InUtc):
    """One line of a history."""

    date = serializers.DateTimeField(source="at")
    category = serializers.CharField(source="kind", help_text="sent, bounced, waiting, opened, clicked, opted-out …")
    label = serializers.CharField()  # type: ignore[assignment]
    delivery = serializers.IntegerField(source="delivery.pk")
    delivery_label = serializers.CharField(source="delivery.label")
    sending_log = serializers.IntegerField(source="log_id")
    detail = serializers.CharField(allow_blank=True)
    machine = serializers.BooleanField()


class HistorySerializer(InUtc):
    """All that is known of one profile, newest first."""

    first = serializers.DateTimeField(allow_null=True)
    touchpoints = serializers.IntegerField()
    outbound = serializers.IntegerField()
    inbound = serializers.IntegerField()
    cut = serializers.BooleanField(help_text=f"There is more than the newest {MOST} events.")
    events = HistoryEntrySerializer(many=True, source="entries")


def _readable(request: Request, pk: Any) -> Delivery:
    return get_object_or_404(Delivery, pk=pk, campaign__in=permissions.readable_campaigns(request.user))


class StatsView(Idempotent, APIView):
    """GET: the figures of the last refresh. POST: recompute everything from the logs, then the figures."""

    @extend_schema(responses=FiguresSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """404 for a delivery that the user may not read, or that was never refreshed."""
        figures = get_object_or_404(Figures, delivery=_readable(request, pk))
        return Response(FiguresSerializer(figures, context={"request": request}).data)

    @extend_schema(request=None, responses=FiguresSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """403 without the right to prepare, 409 while another computation runs or when there is nothing to compute."""
        delivery = _readable(request, pk)
        kept_figures.compute_stats(delivery, person(request.user))
        return Response(FiguresSerializer(Figures.objects.get(delivery=delivery)).data)


_TRACKING = [
    OpenApiParameter("type", int, enum=[int(kind) for kind in TrackingType], description="Only events of this type."),
    OpenApiParameter("who", str, enum=["people", "machines"], description="Only what these did."),
    OpenApiParameter("link", int, description="Only clicks on the link of this number."),
]


class TrackingLogView(generics.ListAPIView[TrackingLog]):
    """Opens, clicks, mirror pages and opt-outs of one delivery."""

    serializer_class = TrackingLogSerializer
    permission_classes = [IsAuthenticated]
    filter_backends = []
    queryset = TrackingLog.objects.none()

    @extend_schema(parameters=_TRACKING, operation_id="deliveries_tracking_logs_list")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A page, newest first."""
        return super().get(request, *args, **kwargs)

    def paginate_queryset(self, queryset: Any) -> Any:
        """A page of them, masked for its reader."""
        page: Any = super().paginate_queryset(queryset)
        masked_rows.mask_events(page, masked_rows.sight(self.request.user, self.delivery))
        return page

    def get_queryset(self) -> QuerySet[TrackingLog]:
        """As the tab of the dashboard selects them. Raises ValidationError."""
        self.delivery, asked = _readable(self.request, self.kwargs["pk"]), self.request.query_params
        for name, known in {"type": [str(int(kind)) for kind in TrackingType], "who": ["people", "machines"]}.items():
            if name in asked and asked[name] not in known:
                raise serializers.ValidationError({name: [f"Write one of {', '.join(known)}."]})
        if "link" in asked and not (asked["link"].isascii() and asked["link"].isdecimal() and len(asked["link"]) < 10):
            raise serializers.ValidationError({"link": ["Write the number of a link."]})
        chosen = {name: asked[name] for name in ("type", "who", "link") if name in asked}
        return functools.reduce(operator.or_, tracking_logs(self.delivery, chosen, EVERYTHING).parts)


class TrackedUrlView(APIView):
    """The links of one delivery's content."""

    @extend_schema(responses=TrackedUrlSerializer(many=True), operation_id="deliveries_tracked_urls_list")
    def get(self, request: Request, pk: int) -> Response:
        """In order of place, with how often each was clicked."""
        delivery = _readable(request, pk)
        rows = clicks_by_url(delivery, breakdown.summed(delivery)[0])
        return Response(TrackedUrlSerializer(rows, many=True, context={"request": request}).data)


class HistoryView(InUnits, generics.GenericAPIView[Profile]):
    """What was sent to a profile and what came back, of the deliveries that the user may read."""

    queryset = Profile.objects.all()
    permission_classes = [ModelRights]
    serializer_class = HistorySerializer

    @extend_schema(responses=HistorySerializer, operation_id="profiles_history_retrieve")
    def get(self, request: Request, pk: int) -> Response:
        """Newest first."""
        found = history(self.get_object(), permissions.readable_campaigns(request.user))
        return Response(HistorySerializer(found).data)
