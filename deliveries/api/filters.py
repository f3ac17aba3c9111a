"""How lists of deliveries and of their logs are narrowed, by parameters of the query."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django_filters.rest_framework import (
    BooleanFilter,
    CharFilter,
    ChoiceFilter,
    FilterSet,
    IsoDateTimeFilter,
    MultipleChoiceFilter,
)

from campaigns.api.base import KeyFilter
from deliveries.models import Delivery
from deliveries.models.logical_status import LOGICAL, Logical
from deliveries.models.states import State

_BY_WORD = {state.name.lower(): state for state in State}


class DeliveryFilter(FilterSet):  # type: ignore[misc]  # django-filter has no types
    """By state, colour, text, time, and what they belong to. Several words of `state` mean any of them."""

    state = MultipleChoiceFilter(choices=[(word, state.label) for word, state in _BY_WORD.items()], method="by_state")
    logical_status = ChoiceFilter(choices=Logical.choices, method="by_logical_status")
    text = CharFilter(method="by_text", max_length=128, help_text="Part of the label, or a code like DM12.")
    since = IsoDateTimeFilter(field_name="contact_date", lookup_expr="gte", help_text="Contact date from then on.")
    until = IsoDateTimeFilter(field_name="contact_date", lookup_expr="lt", help_text="Contact date before then.")
    campaign = KeyFilter()
    message = KeyFilter()
    parent = KeyFilter(help_text="Executions of this series.")
    with_proofs = BooleanFilter(method="by_proofs", help_text="Those that carry proofs to their readers, too.")
    executions = BooleanFilter(
        field_name="parent", lookup_expr="isnull", exclude=True, help_text="Executions of series, or all others."
    )

    def by_proofs(self, rows: QuerySet[Delivery], name: str, wanted: bool) -> QuerySet[Delivery]:
        """They are among the rows already (DeliveryViewSet.get_queryset), or not."""
        return rows

    def by_state(self, rows: QuerySet[Delivery], name: str, words: list[str]) -> QuerySet[Delivery]:
        """Any of the states; without a word all."""
        return rows.filter(state__in=[_BY_WORD[word] for word in words]) if words else rows

    def by_logical_status(self, rows: QuerySet[Delivery], name: str, word: str) -> QuerySet[Delivery]:
        """The states that lists show in that colour."""
        return rows.filter(state__in=[state for state, logical in LOGICAL.items() if logical == word])

    def by_text(self, rows: QuerySet[Delivery], name: str, text: str) -> QuerySet[Delivery]:
        """Label or code."""
        number: Any = text[2:] if text[:2].upper() == "DM" else ""
        code = Q(pk=int(number)) if number.isascii() and number.isdecimal() and len(number) < 19 else Q()
        return rows.filter(Q(label__icontains=text) | code) if code else rows.filter(label__icontains=text)
