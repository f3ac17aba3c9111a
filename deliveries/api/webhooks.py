"""The API over webhooks that leave: endpoints and their secrets, calls with their tries. For administrators."""

from __future__ import annotations

from typing import Any

from django_filters.rest_framework import ChoiceFilter, FilterSet
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.api.base import EverybodysRights, InUtc, KeyFilter, Selectable
from campaigns.api.etags import Versioned
from campaigns.api.idempotency import Idempotent
from deliveries.ledger import webhooks
from deliveries.models.webhooks import WebhookCall, WebhookEndpoint, WebhookTry


class EndpointSerializer(Selectable, serializers.ModelSerializer[WebhookEndpoint]):
    """An endpoint. No `kinds`: all events."""

    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=webhooks.ALL_KINDS), required=False, max_length=len(webhooks.ALL_KINDS)
    )

    class Meta:
        model = WebhookEndpoint
        fields = ["id", "label", "url", "kinds", "enabled", "rotated_at", "created_at"]
        read_only_fields = ["rotated_at", "created_at"]

    def validate_url(self, url: str) -> str:
        """Nothing that leads into our own network."""
        return webhooks.checked(url)


class NewEndpointSerializer(EndpointSerializer):
    """A new endpoint. `secret` is what its receiver verifies posts with, shown this once."""

    secret = serializers.SerializerMethodField()

    class Meta(EndpointSerializer.Meta):
        fields = [*EndpointSerializer.Meta.fields, "secret"]

    def get_secret(self, endpoint: WebhookEndpoint) -> str:
        """As the receiver takes it."""
        return webhooks.secret(endpoint)


class TrySerializer(InUtc, serializers.ModelSerializer[WebhookTry]):
    """One try. No status: there was no answer."""

    class Meta:
        model = WebhookTry
        fields = ["at", "status", "words", "milliseconds"]


class CallSerializer(Selectable, serializers.ModelSerializer[WebhookCall]):
    """One event for one endpoint, and every try to post it."""

    webhook_id = serializers.SerializerMethodField()
    delivery = serializers.IntegerField(source="delivery_id", read_only=True, allow_null=True)
    tries = TrySerializer(many=True, read_only=True)

    class Meta:
        model = WebhookCall
        fields = [
            "id",
            "webhook_id",
            "endpoint",
            "kind",
            "delivery",
            "payload",
            "created_at",
            "state",
            "tries_made",
            "due_at",
            "ended_at",
            "tries",
        ]
        read_only_fields = fields

    def get_webhook_id(self, call: WebhookCall) -> str:
        """As in the header of that name."""
        return f"msg_{call.uid}"


class CallFilter(FilterSet):  # type: ignore[misc]  # django-filter has no types
    """By endpoint, state and event."""

    endpoint = KeyFilter()
    delivery = KeyFilter()
    kind = ChoiceFilter(choices=[(kind, kind) for kind in webhooks.ALL_KINDS])

    class Meta:
        model = WebhookCall
        fields = ["state"]


_SECRET = inline_serializer("WebhookSecret", {"secret": serializers.CharField()})


class EndpointViewSet(Versioned, Idempotent, viewsets.ModelViewSet[WebhookEndpoint]):
    """Who is told of what happens to deliveries."""

    queryset = WebhookEndpoint.objects.order_by("-pk")
    serializer_class = EndpointSerializer
    permission_classes = [EverybodysRights]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def get_serializer_class(self) -> Any:
        """With the secret for whoever makes one."""
        return NewEndpointSerializer if self.action == "create" else EndpointSerializer

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Make an endpoint, and tell its secret."""
        answer = super().create(request, *args, **kwargs)
        answer["Cache-Control"] = "no-store"
        return answer

    def perform_create(self, serializer: Any) -> None:
        """The creator is kept."""
        serializer.save(created_by=self.request.user)

    @extend_schema(responses={204: OpenApiResponse(description="It hears of nothing any more.")})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """With its calls."""
        return super().destroy(request, *args, **kwargs)

    @extend_schema(request=None, responses={200: _SECRET})
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """Make a new secret, and tell it. For a day posts are signed with the old one, too."""
        return Response({"secret": webhooks.rotate(self.get_object())}, headers={"Cache-Control": "no-store"})

    @extend_schema(request=None, responses={201: CallSerializer})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Post a call that only tells that it arrives."""
        call = webhooks.write_test(self.get_object())
        return Response(CallSerializer(call).data, status=status.HTTP_201_CREATED)


class CallViewSet(
    Idempotent,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[WebhookCall],
):
    """What was, or will be, posted; kept for a month."""

    queryset = WebhookCall.objects.prefetch_related("tries")
    serializer_class = CallSerializer
    permission_classes = [EverybodysRights]
    filterset_class = CallFilter

    @extend_schema(request=None, responses={200: CallSerializer})
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        """Post it again, with the same webhook-id."""
        return Response(CallSerializer(webhooks.replay(self.get_object())).data)
