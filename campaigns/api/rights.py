"""The API over rights: units, groups and people with their roles, and who may start a campaign's deliveries."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, permissions, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from campaigns.accounts import grants, units
from campaigns.accounts import permissions as access
from campaigns.core.actors import Actor
from campaigns.models.units import ROOT, OrganizationalUnit

from .base import ReadableKey, answered_by_field
from .etags import Versioned


class Administers(permissions.IsAuthenticated):
    """Administration alone."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """By role."""
        return super().has_permission(request, view) and access.may_administer(request.user)


class UnitSerializer(serializers.ModelSerializer[OrganizationalUnit]):
    """A unit; `parent` is null for All (all) alone."""

    parent: Any = ReadableKey(queryset=OrganizationalUnit.objects.all(), allow_null=True)

    class Meta:
        model = OrganizationalUnit
        fields = ["id", "label", "name", "parent"]

    def validate_parent(self, parent: OrganizationalUnit | None) -> OrganizationalUnit | None:
        """At or below the administrator's own; `validate` refuses None. Raises PermissionDenied."""
        if parent is not None and not units.writable_units(self.context["request"].user).filter(pk=parent.pk).exists():
            raise PermissionDenied("You may put a unit at or below your own alone.")
        return parent

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The tree stays a tree."""
        unit = self.instance or OrganizationalUnit()
        path, parent = unit.path, attrs.get("parent", unit.parent)
        with answered_by_field():
            OrganizationalUnit(pk=unit.pk, path=path, parent=parent).clean()
        return attrs


class UnitViewSet(
    Versioned,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    viewsets.GenericViewSet[OrganizationalUnit],
):
    """Units that can be read from the administrator's own; those below it can be changed."""

    serializer_class = UnitSerializer
    permission_classes = [Administers]
    http_method_names = ["get", "post", "patch", "head", "options"]
    queryset = OrganizationalUnit.objects.none()

    def get_queryset(self) -> QuerySet[OrganizationalUnit]:
        """Own, below and above."""
        return units.readable_units(self.request.user)

    def perform_update(self, serializer: Any) -> None:
        """Raises PermissionDenied for the root, for one's own, and for what lies above."""
        own, unit = units.unit_of(self.request.user), serializer.instance
        if own is None or unit.pk == ROOT or unit.path == own.path or not unit.path.startswith(own.path):
            raise PermissionDenied(f"You may not change the unit #{unit.pk} “{unit}”.")
        serializer.save()


class RightsSerializer(serializers.Serializer[Any]):
    """Mixin: roles and unit of a person or a group, given by grants.give."""

    roles = serializers.ListField(child=serializers.ChoiceField(choices=list(access.ROLES)), required=False)
    unit = ReadableKey(queryset=OrganizationalUnit.objects.all(), required=False, allow_null=True)

    def to_representation(self, instance: Any) -> Any:
        """With what is held by itself."""
        unit = grants.unit_given(instance)
        instance.roles, instance.unit = grants.roles_of(instance), unit
        return super().to_representation(instance)

    @transaction.atomic
    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        """Raises PermissionDenied for more than the giver holds."""
        by, groups = self.context["request"].user, validated_data.pop("groups", None)
        roles = validated_data.pop("roles", None)
        unit = validated_data.pop("unit", grants.unit_given(instance))
        instance = super().update(instance, validated_data)
        if groups is not None:
            grants.put_into_groups(by, instance, groups)
        grants.give(by, instance, grants.roles_of(instance) if roles is None else roles, unit)
        return type(instance)._default_manager.get(pk=instance.pk)


class GroupSerializer(RightsSerializer, serializers.ModelSerializer[Group]):
    """A group."""

    class Meta:
        model = Group
        fields = ["id", "name", "roles", "unit"]
        read_only_fields = ["name"]

    def update(self, instance: Group, validated_data: dict[str, Any]) -> Any:
        """Raises PermissionDenied also for a built-in group, and for one that is not at or below the giver's unit."""
        if not grants.keeps(self.context["request"].user, instance):
            raise PermissionDenied(f"You may not change the group #{instance.pk} “{instance}”.")
        return super().update(instance, validated_data)


class GroupKey(ReadableKey):
    """A group that exists for the administrator, or that the person is in already; of others none is named."""

    def get_queryset(self) -> QuerySet[Group]:
        """Those that may be written."""
        seen = grants.groups_seen(self.context["request"].user)
        person = self.root.instance
        own = person.groups.values("pk") if person is not None else Group.objects.none().values("pk")
        return Group.objects.filter(Q(pk__in=seen.values("pk")) | Q(pk__in=own))


class PersonSerializer(RightsSerializer, serializers.ModelSerializer[Any]):
    """A user: their groups, their own roles and unit, and from where they act."""

    groups = GroupKey(queryset=Group.objects.all(), many=True, required=False)
    acts_from = serializers.SerializerMethodField()
    beside = serializers.SerializerMethodField()

    class Meta:
        model = get_user_model()
        fields = ["id", "username", "email", "is_active", "groups", "roles", "unit", "acts_from", "beside"]
        read_only_fields = ["username", "email", "is_active"]

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_acts_from(self, user: Actor) -> int | None:
        """The user's unit; null: they cannot log in."""
        unit = units.unit_of(user)
        return unit.pk if unit else None

    @extend_schema_field(serializers.ListField(child=serializers.IntegerField()))
    def get_beside(self, user: Actor) -> list[int]:
        """Units that were given to the user and do not count, since another branch does."""
        return [unit.pk for unit in units.standing(user).beside]


class _Rights(
    Versioned, mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.UpdateModelMixin, viewsets.GenericViewSet[Any]
):
    permission_classes = [Administers]
    http_method_names = ["get", "patch", "head", "options"]


class GroupViewSet(_Rights):
    """Groups, but for those of units beside; PATCH gives roles and a unit."""

    queryset = Group.objects.none()
    serializer_class = GroupSerializer

    def get_queryset(self) -> QuerySet[Group]:
        """With what is shown of each."""
        seen = grants.groups_seen(self.request.user)
        return seen.prefetch_related("permissions").select_related("unit_given__unit")


class PersonViewSet(_Rights):
    """People at and below the administrator's unit; PATCH gives groups, roles and a unit."""

    queryset = get_user_model()._default_manager.none()
    serializer_class = PersonSerializer

    def get_queryset(self) -> QuerySet[Any]:
        """The people whom the user manages; superusers are managed by superusers."""
        people = grants.people_within(self.request.user)
        people = people if self.request.user.is_superuser else people.filter(is_superuser=False)
        return people.prefetch_related("groups", "user_permissions").select_related("unit_given__unit")


class StarterSerializer(serializers.Serializer[Any]):
    """Somebody who may start, from which unit and why."""

    user = serializers.IntegerField(source="user.pk")
    username = serializers.CharField(source="user.username")
    unit = serializers.IntegerField(source="unit.pk")
    grounds = serializers.ListField(child=serializers.CharField())


class WhoMayStartView(APIView):
    """Who may start a campaign's deliveries, and why; the first two hundred by name."""

    @extend_schema(responses=StarterSerializer(many=True), operation_id="campaigns_who_may_start")
    def get(self, request: Request, pk: int) -> Response:
        """404 for a campaign that the user may not read, 403 if they neither prepare in it nor administer it."""
        campaign = get_object_or_404(access.readable_campaigns(request.user), pk=pk)
        if not (access.may_administer(request.user, campaign) or access.may_prepare(request.user, campaign)):
            raise PermissionDenied("This is shown to who prepares here, and to administrators.")
        return Response(StarterSerializer(grants.who_may_start(campaign), many=True).data)
