"""The API over who is left out: a message's control group, and the typologies to choose from."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers, viewsets

from campaigns.models import ControlGroup, Typology, TypologyRule

from .base import ModelRights, answered_by_field


class ControlGroupSerializer(serializers.ModelSerializer[ControlGroup]):
    """Whom of the target nothing is sent, to measure the effect; a nested object replaces the former one as a whole."""

    class Meta:
        model = ControlGroup
        fields = ["extraction", "percent", "size", "sort_field", "descending", "conditions"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What the admin's form would say."""
        with answered_by_field():
            ControlGroup(**attrs).clean()
        return attrs


class RuleSerializer(serializers.ModelSerializer[TypologyRule]):
    """A rule, to read. What it lists or asks stays with the administrators: that names people."""

    class Meta:
        model = TypologyRule
        fields = [
            "id",
            "code",
            "label",
            "kind",
            "active",
            "order",
            "only_campaign",
            "only_brand",
            "threshold",
            "threshold_field",
            "period",
            "unit",
            "counted",
        ]


class TypologySerializer(serializers.ModelSerializer[Typology]):
    """A typology, to read; `levels` of control rules where they differ from the built-in ones."""

    rules = RuleSerializer(many=True, read_only=True)

    class Meta:
        model = Typology
        fields = ["id", "label", "is_default", "levels", "rules"]


class TypologyViewSet(viewsets.ReadOnlyModelViewSet[Typology]):
    """Typologies, to choose from."""

    queryset = Typology.objects.order_by("-pk").prefetch_related("rules")
    serializer_class = TypologySerializer
    permission_classes = [ModelRights]
