"""The page on which users choose their notices."""

from __future__ import annotations

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from campaigns.core import time_zones
from campaigns.core.actors import person
from campaigns.core.time_zones import available_zones

from . import staff_mail


class NoticesForm(forms.Form):
    """A box for each kind."""

    kinds = forms.MultipleChoiceField(
        label=gettext_lazy("Send me a mail when"),
        required=False,
        choices=staff_mail.Notice.choices,
        widget=forms.CheckboxSelectMultiple,
    )


def my_notices(request: HttpRequest) -> HttpResponse:
    """GET: the notices that the user gets. POST: those wanted from now on."""
    given = [kind for kind, on in staff_mail.choices_of(person(request.user)).items() if on]
    form = NoticesForm(request.POST if request.method == "POST" else None, initial={"kinds": given})
    if form.is_bound and form.is_valid():
        staff_mail.choose(person(request.user), form.cleaned_data["kinds"])
        messages.success(request, _("Saved: this holds from the next notice on."))
        return redirect("my-notices")
    places = {"zone": time_zones.chosen(request), "zones": sorted(available_zones())}
    context = {**admin.site.each_context(request), "title": _("My notices"), "form": form, **places}
    return TemplateResponse(request, "campaigns/notices.html", context)
