"""Logging in: the form of the admin, the password door of the API, and the page of the second factor."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import update_session_auth_hash
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from rest_framework.authentication import BasicAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.exceptions import Throttled as TooSoon

from campaigns.core.actors import person

from . import login_throttle, second_factor, totp

CODE_HEADER = "X-OTP"


def please_wait(seconds: int) -> str:
    """What a person is told who has tried too often."""
    minutes = -(-seconds // 60)
    text = ngettext(
        "Too many log-ins have failed. Try again in %d minute, or from a browser in which you have logged in before.",
        "Too many log-ins have failed. Try again in %d minutes, or from a browser in which you have logged in before.",
        minutes,
    )
    return text % minutes


class LoginForm(AdminAuthenticationForm):
    """Name, password and, for those who have a second factor, its code."""

    code = forms.CharField(
        label=gettext_lazy("Code of your second factor, if you have one"),
        required=False,
        max_length=40,
        strip=True,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "autocapitalize": "none"}),
    )

    def asks_for_code(self) -> bool:
        """True if somebody has a second factor."""
        return second_factor.anybody()

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError, with what to do."""
        try:
            values = super().clean()
        except ValidationError:
            wait = getattr(self.request, login_throttle.WAIT, 0)
            if wait:
                raise ValidationError(please_wait(wait), code="wait") from None
            raise
        user = self.get_user()
        if user is not None and second_factor.of(user) and not second_factor.accepts(user, values.get("code", "")):
            raise ValidationError(
                _("Enter your password again, and a fresh code of your authenticator app, or a recovery code."),
                code="second_factor",
            )
        return values


class PasswordOnce(BasicAuthentication):
    """HTTP Basic for getting a token: waits like the form does, and asks for the code in the header X-OTP."""

    def authenticate_credentials(self, userid: Any, password: Any, request: Any = None) -> Any:
        """429 with Retry-After too soon; 401 otherwise."""
        try:
            user, _none = super().authenticate_credentials(userid, password, request)
        except AuthenticationFailed:
            wait = getattr(request, login_throttle.WAIT, 0)
            if wait:
                raise TooSoon(wait, please_wait(wait)) from None
            raise
        if second_factor.of(user) and not second_factor.accepts(user, request.headers.get(CODE_HEADER, "")):
            words = f"Send a code of your second factor in the header {CODE_HEADER}."
            raise AuthenticationFailed(words, "second_factor")
        login_throttle.was_right(request)
        return user, None


@never_cache
def second_factor_page(request: HttpRequest) -> HttpResponse:
    """GET: set it up, or what can be done with it. POST: confirm it by a code, renew its recovery codes, remove it."""
    user = person(request.user)
    factor, codes = second_factor.of(user), None
    if request.method == "POST":
        act, code = request.POST.get("act", ""), request.POST.get("code", "")
        if act == "begin" and not factor:
            second_factor.begin(user)
        else:
            codes = _act(request, act, code, bool(factor))
        if codes is None:
            return redirect("second-factor")
        factor = second_factor.of(user)
    pending = second_factor.pending(user)
    context = {
        **admin.site.each_context(request),
        "title": _("Second factor"),
        "factor": factor,
        "codes": codes,
        "secret": pending and _grouped(totp.in_base32(second_factor.secret(pending) or b"")),
        "address": pending and second_factor.app_address(pending),
        "picture": pending and second_factor.picture(pending),
    }
    return TemplateResponse(request, "campaigns/second_factor.html", context)


def _act(request: HttpRequest, act: str, code: str, has: bool) -> list[str] | None:
    """Do it. Out: recovery codes to be shown, or None."""
    user = person(request.user)
    keys = login_throttle.keys_of(request, user.get_username())
    wait = login_throttle.begin(keys)
    if wait:
        messages.error(request, please_wait(wait))
        return None
    codes = None
    right = has and act != "set-up" and second_factor.accepts(user, code)
    if right and act == "remove":
        second_factor.remove(user, user)
        update_session_auth_hash(request, user)  # all sessions ended; who acts goes on in a new one
        messages.success(request, _("You have no second factor any more."))
    elif right:
        codes = second_factor.renew_codes(user)
    elif not has:
        codes = second_factor.confirm(user, code)
    if right or codes:
        login_throttle.succeeded(keys)
    else:
        messages.error(request, _("That is not the code that the app shows now. Is the phone's clock right?"))
    return codes


def _grouped(text: str) -> str:
    return " ".join(text[i : i + 4] for i in range(0, len(text), 4))
