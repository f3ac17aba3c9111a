"""The API over how a message is tracked: the same choices, with the same limits, as on its form."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from campaigns.models.tracking import TrackingOptions

from .base import answered_by_field


class TrackingSerializer(serializers.ModelSerializer[TrackingOptions]):
    """How its links are tracked; a nested object replaces the former one as a whole. null: as usual, which is active,
    the pixel behind the content, the usual validity, and then the brand's website."""

    class Meta:
        model = TrackingOptions
        fields = ["active", "pixel_at_top", "days", "fallback_url"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What the admin's form would say: the framework leaves out the model's own rule for addresses."""
        with answered_by_field():
            TrackingOptions(**attrs).clean_fields(exclude=["message"])
        return attrs
