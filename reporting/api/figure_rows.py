"""The rows behind each figure, for programs: the same sets of rows as the pages and the files have."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns.accounts import permissions
from campaigns.core.web.paging import page_of
from deliveries.ledger import masked_rows
from deliveries.models import Delivery, SendingLog
from reporting.figures import row_sets


class RowSerializer(serializers.ModelSerializer[SendingLog]):
    """One recipient among those that a figure counts. `hidden`: of another unit, so it is not told who that is."""

    hidden = serializers.BooleanField(read_only=True, default=False)
    status_label = serializers.CharField(source="get_status_display", read_only=True)

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
            "date",
            "relayed_at",
            "opened_at",
            "clicked_at",
            "opted_out_at",
            "hidden",
        ]


class RowsSerializer(serializers.Serializer[Any]):
    """A page of rows; `next` is null on the last one. `count`: all rows of the figure, where it was asked for."""

    count = serializers.IntegerField(required=False)
    next = serializers.URLField(allow_null=True)
    results = RowSerializer(many=True)


class FigureRowsView(APIView):
    """The sending logs that a figure counts, oldest first, fifty on a page."""

    @extend_schema(
        responses=RowsSerializer,
        parameters=[
            OpenApiParameter("after", int, description="The last id of the page before."),
            OpenApiParameter("count", bool, description="1: count all rows too, which takes long where they are many."),
        ],
    )
    def get(self, request: Request, pk: int, name: str) -> Response:
        """404 for a delivery that the user may not read and for a name that is no figure."""
        user = request.user
        delivery = get_object_or_404(Delivery, pk=pk, campaign__in=permissions.readable_campaigns(user))
        chosen = row_sets.figure(delivery, name, masked_rows.sight(user, delivery))
        counting = request.query_params.get("count") == "1"
        page = page_of(chosen.parts, request._request, keep={"count": "1"} if counting else None)
        chosen.mask(page.rows)
        answer: dict[str, Any] = {"count": chosen.count()} if counting else {}
        answer["next"] = request.build_absolute_uri(f"{request.path}?{page.on}") if page.on else None
        return Response(answer | {"results": RowSerializer(page.rows, many=True).data})
