"""What a message looks like for one profile of its audience, and the admin pages that show it.

The rendered HTML is somebody's content, not ours: it is served alone, under a policy that lets nothing run and nobody
but our own pages frame it, and shown in a frame that is sandboxed besides.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _

from campaigns.accounts import units
from campaigns.content.checks import trial_problems
from campaigns.content.compile import Compiled, compile_content
from campaigns.content.problems import ContentError, Problem, RenderError
from campaigns.core.actors import Actor
from campaigns.core.web.search import starts_with
from campaigns.messages.profile_values import texts_of
from campaigns.messages.tracking_options import of_message, remember
from campaigns.models import Audience, Message, Profile
from campaigns.models.units import ROOT
from campaigns.targeting import audiences
from campaigns.targeting.known_fields import known_fields

CHOICES = 20  # profiles offered at once
POLICY = (
    "default-src 'none'; img-src https: data:; style-src 'unsafe-inline'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'; sandbox"
)


@dataclass(frozen=True)
class Preview:
    """A message as one profile gets it; `problem` says why it cannot be shown."""

    subject: str = ""
    html: str = ""
    text: str = ""
    problem: str = ""


def _population(message: Message, reader: Actor) -> QuerySet[Profile]:
    """Who is in the audience, or everybody, as far as both the campaign's unit and the reader's read. Raises
    InvalidAudience."""
    everybody, campaign = Audience(kind=Audience.Kind.ALL), message.campaign
    within = campaign.unit if campaign.unit_id != ROOT else None
    return audiences.profiles(message.audience or everybody, within=within).filter(units.readable(reader))


def choices(message: Message, reader: Actor, beginning: str = "") -> list[Profile]:
    """Some readable profiles of the audience whose address begins so; of everybody while no audience is chosen."""
    try:
        found = _population(message, reader)
    except audiences.InvalidAudience:
        return []
    if beginning:
        found = found.filter(starts_with("email", beginning.strip().lower()))
    return list(found.order_by("pk")[:CHOICES])


def chosen(message: Message, reader: Actor, wanted: str) -> Profile | None:
    """The profile with the id `wanted` if the audience has it, else the audience's first; None if it has nobody. Whom
    the reader may not read is not there."""
    try:
        found = _population(message, reader)
    except audiences.InvalidAudience:
        return None
    profile = found.filter(pk=int(wanted)).first() if wanted.isdecimal() and len(wanted) < 19 else None
    return profile or found.order_by("pk").first()


def compiled(message: Message) -> Compiled:
    """The message's content as it stands. Raises ContentError.

    A rare attribute may be missing in a sample, and reading all profiles takes a second a million: that is done only
    when the sample is not enough.
    """
    written, tracking = (message.subject, message.html, message.text), of_message(message)
    try:
        return compile_content(*written, fields=known_fields(), tracking=tracking)
    except ContentError:
        return compile_content(*written, fields=known_fields(0), tracking=tracking)


def remember_untracked(message: Message) -> None:
    """Keep the URLs that the HTML marks with data-track="never", so that later messages leave them alone, too."""
    if "data-track" not in message.html.lower():
        return
    with suppress(ContentError):
        remember({link.url for link in compiled(message).links if link.asked})


def problems(message: Message) -> list[Problem]:
    """What is wrong with the content: errors stop the preparation, warnings do not."""
    if not (message.subject or message.html or message.text):
        return []
    try:
        found = compiled(message)
        return [*found.problems, *trial_problems(found)]
    except ContentError as error:
        return error.problems


def render(message: Message, profile: Profile | None) -> Preview:
    """The message as `profile` gets it; every field is empty without one."""
    try:
        content = compiled(message)
        fields = texts_of(profile, content.fields) if profile else {}
        seen = content.render(fields)
    except (ContentError, RenderError) as error:
        return Preview(problem=str(error))
    return Preview(seen.subject, seen.html, seen.text)


class PreviewPages:
    """The two pages, for MessageAdmin. Both stand behind the admin's door and ask for the message's rights."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[Any]:
        """The stock pages, and these two."""
        view = self.admin_site.admin_view
        return [
            path("<int:pk>/preview/", view(self.preview_view), name="campaigns_message_preview"),
            path("<int:pk>/preview/page/", view(self.preview_page_view), name="campaigns_message_preview_page"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def _readable(self, request: HttpRequest, pk: int) -> Message:
        message: Message | None = self.get_queryset(request).filter(pk=pk).first()  # type: ignore[attr-defined]
        if message is None:
            raise Http404
        return message

    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Choose a profile; see subject, HTML and text."""
        message = self._readable(request, pk)
        profile = chosen(message, request.user, request.GET.get("profile", ""))
        beginning = request.GET.get("q", "")
        context = {
            **self.admin_site.each_context(request),
            "title": _("Preview of “%s”") % message.label,
            "opts": self.opts,
            "message": message,
            "profile": profile,
            "beginning": beginning,
            "profiles": choices(message, request.user, beginning),
            "preview": render(message, profile),
        }
        return TemplateResponse(request, "admin/campaigns/message/preview.html", context)

    def preview_page_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The rendered HTML alone, for the frame."""
        message = self._readable(request, pk)
        preview = render(message, chosen(message, request.user, request.GET.get("profile", "")))
        response = HttpResponse(
            preview.html or "<!DOCTYPE html><title>No HTML</title><p>This message has no HTML part."
        )
        response["Content-Security-Policy"] = POLICY
        response["X-Frame-Options"] = "SAMEORIGIN"
        return response
