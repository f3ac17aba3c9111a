"""The form field for an audience's conditions: rows of field, operator and value, drawn by the server.

Works without JavaScript: a few empty rows are always there, and saving gives more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from campaigns.models.conditions import FIELDS, OPERATORS, WITHOUT_VALUE

SPARE, MOST = 3, 50  # empty rows offered; rows read at most


def _as_text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


class ConditionsWidget(forms.Widget):
    """Inputs `<name>-<row>-field`, `-op` and `-value`."""

    template_name = "campaigns/widgets/conditions.html"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """The rows as the template draws them."""
        held = json.loads(value) if isinstance(value, str) else value or []
        rows = [(c.get("field", ""), c.get("op", ""), _as_text(c.get("value"))) for c in held if isinstance(c, dict)]
        context = super().get_context(name, value, attrs)
        context["rows"] = [*rows, *[("", "", "")] * SPARE][:MOST]
        context |= {"fields": FIELDS, "operators": OPERATORS}
        return context

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> list[dict[str, str]]:
        """The rows that were filled, in order, as conditions."""
        rows = []
        for number in range(MOST):
            field, op, value = (
                str(data.get(f"{name}-{number}-{part}", "")).strip() for part in ("field", "op", "value")
            )
            if field or value:
                rows.append({"field": field, "op": op} | ({} if op in WITHOUT_VALUE else {"value": value}))
        return rows

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        """A form without the first row has no such field."""
        return f"{name}-0-field" not in data

    def id_for_label(self, id_: str) -> str:
        """The first row's first input."""
        return f"{id_}-0-field"


class ConditionsField(forms.Field):
    """A list of conditions, unchecked: audiences.validate() says what is wrong with them."""

    widget = ConditionsWidget

    def __init__(self, **options: Any) -> None:
        options.setdefault("label", _("conditions"))
        super().__init__(required=False, **options)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compared as conditions, not as text."""
        return (initial or []) != (data or [])
