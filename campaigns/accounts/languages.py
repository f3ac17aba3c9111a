"""The language in which people read: that of the pages, kept by their browser, and that of their mails, kept here.

It is the one that they chose last at the foot of a page; until they do, the one in which they logged in first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import check_for_language, get_language
from django.views.i18n import set_language

from campaigns.core.actors import Person
from campaigns.models.notices import ReaderLanguage


def choose(request: HttpRequest) -> HttpResponseBase:
    """Django's own, and what is chosen holds for the person's mails, too."""
    language = request.POST.get("language", "")
    if request.user.is_authenticated and check_for_language(language):
        ReaderLanguage.objects.update_or_create(user_id=request.user.pk, defaults={"language": language})
    return set_language(request)


@receiver(user_logged_in, dispatch_uid="reader-language")
def _logged_in(request: HttpRequest | None, user: Person, **_: Any) -> None:
    """Keep the language of a first log-in. A program that logs in for somebody does not tell what they read."""
    if request is not None and not request.path.startswith("/api/"):
        ReaderLanguage.objects.get_or_create(user=user, defaults={"language": get_language() or ""})


def languages_of(people: Iterable[int]) -> dict[int, str]:
    """{id of a user: code of their language}, without those of whom none is known."""
    return dict(ReaderLanguage.objects.filter(user__in=people).exclude(language="").values_list("user", "language"))
