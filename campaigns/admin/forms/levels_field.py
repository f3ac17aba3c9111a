"""A form field for the levels of control rules: one row a rule, drawn by the server; the fixed ones to read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from campaigns.models.control_rule_catalogue import CONTROL_RULES, LEVELS


class LevelsWidget(forms.Widget):
    """A choice `<name>-<code>` for each control rule that is not fixed."""

    template_name = "campaigns/widgets/levels.html"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """The rows as the template draws them."""
        held = json.loads(value) if isinstance(value, str) else value or {}
        context = super().get_context(name, value, attrs)
        context["rows"] = [
            (code, rule.label, LEVELS[rule.level], rule.fixed, held.get(code, rule.level))
            for code, rule in CONTROL_RULES.items()
        ]
        return context | {"levels": LEVELS}

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> dict[str, str]:
        """The levels that differ from the built-in ones."""
        chosen = {code: str(data.get(f"{name}-{code}", rule.level)) for code, rule in CONTROL_RULES.items()}
        return {code: level for code, level in chosen.items() if level != CONTROL_RULES[code].level}

    def value_omitted_from_data(self, data: Mapping[str, Any], files: Any, name: str) -> bool:
        """A form without any row has no such field."""
        return not any(key.startswith(f"{name}-") for key in data)

    def id_for_label(self, id_: str) -> str:
        """The first choice."""
        first = next(code for code, rule in CONTROL_RULES.items() if not rule.fixed)
        return f"{id_}-{first}"


class LevelsField(forms.Field):
    """{code: level} where it differs, unchecked: typologies.validate_levels() says what is wrong with it."""

    widget = LevelsWidget

    def __init__(self, **options: Any) -> None:
        options.setdefault("label", _("Control rules"))
        super().__init__(required=False, **options)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compared as levels, not as text."""
        return (initial or {}) != (data or {})
