"""Consent in the API: what a profile's opt-outs mean when they are written, and its history.

`true` opts out, at once. `false` opts somebody in again only together with `consent_source`. Null says nothing.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns.consent import changes as consent
from campaigns.consent.changes import MOST_SOURCE, Origin, Way
from campaigns.core.actors import person
from campaigns.core.translate_kept import translated
from campaigns.models import Profile
from campaigns.models.api import ApiToken
from campaigns.models.people.consent import FLAGS, ConsentChange

from .base import Selectable, paged

SOURCE_WORDS = "Where somebody said that they want mail again; without it nobody is opted in again."


def origin_of(request: Request, way: Way, source: str = "") -> Origin:
    """Who asks, with the label of the token."""
    token = str(request.auth) if isinstance(request.auth, ApiToken) else ""
    return Origin(way, by=person(request.user), token=token, source=source)


class Opting(serializers.Serializer[Any]):
    """Mixin of a profile's serializer: its opt-outs, which changes.py writes."""

    opt_out = serializers.BooleanField(required=False, allow_null=True, help_text="Opted out of any channel.")
    opt_out_email = serializers.BooleanField(required=False, allow_null=True, help_text="Opted out of e-mail.")
    consent_source = serializers.CharField(
        required=False, write_only=True, allow_blank=True, max_length=MOST_SOURCE, help_text=SOURCE_WORDS
    )
    address_opted_out = serializers.SerializerMethodField(
        help_text="A message's opt-out link has taken the address out; whoever has it gets no e-mail there."
    )

    def get_address_opted_out(self, profile: Profile) -> bool:
        """By a link, and the profile was not opted in again since."""
        held = getattr(profile, "held", None) if profile.email.isascii() else None
        return consent.is_held(profile) if held is None else bool(held)

    def create(self, validated_data: dict[str, Any]) -> Any:
        """The profile, and then what is said of consent."""
        return self._save(super().create, validated_data)

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        """The other fields, and what is said of consent; all or nothing."""
        return self._save(lambda values: super(Opting, self).update(instance, values), validated_data)

    @transaction.atomic
    def _save(self, save: Any, values: dict[str, Any]) -> Any:
        said = {flag: values.pop(flag, None) for flag in FLAGS}
        origin = origin_of(self.context["request"], Way.API, values.pop("consent_source", ""))
        profile = save(values)
        consent.opt_out([profile.pk], [flag for flag in FLAGS if said[flag] is True], origin)
        try:
            consent.opt_in(profile.pk, self._again(profile, said, origin), origin)
        except consent.NoSource as error:
            raise serializers.ValidationError({"consent_source": translated(error.args[0])}) from error
        profile.refresh_from_db()
        profile.__dict__.pop("held", None)  # it was read before
        return profile

    def _again(self, profile: Profile, said: dict[str, bool | None], origin: Origin) -> list[str]:
        """The flags to be taken back. Without a source `false` is a mistake for a profile that is opted out; where only
        a letter has taken the address out it is what the profile has, and says nothing."""
        wanted = [flag for flag in FLAGS if said[flag] is False]
        if origin.source.strip():
            return wanted
        profile.refresh_from_db(fields=[*FLAGS])
        return [flag for flag in wanted if getattr(profile, flag)]


class ConsentChangeSerializer(Selectable, serializers.ModelSerializer[ConsentChange]):
    """A change of consent: what, who or what changed it, when, from where."""

    by = serializers.CharField(source="by_name")

    class Meta:
        model = ConsentChange
        fields = [
            "id",
            "at",
            "flag",
            "before",
            "after",
            "way",
            "source",
            "by",
            "letter",
            "delivery",
            "profile_import",
        ]


class ConsentHistory:
    """Mixin of the view of profiles: `consent/`."""

    @extend_schema(responses=ConsentChangeSerializer(many=True), operation_id="profiles_consent_list", filters=False)
    @action(detail=True, methods=["get"])
    def consent(self: Any, request: Request, pk: str) -> Response:
        """The changes of a profile's consent, newest first. `letter` is the number of the sending log whose opt-out
        link was used; the beginning may be missing, where it lies before such changes were noted."""
        return paged(self, self.get_object().consent_changes.all(), ConsentChangeSerializer)
