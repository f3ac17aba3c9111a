"""The form of a profile, which opts somebody in again only by an act of its own."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.consent import changes
from campaigns.consent.changes import MOST_SOURCE, Flag, Origin, Way
from campaigns.core.actors import Person
from campaigns.core.translate_kept import translated
from campaigns.models import Profile
from campaigns.models.people.consent import FLAGS
from campaigns.models.people.profile import PERSONAL_FIELDS
from campaigns.targeting import csv_profiles

PERSON = (*PERSONAL_FIELDS, "email_format", "attributes")
AGAIN = ("opt_in_again", "consent_source", "consent_seen")


def taken_out(profile: Profile) -> list[str]:
    """What the profile is opted out of, and may be opted in again to. Asked once of each object."""
    found: list[str] | None = profile.__dict__.get("_taken_out")
    if found is None:
        found = [flag for flag in FLAGS if getattr(profile, flag)]
        if Flag.EMAIL not in found and changes.is_held(profile):
            found.append(Flag.EMAIL)
        profile.__dict__["_taken_out"] = found
    return found


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """A profile; attributes are names with texts.

    An opt-out that is there is fixed; to take it back its name is ticked under “Opt in again”, with the source of the
    consent.
    """

    opt_in_again = forms.MultipleChoiceField(
        label=gettext_lazy("Opt in again"), required=False, widget=forms.CheckboxSelectMultiple
    )
    consent_source = forms.CharField(
        label=gettext_lazy("Source of the consent"),
        required=False,
        max_length=MOST_SOURCE,
        help_text=gettext_lazy("Needed to opt in again: where this person said so, like “paper form of 12 May”."),
    )
    consent_seen = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Profile
        fields = [*PERSON, *FLAGS]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        out = taken_out(self.instance) if self.instance.pk else []
        for name, field in self.fields.items():
            field.disabled |= name in FLAGS and bool(getattr(self.instance, name))
        for name in AGAIN if not out else ():
            self.fields.pop(name, None)
        if out and "opt_in_again" in self.fields:
            again: Any = self.fields["opt_in_again"]
            again.choices = [(flag, Flag(flag).label) for flag in out]
            self.initial["consent_seen"] = changes.seen(self.instance)

    def clean_attributes(self) -> dict[str, str]:
        """As the API and imports read them: texts, numbers as they are written. Names that are there may stay."""
        known: Any = self.instance.attributes if self.instance.pk else {}
        return csv_profiles.read_attributes(self.cleaned_data["attributes"] or {}, known or ())

    def clean(self) -> dict[str, Any]:
        """Opt-outs are no values to be saved: `say` says them."""
        values = super().clean() or {}
        self.ticked = [flag for flag in FLAGS if values.pop(flag, False) and not self.fields[flag].disabled]
        if values.get("opt_in_again"):
            self._check_again(values)
        return values

    def _check_again(self, values: dict[str, Any]) -> None:
        if not values.get("consent_source", "").strip():
            self.add_error("consent_source", translated(changes.NoSource().args[0]))
        if values.get("consent_seen") != changes.seen(self.instance, lock=True):
            words = _("Consent changed since you opened this page. Read its history below, then decide again.")
            self.add_error("opt_in_again", words)
            given: Any = self.data
            self.data = shown = given.copy()  # which has seen it, when it is shown again
            shown[self.add_prefix("consent_seen")] = changes.seen(self.instance)

    def say(self, by: Person) -> None:
        """Write what was said of consent, once the profile is saved."""
        source, again = self.cleaned_data.get("consent_source", ""), self.cleaned_data.get("opt_in_again") or ()
        changes.opt_out([self.instance.pk], self.ticked, Origin(Way.FORM, by=by))
        changes.opt_in(self.instance.pk, again, Origin(Way.FORM, by=by, source=source))
