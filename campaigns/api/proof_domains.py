"""The API over the domains that proofs may go to."""

from __future__ import annotations

from typing import Any

from rest_framework import mixins, permissions, serializers, viewsets
from rest_framework.request import Request

from campaigns.accounts import permissions as access
from campaigns.accounts import units
from campaigns.core.domains import BadAddress
from campaigns.models.proof_domains import ProofDomain, cleaned

from .base import InUnits, Selectable, WithUnit
from .idempotency import Idempotent


class KeepsProofDomains(permissions.IsAuthenticated):
    """Whoever prepares reads them; administrators write them at and below their unit."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """By role."""
        reads = request.method in permissions.SAFE_METHODS
        may = access.may_see_proof_domains if reads else access.may_administer
        return super().has_permission(request, view) and may(request.user)

    def has_object_permission(self, request: Request, view: Any, obj: ProofDomain) -> bool:
        """What lies above the user's unit is read only. Raises PermissionDenied."""
        if request.method not in permissions.SAFE_METHODS:
            units.require_writes(request.user, obj)
        return True


class ProofDomainSerializer(Selectable, WithUnit, serializers.ModelSerializer[ProofDomain]):
    """A domain that proofs may go to without the role Start deliveries; it serves its unit and those below."""

    class Meta:
        model = ProofDomain
        fields = ["id", "domain", "unit", "created_at"]
        read_only_fields = ["created_at"]
        validators: list[Any] = []  # the unit may be left out: validate() asks

    def validate_domain(self, domain: str) -> str:
        """As it is kept. Raises ValidationError."""
        try:
            return cleaned(domain)
        except BadAddress as error:
            words = "Write one domain as it stands behind the @, such as example.com."
            raise serializers.ValidationError(words) from error

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Each once in a unit."""
        unit = attrs.get("unit") or units.unit_of(self.context["request"].user)
        if ProofDomain.objects.filter(domain=attrs["domain"], unit=unit).exists():
            raise serializers.ValidationError({"domain": ["This domain is listed for this unit already."]})
        return attrs


class ProofDomainViewSet(
    InUnits,
    Idempotent,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[ProofDomain],
):
    """Domains that proofs may go to without the role Start deliveries. Administrators add and remove them."""

    queryset = ProofDomain.objects.order_by("-pk")
    serializer_class = ProofDomainSerializer
    permission_classes = [KeepsProofDomains]
