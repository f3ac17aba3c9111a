"""Admin pages of test profiles."""

from __future__ import annotations

from django import forms
from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from .admin_scope import UnitAdmin
from .profile_form import ProfileForm
from .test_profile_models import TestProfile


class TestProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """A test profile; attributes are names with texts, as of any profile."""

    __test__ = False

    class Meta:
        model = TestProfile
        fields = [
            "label", "email", "proofs", "trap", "first_name", "last_name", "gender", "birth_date", "city", "country",
            "language", "time_zone", "email_format", "attributes",
        ]  # fmt: skip

    clean_attributes = ProfileForm.clean_attributes


@admin.register(TestProfile)
class TestProfileAdmin(UnitAdmin):
    """Seen and written by whoever writes messages."""

    __test__ = False

    form = TestProfileForm
    list_display = ["label", "email", "proofs", "trap", "first_name", "last_name"]
    list_filter = ["proofs", "trap"]
    search_fields = ["label", "email"]
    fieldsets = [
        (None, {"fields": ["label", "email", "proofs", "trap"]}),
        (_("What a message quotes"), {"fields": [
            "first_name", "last_name", "gender", "birth_date", "city", "country", "language", "time_zone",
            "email_format", "attributes",
        ]}),
    ]  # fmt: skip
