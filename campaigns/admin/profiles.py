"""Admin pages of profiles and audiences."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from campaigns.accounts import units
from campaigns.admin.forms import profile_form
from campaigns.admin.forms.conditions_field import ConditionsField
from campaigns.admin.forms.profile_form import PERSON, ProfileForm
from campaigns.consent import history
from campaigns.core.actors import person
from campaigns.core.web.search import starts_with
from campaigns.models import Audience, Profile
from campaigns.models.people.consent import FLAGS
from campaigns.targeting import audiences

from .base import UnitAdmin

MOST_ADDED = 1000


@admin.register(Profile)
class ProfileAdmin(UnitAdmin):
    """Profiles, made for millions: search by the beginning of the address or a name, no counting beyond 10,000."""

    form = ProfileForm
    fieldsets = [(None, {"fields": PERSON}), (gettext_lazy("Consent"), {"fields": FLAGS})]
    lends = frozenset({"view"})  # whoever writes messages in some campaign may see whom they reach
    list_display = ["email", "first_name", "last_name", "city", "country", "opt_out_email", "opt_out"]
    search_fields = ["email"]  # get_search_results() decides; this shows the search bar
    ordering = ["-pk"]
    change_list_template = "admin/campaigns/profile/change_list.html"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Profile], search_term: str
    ) -> tuple[QuerySet[Profile], bool]:
        """By the beginning, which the indexes answer."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found = starts_with("email", term.lower()) | starts_with("first_name", term) | starts_with("last_name", term)
        return queryset.filter(found), False

    def get_fieldsets(self, request: HttpRequest, obj: Profile | None = None) -> Any:
        """With what opts in again, where somebody is out and the reader may change it."""
        found = super().get_fieldsets(request, obj)
        if obj is None or not profile_form.taken_out(obj) or not self.has_change_permission(request, obj):
            return found
        person, (title, _flags), *rest = found
        return [person, (title, {"fields": [*FLAGS, *profile_form.AGAIN]}), *rest]

    def save_model(self, request: HttpRequest, obj: Profile, form: Any, change: bool) -> None:
        """The profile, and then what the form says of consent."""
        super().save_model(request, obj, form, change)
        form.say(person(request.user))

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """With the history of consent."""
        profile = kwargs.get("obj")
        if profile is not None:
            context["consent"] = history.of(profile)
        return super().render_change_form(request, context, *args, **kwargs)


class AudienceForm(forms.ModelForm):  # type: ignore[type-arg]
    """An audience: everybody, a filter in rows, or a list."""

    conditions = ConditionsField(
        label=gettext_lazy("Conditions"),
        help_text=gettext_lazy(
            "For a filter: all conditions must hold. A field is a column of the profile, or attributes. and a name; "
            "“is one of” takes values with commas between, dates are written like 1990-12-31. Empty rows are ignored."
        ),
    )
    add_addresses = forms.CharField(
        label=gettext_lazy("Add profiles"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text=gettext_lazy(
            "For a list: addresses of existing profiles, one a line. An import can fill a list, too."
        ),
    )

    class Meta:
        model = Audience
        fields = ["label", "kind", "conditions"]

    def clean_add_addresses(self) -> list[str]:
        """The addresses, in lower case, each once."""
        lines = {line.strip().lower() for line in self.cleaned_data["add_addresses"].splitlines() if line.strip()}
        if len(lines) > MOST_ADDED:
            raise ValidationError(_("At most %d addresses at once; import a file for more.") % MOST_ADDED)
        return sorted(lines)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        try:
            audiences.validate(self.instance)
        except ValidationError as error:
            self.add_error("conditions", error.messages)


@admin.register(Audience)
class AudienceAdmin(UnitAdmin):
    """Audiences; saving tells how many profiles one has at that moment."""

    form = AudienceForm
    lends = frozenset({"view", "add"})
    list_display = ["label", "kind", "in_words", "modified_at"]
    list_filter = ["kind"]
    search_fields = ["label"]
    fields = ["label", "kind", "conditions", "add_addresses", "in_words"]
    readonly_fields = ["in_words"]

    @admin.display(description=gettext_lazy("in words"))
    def in_words(self, audience: Audience) -> str:
        """The audience as a sentence."""
        return audiences.describe(audience) if audience.pk else "-"

    def save_model(self, request: HttpRequest, obj: Audience, form: Any, change: bool) -> None:
        """Save, add the named profiles, and say how many there are now."""
        if not change:
            obj.created_by = person(request.user)
        super().save_model(request, obj, form, change)
        unknown = self._add(request, obj, form.cleaned_data.get("add_addresses") or [])
        if unknown:
            text = _("No profile has these addresses: %s") % ", ".join(unknown[:20])
            self.message_user(request, text, messages.WARNING)
        number = audiences.profiles(obj, within=units.unit_of(request.user)).count()
        text = ngettext("The audience has %d profile now.", "The audience has %d profiles now.", number)
        self.message_user(request, text % number)

    @transaction.atomic
    def _add(self, request: HttpRequest, audience: Audience, addresses: list[str]) -> list[str]:
        """Add the readable profiles with these addresses to the list. Out: the addresses that nobody has."""
        if audience.kind != Audience.Kind.LIST:
            return []
        found = Profile.objects.filter(units.readable(request.user), email__in=addresses).values_list("pk", "email")
        audience.members.add(*(pk for pk, _email in found))
        return sorted(set(addresses) - {email for _pk, email in found})

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """By the model's right; with a role in some campaign alone, one's own audiences."""
        if super().has_change_permission(request, obj):
            return True
        own = obj is None or obj.created_by_id == request.user.pk
        return own and self._may(request, "add", obj, units.writes)
