"""The API's URL table: resources, tokens, and the OpenAPI document with its page."""

from typing import Any

from django.urls import include, path, re_path
from drf_spectacular.utils import OpenApiResponse, extend_schema, inline_serializer
from drf_spectacular.views import SpectacularSwaggerSplitView
from knox.views import LoginView, LogoutView
from rest_framework import serializers
from rest_framework.routers import DefaultRouter

from campaigns.accounts import api_tokens
from campaigns.accounts.api_tokens import TokenAuthentication
from campaigns.accounts.login import PasswordOnce
from campaigns.api.problem_details import NothingHere
from campaigns.api.proof_domains import ProofDomainViewSet
from campaigns.api.resources import AudienceViewSet, BrandViewSet, CampaignViewSet, MessageViewSet, ProfileViewSet
from campaigns.api.rights import GroupViewSet, PersonViewSet, UnitViewSet, WhoMayStartView
from campaigns.api.tokens import TokenViewSet
from campaigns.api.typologies import TypologyViewSet
from campaigns.core.actors import person
from deliveries.api.deliveries import DeliveryViewSet
from deliveries.api.quarantine import QuarantineViewSet
from deliveries.api.webhooks import CallViewSet, EndpointViewSet
from reporting.api.figure_rows import FigureRowsView
from reporting.api.resources import HistoryView, StatsView, TrackedUrlView, TrackingLogView

from .api_document import DocumentView


@extend_schema(
    request=None,
    auth=[{"basicAuth": []}],  # type: ignore[list-item]
    responses=inline_serializer("Login", {"expiry": serializers.DateTimeField(), "token": serializers.CharField()}),
)
class TokenView(LoginView):  # type: ignore[misc]  # knox has no types
    """POST with a name and a password (HTTP Basic) gives a token that ends after ten hours; it is stored hashed. Of
    more than twenty such tokens of one person the oldest end."""

    authentication_classes = [PasswordOnce]

    def create_token(self) -> Any:
        """With all rights of its owner."""
        return api_tokens.log_in(person(self.request.user))


@extend_schema(request=None, responses={204: OpenApiResponse(description="It is good for nothing from now on.")})
class EndTokenView(LogoutView):  # type: ignore[misc]  # knox has no types
    """POST ends the token that the request carries."""

    authentication_classes = [TokenAuthentication]


router = DefaultRouter()
router.include_root_view = False
router.include_format_suffixes = False  # one format, so one address for each view
router.register("profiles", ProfileViewSet)
router.register("audiences", AudienceViewSet)
router.register("brands", BrandViewSet)
router.register("typologies", TypologyViewSet)
router.register("proof-domains", ProofDomainViewSet)
router.register("campaigns", CampaignViewSet)
router.register("units", UnitViewSet, "unit")
router.register("groups", GroupViewSet, "group")
router.register("users", PersonViewSet, "person")
router.register("messages", MessageViewSet)
router.register("deliveries", DeliveryViewSet)
router.register("quarantine", QuarantineViewSet)
router.register("webhooks", EndpointViewSet)
router.register("webhook-calls", CallViewSet)
router.register("tokens", TokenViewSet)

urlpatterns = [
    path("token/", TokenView.as_view(), name="api-token"),
    path("token/end/", EndTokenView.as_view(), name="api-token-end"),
    path("schema/", DocumentView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api-docs"),
    path("deliveries/<int:pk>/stats/", StatsView.as_view(), name="delivery-stats"),
    path("deliveries/<int:pk>/tracking-logs/", TrackingLogView.as_view(), name="api-tracking-logs"),
    path("deliveries/<int:pk>/tracked-urls/", TrackedUrlView.as_view(), name="api-tracked-urls"),
    path("deliveries/<int:pk>/figures/<slug:name>/", FigureRowsView.as_view(), name="api-figure-rows"),
    path("profiles/<int:pk>/history/", HistoryView.as_view(), name="api-profile-history"),
    path("campaigns/<int:pk>/who-may-start/", WhoMayStartView.as_view(), name="campaign-who-may-start"),
    path("", include(router.urls)),
    re_path("", NothingHere.as_view(), name="api-nothing"),
]
