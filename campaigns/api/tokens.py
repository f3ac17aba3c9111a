"""The API over its own tokens: list, make, end."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.accounts import api_tokens
from campaigns.accounts.login import PasswordOnce
from campaigns.core.actors import person
from campaigns.core.one_line import single_line
from campaigns.models.api import ApiToken

from .base import Conflict, InUtc, KeyPagination
from .problem_details import ProblemSerializer


class TokenPages(KeyPagination):
    """Newest first; a token's key is its digest, which is nobody's business."""

    ordering = "-created"


class TokenSerializer(InUtc, serializers.ModelSerializer[ApiToken]):
    """A token without its secret."""

    id = serializers.UUIDField(source="uid", read_only=True)
    owner = serializers.CharField(source="user.username", read_only=True)
    rights = serializers.ListField(child=serializers.ChoiceField(choices=api_tokens.Right.choices), read_only=True)

    class Meta:
        model = ApiToken
        fields = ["id", "label", "owner", "rights", "created", "expiry"]
        read_only_fields = fields


class NewTokenSerializer(serializers.Serializer[Any]):
    """What a token is for. Reading is always among its rights."""

    label = serializers.CharField(max_length=128, validators=[single_line])  # type: ignore[assignment]
    rights = serializers.ListField(
        child=serializers.ChoiceField(choices=api_tokens.Right.choices), max_length=len(api_tokens.Right)
    )
    days = serializers.IntegerField(min_value=1, max_value=api_tokens.MOST_DAYS, default=api_tokens.DAYS)


class GivenTokenSerializer(TokenSerializer):
    """A new token. `token` is its secret, shown this once."""

    token = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
        read_only_fields = fields


class TokenViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ApiToken]):
    """One's own tokens; for who administers, everybody's. Making them, and ending others than itself, is nothing that a
    token may do: that takes a session, or user name and password."""

    queryset = ApiToken.objects.none()
    serializer_class = TokenSerializer
    pagination_class = TokenPages
    ordering_fields = ("created",)
    authentication_classes = [api_tokens.TokenAuthentication, PasswordOnce, SessionAuthentication]
    permission_classes = [IsAuthenticated]
    lookup_field = "uid"

    def get_queryset(self) -> QuerySet[ApiToken]:
        """Those that the user may see."""
        return api_tokens.visible(person(self.request.user))

    @extend_schema(request=NewTokenSerializer, responses={201: GivenTokenSerializer, 409: ProblemSerializer})
    def create(self, request: Request) -> Response:
        """Make a token, with a session or user name and password. No Idempotency-Key: a secret is not kept to be shown
        again."""
        asked = NewTokenSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        try:
            token, secret = api_tokens.give(person(request.user), **asked.validated_data)
        except api_tokens.NotGiven as error:
            raise Conflict(str(error), code="token_not_given") from error
        given = {**TokenSerializer(token).data, "token": secret}
        return Response(given, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})

    @extend_schema(responses={204: OpenApiResponse(description="It is good for nothing from now on.")})
    def destroy(self, request: Request, uid: str) -> Response:
        """End a token at once; with a token: itself alone."""
        api_tokens.end(person(request.user), self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)
