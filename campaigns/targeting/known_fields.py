"""Which fields a message may quote, and what a formula may."""

from __future__ import annotations

from django.core.exceptions import ValidationError

from campaigns.models import Profile
from campaigns.models.people.profile import PERSONAL_FIELDS
from campaigns.scheduling import date_formula

from . import audiences


def known_fields(sample: int = 500) -> list[str]:
    """The names that a message may quote, with the attributes of the newest `sample` profiles (0: of all)."""
    if not sample:
        names = audiences.attribute_names()
    else:
        newest = Profile.objects.order_by("-pk").values_list("attributes", flat=True)[:sample]
        names = sorted({name for attributes in newest for name in attributes or ()})
    return [*PERSONAL_FIELDS, *(f"attributes.{name}" for name in names)]


def clean_formula(source: str) -> None:
    """A date formula of a schedule: its names must be fields that profiles have. Raises ValidationError."""
    try:
        date_formula.clean(source, known_fields())
    except ValidationError:
        date_formula.clean(source, known_fields(0))
