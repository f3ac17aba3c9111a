"""Mail to staff: the one room that sends it, through Django's mail settings, to whoever has not switched it off."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import models
from django.db.models import QuerySet
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from campaigns.core.actors import Person
from campaigns.core.one_line import flat
from campaigns.core.translate_kept import translated
from campaigns.models.notices import NoticeOff

from . import languages

logger = logging.getLogger("campaigns.accounts.staff_mail")


class Notice(models.TextChoices):
    """What staff may be told, and who is told unless they switched it off."""

    CONFIRM = "confirm", _("A delivery that I may start waits for a confirmation")
    EXPIRED = "expired", _("A confirmation that I was asked for has expired")
    SERIES = "series", _("A series of mine, or one that I may start, was switched off")
    BREAKER = "breaker", _("A delivery that I confirmed was paused, because too much came back")
    VERDICT = "verdict", _("Somebody approved or refused a proof or a delivery of mine")
    ALERT = "alert", _("Alerts of the dashboards of my groups")
    DRIFT = "drift", _("Counters differ from their logs (administrators)")


class Unsent(Exception):
    """The mail server did not take a notice; the text is its answer."""


class Mail(NamedTuple):
    """A notice as it is mailed. `html`: the same as `text` for programs that show it."""

    subject: str
    text: str
    html: str = ""


def wanted(kind: Notice, people: Iterable[Person]) -> dict[str, str]:
    """The addresses of those of `people` who are active, have one, and did not switch `kind` off; each once, with the
    language in which it is read."""
    found = {person.pk: person.email for person in people if person.is_active and person.email}
    off = set(NoticeOff.objects.filter(user__in=list(found), kind=kind).values_list("user", flat=True))
    chosen = languages.languages_of(found)
    told = {address: chosen.get(pk, settings.LANGUAGE_CODE) for pk, address in found.items() if pk not in off}
    return dict(sorted(told.items()))


def tell(kind: Notice, people: Iterable[Person], subject: str, *paragraphs: str, insist: bool = False) -> int:
    """Mail kept texts (kept_text.py) to some people, one mail each, in the reader's language. Else as tell_each."""

    def write() -> Mail:
        return Mail(translated(subject), "\n\n".join(map(translated, paragraphs)) + "\n")

    return tell_each(kind, people, write, insist=insist)


def tell_each(kind: Notice, people: Iterable[Person], write: Callable[[], Mail], *, insist: bool = False) -> int:
    """Mail some people, one mail each. In: `write`, called with the reader's language active. Out: how many.

    A mail server that fails is logged; with `insist`, Unsent is raised when a notice could not be sent.
    """
    sent, failed, connection = 0, "", get_connection()
    for address, language in wanted(kind, people).items():
        with translation.override(language):
            letter = write()
        subject = " ".join(flat(letter.subject).split())
        mail = EmailMultiAlternatives(subject, letter.text, None, [address], connection=connection)
        if letter.html:
            mail.attach_alternative(letter.html, "text/html")
        try:
            sent += mail.send()
        except OSError as error:  # smtplib's errors are OSErrors too
            logger.error("no mail to %s about “%s”: %s", address, subject, error)
            failed = str(error)
    if insist and failed:
        raise Unsent(failed)
    return sent


def administrators() -> QuerySet[Person]:
    """Everybody who may administer."""
    users = get_user_model().objects
    return users.with_perm("auth.change_user", backend="django.contrib.auth.backends.ModelBackend")


def choices_of(user: Person) -> dict[str, bool]:
    """{kind: whether the user gets it}."""
    off = set(NoticeOff.objects.filter(user=user).values_list("kind", flat=True))
    return {kind: kind not in off for kind in Notice.values}


def choose(user: Person, kinds: Iterable[str]) -> None:
    """The user wants these kinds, and no others."""
    off = set(Notice.values) - set(kinds)
    NoticeOff.objects.filter(user=user).exclude(kind__in=off).delete()
    NoticeOff.objects.bulk_create((NoticeOff(user=user, kind=kind) for kind in off), ignore_conflicts=True)
