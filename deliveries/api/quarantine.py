"""The API over quarantined addresses; kept by administrators, as in the admin."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django_filters.rest_framework import CharFilter, FilterSet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.base import EverybodysRights, Selectable
from campaigns.api.etags import Versioned
from campaigns.api.idempotency import Idempotent
from campaigns.core.web.search import starts_with
from deliveries.feedback import quarantine
from deliveries.models import QuarantinedAddress


class QuarantineSerializer(Selectable, serializers.ModelSerializer[QuarantinedAddress]):
    """What is known against an address. Set Valid, or deleted, it starts anew."""

    status_label = serializers.CharField(source="get_status_display", read_only=True)
    reason_label = serializers.CharField(source="get_reason_display", read_only=True)

    class Meta:
        model = QuarantinedAddress
        fields = [
            "id",
            "address",
            "status",
            "status_label",
            "reason",
            "reason_label",
            "errors",
            "significant_at",
            "error_text",
            "last_delivery",
            "by_hand",
            "created_at",
            "modified_at",
        ]
        read_only_fields = ["errors", "significant_at", "last_delivery", "by_hand", "created_at", "modified_at"]

    def to_internal_value(self, data: Any) -> Any:
        """Addresses match exactly and are kept in lower case (deliverability.md, Quarantine)."""
        if isinstance(data, dict) and isinstance(data.get("address"), str):
            data = {**data, "address": data["address"].strip().lower()}
        return super().to_internal_value(data)


class QuarantineFilter(FilterSet):  # type: ignore[misc]  # django-filter has no types
    """By status, reason, and the beginning of the address."""

    address = CharFilter(method="by_address", max_length=254, help_text="Beginning of the address.")

    class Meta:
        model = QuarantinedAddress
        fields = ["status", "reason"]

    def by_address(self, rows: Any, name: str, text: str) -> Any:
        """By the index."""
        return rows.filter(starts_with("address", text.lower()))


class QuarantineViewSet(Versioned, Idempotent, viewsets.ModelViewSet[QuarantinedAddress]):
    """Quarantined addresses."""

    queryset = QuarantinedAddress.objects.all()
    serializer_class = QuarantineSerializer
    permission_classes = [EverybodysRights]
    filterset_class = QuarantineFilter
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def perform_create(self, serializer: Any) -> None:
        """As for a change."""
        self.perform_update(serializer)

    @transaction.atomic
    def perform_update(self, serializer: Any) -> None:
        """What a person sets, reports do not lower; Valid forgets what was reported until now."""
        status = serializer.validated_data.get("status", getattr(serializer.instance, "status", None))
        entry = serializer.save(by_hand=status != QuarantinedAddress.Status.VALID)
        if entry.status == QuarantinedAddress.Status.VALID:
            quarantine.forget([entry.address])

    @extend_schema(responses={204: OpenApiResponse(description="The address starts anew.")})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Free the address."""
        return super().destroy(request, *args, **kwargs)

    @transaction.atomic
    def perform_destroy(self, instance: QuarantinedAddress) -> None:
        """The address starts anew."""
        quarantine.forget([instance.address])
        instance.delete()
