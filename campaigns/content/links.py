"""The links of a message: found once, numbered, and replaced by slots that each recipient's addresses fill.

Design of tracking: the address that recipients get holds their token and the link's number, nothing else. Where the
link leads stays with the message: for a constant URL that is the URL, for one with Liquid in it the URL is made from
the profile again at the click (`destination`). So no destination travels in a mail, none can be forged, and a
redirect can only lead where the staff's content says.

Numbers count the tracked links: first those of the HTML, then those of the text, each from top to bottom.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, Self
from urllib.parse import quote

from campaigns.content.html.entities import unescape
from campaigns.content.html.markup import Attribute, Edit, Element, Page
from campaigns.content.liquid.sandbox import PLAIN, Template, parse
from campaigns.content.liquid.weights import of_template
from campaigns.content.liquid.work import Meter, OutOfTime
from campaigns.core.kept_text import keep as _

from .fast_render import Fields
from .liquid_binding import bind
from .problems import ContentError, Problem, PutOff, RenderError
from .template_source import BUILTINS, MASKED_TAG, MIRROR, OPTOUT, Draft, read

Kind = Literal["tracked", "mirror", "optout", "never"]

PIXEL = "_pixel"
MAX_LINKS = 2_000  # in one part: each is a Liquid tag of the template that is filled
_BRACKET = '{{ "{" }}'
_WEB = re.compile(r"https?://", re.IGNORECASE)
_ELSEWHERE = re.compile(r"mailto:|tel:|sms:|cid:|data:|#", re.IGNORECASE)
_TEXT_URL = re.compile(rf"""https?://[^\s<>"{MASKED_TAG}]{{1,2000}}""", re.IGNORECASE)
_BARE_AMPERSAND = re.compile(r"&(?!amp;|#\d+;|#x[0-9a-fA-F]+;)")
_LIQUID = re.compile(r"\{\{|\{%")
_PUNCTUATION = ".,;:!?'*_"
_SAFE_IN_URL = "%/:?#[]@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class Link:
    """A link to the web. `url` may hold Liquid; `start` and `end` are where it stands in its part's source.

    `index` is the number of a tracked link; links of other kinds have -1. Label: `data-label`, else the text inside;
    category: `data-category`. `asked`: the HTML itself says that it is never to be tracked.
    """

    where: str
    line: int
    start: int
    end: int
    url: str
    label: str
    kind: Kind
    index: int = -1
    category: str = ""
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Tracking:
    """How a message is tracked: at all, with the pixel before or behind the content, and without which URLs."""

    active: bool = True
    pixel_at_top: bool = False
    never: frozenset[str] = frozenset()

    @classmethod
    def of(cls, frozen: Mapping[str, Any]) -> Self:
        """As a delivery has frozen it (tracking_options.py); the usual from nothing."""
        never = frozenset(frozen.get("never", ()))
        return cls(frozen.get("active", True), frozen.get("pixel_at_top", False), never)

    def settle(self, links: list[Link]) -> list[Link]:
        """The links with those untracked that this leaves out, and wherever else a URL stands that the HTML marks."""
        never = self.never | {link.url for link in links if link.asked}
        return [
            replace(link, kind="never") if link.kind == "tracked" and (not self.active or link.url in never) else link
            for link in links
        ]


def slot_name(index: int) -> str:
    """The name under which a template asks for link number `index`; no field can have it."""
    return f"_link_{index}"


def html_links(draft: Draft, page: Page, names: frozenset[str]) -> tuple[list[Link], list[Problem]]:
    """The links of the HTML, unnumbered, and what is wrong with them. Anchors, mailto: and the like are left out.

    Raises ContentError: more than MAX_LINKS.
    """
    links: list[Link] = []
    problems: list[Problem] = []
    for element in page.elements:
        if element.name not in ("a", "area") or not element.value("href").strip():
            continue
        url = draft.unmask(element.value("href").strip())
        if not _WEB.match(url) and not _LIQUID.match(url):
            problems += _astray(draft, element, url)
            continue
        asked = element.value("data-track").strip().lower() == "never"
        href, category = element.attributes["href"], draft.unmask(element.value("data-category").strip())[:64]
        link = Link(
            draft.where,
            draft.line(href.start),
            href.start,
            href.end,
            url,
            _label(draft, element),
            "never" if asked else _kind(url),
            category=category,
            asked=asked,
        )
        checked, found = _checked(link, names)
        _append(links, checked)
        problems += [*found, *_ampersands(draft, link, href)]
    return links, problems


def text_links(
    draft: Draft, names: frozenset[str], labels: dict[str, tuple[str, str]]
) -> tuple[list[Link], list[Problem]]:
    """The URLs in the text, and its mirror and opt-out links. `labels`: {url: (label, category)} of the HTML's."""
    links: list[Link] = []
    problems: list[Problem] = []
    for start, end in link_places(draft):
        url = draft.source[start:end]
        label, category = labels.get(url, (url, ""))
        link = Link(draft.where, draft.line(start), start, end, url, label or url, _kind(url), category=category)
        checked, found = _checked(link, names)
        _append(links, checked)
        problems += found
        if "&amp;" in url:
            message = _("%(url)s is written for HTML; in a text write & instead of &amp;", url=url)
            problems.append(Problem(draft.where, link.line, message, "warning", "url-ampersand"))
    return links, problems


def _append(links: list[Link], link: Link) -> None:
    if len(links) >= MAX_LINKS:
        words = _("more than %(n)s links", n=MAX_LINKS)
        raise ContentError([Problem(link.where, link.line, words, code="too-many-links")])
    links.append(link)


def link_places(draft: Draft) -> list[tuple[int, int]]:
    """Where the web addresses of a text stand: URLs, without the punctuation after them, and `{{ mirror_url }}` …"""
    urls = list(_urls(draft.masked))
    bare = [
        (span.start, span.end)
        for span in draft.spans
        if not span.name and not _inside(span.start, urls) and _kind(draft.liquid(span)) != "tracked"
    ]
    return sorted([*urls, *bare])


def _inside(position: int, places: list[tuple[int, int]]) -> bool:
    before = bisect_right(places, (position, position)) - 1
    return before >= 0 and position < places[before][1]


def _urls(masked: str) -> Iterator[tuple[int, int]]:
    for match in _TEXT_URL.finditer(masked):
        url = match.group()
        yield match.start(), match.start() + _length(url)


def _length(url: str) -> int:
    """The length of the URL in what looks like one: without punctuation behind it, and brackets not opened in it."""
    end, spare = len(url.rstrip(_PUNCTUATION)), url.count(")") - url.count("(")
    while spare > 0 and url[end - 1] == ")":
        end, spare = end - 1, spare - 1
        while url[end - 1] in _PUNCTUATION:
            end -= 1
    return end


def _kind(url: str) -> Kind:
    words = {word for piece in _liquid_in(url) for word in re.findall(r"[\w-]+", piece)}
    builtins = {BUILTINS[word] for word in words if word in BUILTINS}
    return "optout" if OPTOUT in builtins else "mirror" if MIRROR in builtins else "tracked"


def _liquid_in(url: str) -> Iterator[str]:
    """The outputs and tags in a URL."""
    position, last = 0, {"{{": url.rfind("}}"), "{%": url.rfind("%}")}
    while found := _LIQUID.search(url, position):
        position = found.end() - 1
        if position < last[found.group()]:
            end = url.index("}}" if found.group() == "{{" else "%}", found.end()) + 2
            yield url[found.start() : end]
            position = end


def _label(draft: Draft, element: Element) -> str:
    text = element.value("data-label") or "".join(element.inner) or element.value("title") or element.value("alt")
    return draft.unmask(" ".join(text.split()))


def _checked(link: Link, names: frozenset[str]) -> tuple[Link, list[Problem]]:
    """A tracked URL must be makeable from the profile alone, or it cannot be tracked."""
    if (
        link.kind == "tracked"
        and _LIQUID.search(link.url)
        and isinstance(template := _url_template(link.url, names), Problem)
    ):
        message = _(
            "the link %(url)s is not tracked: outside of its place in the message, %(message)s",
            url=link.url,
            message=template.message,
        )
        problem = Problem(link.where, link.line, message, "warning", "link-untracked")
        return replace(link, kind="never"), [problem]
    return link, []


def _astray(draft: Draft, element: Element, url: str) -> Iterator[Problem]:
    if not _ELSEWHERE.match(url) and not url.lower().startswith("javascript:"):
        message = _("the link %(url)s leads nowhere: an e-mail has no site of its own; write https://…", url=url)
        yield Problem(draft.where, draft.line(element.start), message, "warning", "url-relative")


def _ampersands(draft: Draft, link: Link, href: Attribute) -> Iterator[Problem]:
    escaped = _BARE_AMPERSAND.sub("&amp;", href.raw)
    if escaped == href.raw:
        return
    if unescape(escaped) == href.value:
        message = _("write &amp; instead of & in %(url)s", url=link.url)
    else:
        message = _(
            "an & in the link starts an HTML entity, which makes it %(url)s; write &amp; instead of &", url=link.url
        )
    yield Problem(link.where, link.line, message, "warning", "url-ampersand")


def number(links: list[Link]) -> tuple[Link, ...]:
    """The links with the tracked ones numbered from 0."""
    tracked = iter(range(len(links)))
    return tuple(replace(link, index=next(tracked)) if link.kind == "tracked" else link for link in links)


def link_edits(links: tuple[Link, ...], where: str, source: str) -> list[Edit]:
    """Edits that put slots in the place of one part's tracked links."""
    quote_mark = '"' if where == "HTML" else ""
    return [
        _slot_edit(source, link.start, link.end, slot_name(link.index), quote_mark)
        for link in links
        if link.where == where and link.kind == "tracked"
    ]


def pixel_edit(page: Page, tracking: Tracking, source: str) -> list[Edit]:
    """The edit that puts the pixel's slot behind `<body>` or before `</body>`; none without tracking."""
    at = page.body_start if tracking.pixel_at_top else page.body_end
    return [_slot_edit(source, at, at, PIXEL, "")] if tracking.active else []


def _slot_edit(source: str, start: int, end: int, name: str, quote_mark: str) -> Edit:
    """A bracket right before it would be read as part of the Liquid: it becomes Liquid, too."""
    opened = not quote_mark and source[start - 1 : start] == "{"
    return start - opened, end, f"{_BRACKET * opened}{quote_mark}{{{{ {name} }}}}{quote_mark}"


# --- where a link leads --------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _url_template(url: str, names: frozenset[str]) -> Template | Problem:
    draft, problems = read("URL", url)
    template = problems[0] if problems else parse(draft, PLAIN)
    if isinstance(template, Problem):
        return template
    _bound, problems = bind(template, "URL", names)
    return problems[0] if problems else template


def destination(url: str, fields: Fields, meter: Meter | None = None) -> str:
    """Where a link leads for one recipient. In: a Link's `url`, and their fields. Out: an absolute web address.

    Raises RenderError if the Liquid in it fails, takes too much work (a budget of its own, without `meter`), or if what
    it makes is no web address (a field may hold anything); PutOff.
    """
    if not _LIQUID.search(url):
        return url
    template = _url_template(url, frozenset(fields))
    if isinstance(template, Problem):
        raise RenderError("URL", template.message)
    meter = meter or Meter()
    try:
        meter.charge(of_template(template))
        made = template.fill({name: value or "" for name, value in fields.items()}, meter).strip()
    except OutOfTime as error:
        raise PutOff("URL") from error
    except Exception as error:
        raise RenderError("URL", str(error)) from error
    if not _WEB.match(made):
        raise RenderError("URL", "it does not start with http:// or https://")
    return quote(made, safe=_SAFE_IN_URL, errors="replace")
