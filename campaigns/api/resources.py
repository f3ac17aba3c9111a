"""The API over what we say and to whom: campaigns, messages, audiences, brands, profiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django_filters.rest_framework import CharFilter, FilterSet
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.accounts import permissions, units
from campaigns.consent import changes
from campaigns.consent.changes import MOST_SOURCE
from campaigns.models import Audience, Brand, Campaign, ControlGroup, Message, Profile, Schedule
from campaigns.models.people.profile import PERSONAL_FIELDS
from campaigns.models.people.seeds import TestProfile
from campaigns.models.schedule import Recurrence
from campaigns.models.tracking import TrackingOptions
from campaigns.targeting import audiences, bulk_upsert, csv_profiles

from .base import (
    GREATEST,
    CampaignKey,
    CampaignRights,
    Conflict,
    InUnits,
    KeyFilter,
    ModelRights,
    Selectable,
    UnitKey,
    WithUnit,
    answered_by_field,
)
from .consent import SOURCE_WORDS, ConsentHistory, Opting, origin_of
from .etags import Versioned
from .idempotency import Idempotent
from .schedules import RecurrenceSerializer, ScheduleSerializer, refuse_two_times, save_nested
from .tracking import TrackingSerializer
from .typologies import ControlGroupSerializer


class CampaignSerializer(Selectable, WithUnit, serializers.ModelSerializer[Campaign]):
    """A campaign; the end may not precede the start."""

    class Meta:
        model = Campaign
        fields = ["id", "label", "description", "start", "end", "status", "unit", "created_at"]
        read_only_fields = ["created_at"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The model's own rule."""
        with answered_by_field():
            Campaign(**attrs).clean()
        return attrs


class MessageSerializer(Selectable, serializers.ModelSerializer[Message]):
    """A message: content, sender, audience, and when it leaves. No schedule: once confirmed; no recurrence: once."""

    campaign = CampaignKey(queryset=Campaign.objects.all())
    brand = UnitKey(queryset=Brand.objects.all())
    audience = UnitKey(queryset=Audience.objects.all(), required=False, allow_null=True)
    schedule = ScheduleSerializer(required=False, allow_null=True)
    recurrence = RecurrenceSerializer(required=False, allow_null=True)
    control_group = ControlGroupSerializer(required=False, allow_null=True)
    tracking = TrackingSerializer(required=False, allow_null=True)
    traps = UnitKey(queryset=TestProfile.objects.filter(trap=True), many=True, required=False)

    class Meta:
        model = Message
        fields = [
            "id",
            "label",
            "description",
            "campaign",
            "brand",
            "audience",
            "subject",
            "sender_name",
            "sender_address",
            "reply_to",
            "html",
            "text",
            "typology",
            "schedule",
            "recurrence",
            "control_group",
            "tracking",
            "traps",
            "created_at",
            "modified_at",
            "locked_at",
        ]
        read_only_fields = ["created_at", "modified_at", "locked_at"]

    def create(self, validated_data: dict[str, Any]) -> Message:
        """With its schedule and whatever else is nested in it."""
        return self._save(super().create, validated_data)

    def update(self, instance: Message, validated_data: dict[str, Any]) -> Message:
        """With its schedule and whatever else is nested in it, where they are given."""
        return self._save(lambda values: super(MessageSerializer, self).update(instance, values), validated_data)

    def _save(self, save: Callable[[dict[str, Any]], Message], values: dict[str, Any]) -> Message:
        models: dict[str, Any] = {
            "schedule": Schedule,
            "recurrence": Recurrence,
            "control_group": ControlGroup,
            "tracking": TrackingOptions,
        }
        nested = {name: values.pop(name) for name in models if name in values}
        message = save(values)
        for name, given in nested.items():
            save_nested(message, models[name], given)
        return Message.objects.get(pk=message.pk)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Schedule and recurrence must not both say when it leaves."""
        refuse_two_times(self.instance, attrs)
        return attrs

    def validate_campaign(self, campaign: Campaign) -> Campaign:
        """Only a campaign in which the user may prepare. Raises PermissionDenied, which names a readable one."""
        if not permissions.may_prepare(self.context["request"].user, campaign):
            raise PermissionDenied(f"You may not prepare deliveries in the campaign “{campaign}”.")
        return campaign


class AudienceSerializer(Selectable, WithUnit, serializers.ModelSerializer[Audience]):
    """An audience: everybody, a filter, or a list."""

    description = serializers.SerializerMethodField()

    class Meta:
        model = Audience
        fields = ["id", "label", "kind", "conditions", "description", "unit", "created_at", "modified_at"]
        read_only_fields = ["created_at", "modified_at"]

    def get_description(self, audience: Audience) -> str:
        """The audience in words."""
        return audiences.describe(audience)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Each condition must make sense; what does not is named."""
        with answered_by_field():
            audiences.validate(Audience(kind=attrs.get("kind", "filter"), conditions=attrs.get("conditions", [])))
        return attrs


class BrandSerializer(Selectable, serializers.ModelSerializer[Brand]):
    """A brand, to read."""

    class Meta:
        model = Brand
        fields = ["id", "label", "sender_name", "sender_address", "reply_to", "website", "is_default", "unit"]


class ProfileSerializer(Selectable, WithUnit, Opting, serializers.ModelSerializer[Profile]):
    """A profile. `opt_out` and `opt_out_email` are taken back only with a `consent_source`; null says nothing."""

    class Meta:
        model = Profile
        fields = [
            "id",
            *PERSONAL_FIELDS,
            "email_format",
            "opt_out",
            "opt_out_email",
            "consent_source",
            "address_opted_out",
            "attributes",
            "unit",
            "created_at",
            "modified_at",
        ]
        read_only_fields = ["created_at", "modified_at"]
        extra_kwargs = {"email": {"required": True}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What an import would refuse is refused here, too; attributes are kept as texts."""
        line = csv_profiles.Line(0)
        checked = ("email", "attributes", *csv_profiles.TEXTS)
        csv_profiles.read_fields(line, {name: attrs[name] for name in checked if name in attrs})
        if line.problems:
            raise serializers.ValidationError(dict(line.problems))
        return attrs | ({"attributes": line.attributes} if "attributes" in attrs else {})


class MembersSerializer(serializers.Serializer[Any]):
    """Profiles by id."""

    profiles = serializers.ListField(child=serializers.IntegerField(min_value=1, max_value=GREATEST), max_length=10_000)


class BulkSerializer(serializers.Serializer[Any]):
    """Profiles by address: objects of the profile's fields."""

    profiles = serializers.ListField(child=serializers.DictField(), max_length=bulk_upsert.MAX_ROWS)
    empty_clears = serializers.BooleanField(
        default=False, help_text="Null and empty texts clear the field; else they say nothing. Never of opt-outs."
    )
    consent_source = serializers.CharField(default="", allow_blank=True, max_length=MOST_SOURCE, help_text=SOURCE_WORDS)


class BulkResultSerializer(serializers.Serializer[Any]):
    """How many were made, changed, opted out and in again; which rows would have opted in and did not."""

    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    opted_out = serializers.IntegerField()
    opted_in = serializers.IntegerField()
    stay_out = serializers.ListField(
        child=serializers.IntegerField(), help_text="Rows, from 0: still opted out, for want of a consent_source."
    )


class LabelFilter(FilterSet):  # type: ignore[misc]  # django-filter has no types
    """What every list with labels can be narrowed by."""

    text = CharFilter(field_name="label", lookup_expr="icontains", max_length=128, help_text="Part of the label.")


class CampaignFilter(LabelFilter):
    """Campaigns by label and status."""

    class Meta:
        model = Campaign
        fields = ["status"]


class MessageFilter(LabelFilter):
    """Messages by label and campaign."""

    campaign = KeyFilter()


class AudienceFilter(LabelFilter):
    """Audiences by label and kind."""

    class Meta:
        model = Audience
        fields = ["kind"]


class CampaignViewSet(Versioned, Idempotent, viewsets.ModelViewSet[Campaign]):
    """Campaigns that the user may read; making one needs Prepare deliveries everywhere."""

    serializer_class = CampaignSerializer
    permission_classes = [CampaignRights]
    filterset_class = CampaignFilter
    ordering_fields = ("id", "created_at")
    http_method_names = ["get", "post", "patch", "head", "options"]
    queryset = Campaign.objects.none()

    def get_queryset(self) -> QuerySet[Campaign]:
        """What the user may read."""
        return permissions.readable_campaigns(self.request.user)

    def perform_create(self, serializer: Any) -> None:
        """The creator is kept."""
        if not permissions.may_prepare(self.request.user, None):
            raise PermissionDenied("You do not hold the role “Prepare deliveries”.")
        unit = serializer.validated_data.get("unit") or units.unit_of(self.request.user)
        serializer.save(created_by=self.request.user, unit=unit)


class MessageViewSet(Versioned, Idempotent, viewsets.ModelViewSet[Message]):
    """Messages of readable campaigns. One that was confirmed is read-only."""

    serializer_class = MessageSerializer
    permission_classes = [CampaignRights]
    filterset_class = MessageFilter
    ordering_fields = ("id", "created_at")
    http_method_names = ["get", "post", "patch", "head", "options"]
    queryset = Message.objects.none()

    def get_queryset(self) -> QuerySet[Message]:
        """Those of campaigns that the user may read."""
        found = Message.objects.filter(campaign__in=permissions.readable_campaigns(self.request.user))
        nested = found.select_related("campaign", "schedule", "recurrence", "control_group", "tracking")
        return nested.prefetch_related("traps")

    @transaction.atomic
    def perform_create(self, serializer: Any) -> None:
        """The creator is kept."""
        serializer.save(created_by=self.request.user)

    def perform_update(self, serializer: Any) -> None:
        """Refuses a message whose send was confirmed, also meanwhile: under the lock that confirming takes."""
        with transaction.atomic():
            if Message.objects.select_for_update().get(pk=serializer.instance.pk).locked_at:
                raise Conflict("This message was confirmed already; duplicate it.", code="message_sent")
            serializer.save()


class AudienceViewSet(InUnits, Versioned, Idempotent, viewsets.ModelViewSet[Audience]):
    """Audiences; `members` adds profiles to a list."""

    queryset = Audience.objects.order_by("-pk")
    serializer_class = AudienceSerializer
    filterset_class = AudienceFilter
    ordering_fields = ("id", "created_at")
    permission_classes = [ModelRights]
    http_method_names = ["get", "post", "patch", "head", "options"]

    @extend_schema(
        request=MembersSerializer,
        responses=inline_serializer("MembersAdded", {"added": serializers.IntegerField()}),
    )
    @action(detail=True, methods=["post"])
    def members(self, request: Request, pk: str) -> Response:
        """Add profiles, by id, to a list audience; those on it already stay."""
        audience = self.get_object()
        if audience.kind != Audience.Kind.LIST:
            raise Conflict("Only a list audience has members.", code="not_a_list")
        asked = MembersSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        before = audience.members.count()
        audience.members.add(
            *Profile.objects.filter(units.readable(request.user), pk__in=asked.validated_data["profiles"])
        )
        return Response({"added": audience.members.count() - before})


class BrandViewSet(InUnits, viewsets.ReadOnlyModelViewSet[Brand]):
    """Brands, to choose from."""

    queryset = Brand.objects.order_by("-pk")
    serializer_class = BrandSerializer
    permission_classes = [ModelRights]


class ProfileViewSet(
    InUnits,
    Versioned,
    Idempotent,
    ConsentHistory,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet[Profile],
):
    """Profiles; `bulk` creates or updates up to 10,000 by address in one request; `consent` tells who opted one out."""

    queryset = Profile.objects.all()
    serializer_class = ProfileSerializer
    permission_classes = [ModelRights]
    filterset_fields = ["email", "country", "language", "opt_out_email"]
    http_method_names = ["get", "post", "patch", "head", "options"]

    def get_queryset(self) -> QuerySet[Profile]:
        """With what letters have said of their addresses."""
        return changes.with_held(super().get_queryset())

    @extend_schema(request=BulkSerializer, responses=BulkResultSerializer)
    @action(detail=False, methods=["post"])
    def bulk(self, request: Request) -> Response:
        """Create or update profiles by address, all or none; errors name the place in the list. What is null or an
        empty text says nothing, unless `empty_clears`; rows that would opt somebody in again need `consent_source`."""
        if not request.user.has_perms(["campaigns.add_profile", "campaigns.change_profile"]):
            raise PermissionDenied("Creating and changing profiles needs both permissions.")
        asked = BulkSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = asked.validated_data
        origin = origin_of(request, changes.Way.BULK, given["consent_source"])
        unit, clears = units.unit_of(request.user), given["empty_clears"]
        try:
            done = bulk_upsert.upsert(given["profiles"], origin, unit, empty_clears=clears)
        except bulk_upsert.BadRows as error:
            raise serializers.ValidationError({"profiles": error.messages}) from error
        return Response(done._asdict())
