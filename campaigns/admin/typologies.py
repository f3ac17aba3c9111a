"""Admin pages of typologies and their rules, for administrators; and the control group inside the message form."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from campaigns.accounts import permissions
from campaigns.admin.forms.conditions_field import ConditionsField
from campaigns.admin.forms.edit_conflicts import NoticesOthers
from campaigns.admin.forms.levels_field import LevelsField
from campaigns.models import ControlGroup, Typology, TypologyRule
from campaigns.models.control_rule_catalogue import validate_levels

_CONDITIONS = _(
    "All conditions must hold. A field is a column of the profile, or attributes. and a name; “is one of” takes values "
    "with commas between, dates are written like 1990-12-31. Empty rows are ignored."
)


class _ForAdministrators(NoticesOthers):
    """They concern everybody, so only administrators with the unit All write them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Administration with the unit All."""
        return permissions.may_administer_all(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Administration with the unit All."""
        return permissions.may_administer_all(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Administration with the unit All."""
        return permissions.may_administer_all(request.user)


class RuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A rule; only what belongs to its kind is looked at."""

    conditions = ConditionsField(label=_("Conditions"), help_text=_CONDITIONS)

    class Meta:
        model = TypologyRule
        fields = [
            "label",
            "kind",
            "active",
            "order",
            "only_campaign",
            "only_brand",
            "conditions",
            "entries",
            "threshold",
            "threshold_field",
            "period",
            "unit",
            "counted",
        ]
        widgets = {"entries": forms.Textarea(attrs={"rows": 6, "cols": 60, "spellcheck": "false"})}


@admin.register(TypologyRule)
class TypologyRuleAdmin(_ForAdministrators):
    """Filtering and fatigue rules. Whoever is not an administrator sees none: lists name people."""

    form = RuleForm
    list_display = ["label", "number", "kind", "order", "active"]
    list_filter = ["kind", "active"]
    search_fields = ["label"]
    fieldsets = [
        (None, {"fields": ["label", "kind", "active", "order"]}),
        (_("Application criteria: for which messages"), {"fields": ["only_campaign", "only_brand"]}),
        (_("Filtering: profiles that match are left out"), {"fields": ["conditions"]}),
        (
            _("Filtering: excluded addresses or domains"),
            {
                "fields": ["entries"],
                "description": _(
                    "A domain does not cover its subdomains. Of whom a list leaves out, logs reveal the number alone."
                ),
            },
        ),
        (
            _("Fatigue: how many messages within a period"),
            {
                "fields": ["threshold", "threshold_field", "period", "unit", "counted"],
                "description": _("Counts what was sent and what is scheduled. Run only where there is a contact date."),
            },
        ),
    ]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Administration with the unit All."""
        return permissions.may_administer_all(request.user)

    @admin.display(description=_("code"), ordering="pk")
    def number(self, rule: TypologyRule) -> str:
        """What logs call it."""
        return rule.code


class TypologyForm(forms.ModelForm):  # type: ignore[type-arg]
    """A typology: its rules, and the levels of the built-in ones."""

    levels = LevelsField(
        help_text=_("An error stops the preparation, a warning goes to the log. A fixed rule holds for every message.")
    )

    class Meta:
        model = Typology
        fields = ["label", "is_default", "rules", "levels"]
        widgets = {"rules": forms.CheckboxSelectMultiple}

    def clean_levels(self) -> Any:
        """Known levels of rules that are not fixed."""
        try:
            validate_levels(self.cleaned_data["levels"])
        except ValidationError as error:
            raise ValidationError(error.messages) from error
        return self.cleaned_data["levels"]

    def _get_validation_exclusions(self) -> set[str]:
        """A new default takes the place of the former one when it is saved."""
        return {*super()._get_validation_exclusions(), "is_default"}  # type: ignore[misc]


@admin.register(Typology)
class TypologyAdmin(_ForAdministrators):
    """Typologies: seen by whoever writes messages, edited by administrators."""

    form = TypologyForm
    list_display = ["label", "is_default", "rules_in_it"]
    search_fields = ["label"]
    fields = ["label", "is_default", "rules", "levels"]

    def get_queryset(self, request: HttpRequest) -> Any:
        """With their rules."""
        return super().get_queryset(request).prefetch_related("rules")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not the default one: messages that name none would have none."""
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.is_default)

    @admin.display(description=_("rules"))
    def rules_in_it(self, typology: Typology) -> str:
        """The rules' names."""
        return ", ".join(map(str, typology.rules.all())) or "-"


class ControlGroupForm(forms.ModelForm):  # type: ignore[type-arg]
    """Whom nothing is sent: an extraction, a query, or both."""

    conditions = ConditionsField(label=_("Held back by a query"), help_text=_CONDITIONS)

    class Meta:
        model = ControlGroup
        fields = ["extraction", "percent", "size", "sort_field", "descending", "conditions"]
