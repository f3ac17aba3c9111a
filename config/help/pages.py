"""/admin/help/: the documents, for whoever may log in to the admin. They are written in English."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.contrib import admin
from django.http import FileResponse, HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from . import documents
from .rendering import Reading, read


@require_safe
def help_page(request: HttpRequest, page: str = documents.INDEX) -> HttpResponseBase:
    """A chapter, or a picture of one; the contents alone where there is no such chapter, with 404 if one was named."""
    known = documents.files()
    if (kind := documents.PICTURES.get(Path(page).suffix)) and page in known:
        cached = {"Cache-Control": "private, max-age=3600"}
        return FileResponse(known[page].open("rb"), content_type=kind, headers=cached)
    chapter = page if f"{page}.md" in known else f"{page}/{documents.INDEX}"
    file = known.get(f"{chapter}.md")
    contents = [(name, title, _to(name)) for name, title in documents.chapters(known)]
    context: dict[str, Any] = admin.site.each_context(request)
    context |= {"chapter": chapter, "contents": contents, "title": _("Help")}
    if file:
        reading = _reading(chapter, file, file.stat().st_mtime_ns)
        context |= {"title": reading.title, "body": mark_safe(reading.html)}  # noqa: S308 - made by rendering.py
    context["missing"] = file is None and page != documents.INDEX
    return render(request, "config/help.html", context, status=404 if context["missing"] else 200)


@lru_cache(maxsize=128)
def _reading(chapter: str, file: Path, changed: int) -> Reading:
    """Made once as long as the file is the same."""
    known = documents.files()
    return read(file.read_text(encoding="utf-8"), lambda link: _address(link, chapter, known))


def _address(link: str, chapter: str, known: dict[str, Path]) -> str | None:
    """Where a link of the chapter leads on these pages; None if it leads to what these do not show."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return link if parts.scheme in ("http", "https", "mailto") else None
    if not parts.path or parts.path.startswith("/"):  # within the chapter; a page of the product
        return link
    name = documents.named_by(unquote(parts.path), chapter, known)
    if name is None:
        return None
    return _to(name.removesuffix(".md")) + (f"#{parts.fragment}" if parts.fragment else "")


def _to(page: str) -> str:
    return reverse("help-index") if page == documents.INDEX else reverse("help", args=[page])
