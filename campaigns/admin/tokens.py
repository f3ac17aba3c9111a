"""The page on which people make and end tokens for their programs; administrators see and end everybody's."""

from __future__ import annotations

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from campaigns.accounts import api_tokens
from campaigns.core.actors import person
from campaigns.core.one_line import single_line
from campaigns.core.translate_kept import translated


class TokenForm(forms.Form):
    """What a token is for, what it may do, and until when."""

    label = forms.CharField(label=gettext_lazy("What it is for"), max_length=128, validators=[single_line])
    rights = forms.MultipleChoiceField(
        label=gettext_lazy("What it may do beside reading, if you may"),
        required=False,
        choices=[choice for choice in api_tokens.Right.choices if choice[0] != api_tokens.Right.READ],
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.IntegerField(
        label=gettext_lazy("Days until it ends"), min_value=1, max_value=api_tokens.MOST_DAYS, initial=api_tokens.DAYS
    )


@never_cache
def tokens_page(request: HttpRequest) -> HttpResponse:
    """GET: the tokens and the form. POST: make one, and show it this once; or end the one that `end` names."""
    if request.method == "POST" and "end" in request.POST:
        return _end(request, request.POST["end"])
    form, secret = TokenForm(request.POST if request.method == "POST" else None), ""
    if form.is_bound and form.is_valid():
        try:
            _token, secret = api_tokens.give(person(request.user), **form.cleaned_data)
            form = TokenForm()
        except api_tokens.NotGiven as error:
            form.add_error(None, translated(error.args[0]))
    tokens = list(api_tokens.visible(person(request.user)))
    for token in tokens:
        token.words = ", ".join(str(api_tokens.Right(right).label) for right in token.rights)
    context = {
        **admin.site.each_context(request),
        "title": _("API tokens"),
        "form": form,
        "tokens": tokens,
        "secret": secret,
        "others": any(token.user_id != request.user.pk for token in tokens),
    }
    return TemplateResponse(request, "campaigns/tokens.html", context)


def _end(request: HttpRequest, uid: str) -> HttpResponse:
    user = person(request.user)
    token = next((t for t in api_tokens.visible(user) if str(t.uid) == uid), None)
    if token is None:
        raise Http404
    api_tokens.end(user, token)
    messages.success(request, _("The token “%s” is good for nothing from now on.") % token)
    return redirect("api-tokens")
