"""Admin pages of test profiles."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from campaigns.admin.forms.profile_form import ProfileForm
from campaigns.messages import proof_domains
from campaigns.models.people.seeds import QUOTED, TestProfile

from .base import UnitAdmin


class TestProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """A test profile; attributes are names with texts, as of any profile."""

    __test__ = False

    class Meta:
        model = TestProfile
        fields = ["label", "email", "proofs", "trap", *QUOTED[1:]]

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
        (_("What a message quotes"), {"fields": QUOTED[1:]}),
    ]

    def save_model(self, request: HttpRequest, obj: TestProfile, form: Any, change: bool) -> None:
        """Then say if its address lies where a proof takes more than preparing; that is asked when one is sent."""
        super().save_model(request, obj, form, change)
        if obj.proofs and proof_domains.outside([obj.email], obj.unit):
            words = gettext(
                "%s lies in no domain that proofs may go to: sending it one takes the role “Start deliveries”, unless "
                "an administrator lists the domain."
            )
            self.message_user(request, words % obj.email, messages.WARNING)
