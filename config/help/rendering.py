"""A chapter's Markdown as HTML for a page of the admin. Knows neither files nor addresses.

CommonMark with tables, no HTML of its own. Headings get the anchors that code hosts give them, so that one link serves
both. Nothing needs an inline style, which the content security policy forbids; what is wide scrolls by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

Addresses = Callable[[str], str | None]  # where a link or a picture is found; None: nowhere here


@dataclass(frozen=True, slots=True)
class Reading:
    """A chapter as it is shown. `title` is its first heading, which `html` leaves to the page."""

    title: str
    html: str
    anchors: frozenset[str]


def read(text: str, address_of: Addresses) -> Reading:
    """The chapter, its links led by `address_of`: where that knows nothing, a link's or a picture's words stay."""
    tokens = _MARKDOWN.parse(text)
    anchors = _name_headings(tokens)
    title, body = _split(tokens)
    for token in _all(body):
        _lead(token, address_of)
        _style(token)
    return Reading(title, _MARKDOWN.renderer.render(body, _MARKDOWN.options, {}), frozenset(anchors))


def slug(heading: str) -> str:
    """A heading's anchor: lower case, hyphens for spaces, other signs left out."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _name_headings(tokens: Sequence[Token]) -> list[str]:
    """Give each heading its anchor; a second one of the same words gets a number."""
    given: list[str] = []
    before: Counter[str] = Counter()
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            plain = slug("".join(child.content for child in inline.children or ()))
            given.append(f"{plain}-{before[plain]}" if before[plain] else plain)
            before[plain] += 1
            opening.attrSet("id", given[-1])
    return given


def _split(tokens: list[Token]) -> tuple[str, list[Token]]:
    """The title's words, and what follows it."""
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        return "".join(child.content for child in tokens[1].children or ()), tokens[3:]
    return "", tokens


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _with_closings(token.children or [])


def _with_closings(children: Sequence[Token]) -> Iterator[Token]:
    """The tokens of a line; each end of a link knows its beginning. Links do not lie in one another."""
    opening = None
    for child in children:
        if child.type == "link_open":
            opening = child
        elif child.type == "link_close":
            child.meta["opening"] = opening
        yield child


def _lead(token: Token, address_of: Addresses) -> None:
    if token.type == "link_open":
        address = address_of(str(token.attrGet("href")))
        token.hidden = address is None
        token.attrSet("href", address or "")
    elif token.type == "link_close":
        token.hidden = token.meta["opening"].hidden
    elif token.type == "image":
        address = address_of(str(token.attrGet("src")))
        if address is None:
            token.type, token.children = "text", None
        else:
            token.attrSet("src", address)


def _style(token: Token) -> None:
    """How a column is aligned, as a class."""
    if style := token.attrs.pop("style", None):
        token.attrSet("class", f"help-{str(style).removeprefix('text-align:')}")


def _code(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f'<pre tabindex="0"><code>{escapeHtml(tokens[index].content)}</code></pre>\n'


def _table(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return '<div class="help-wide" tabindex="0"><table>\n'


def _table_end(self: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return "</table></div>\n"


def _made() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False}).enable("table")
    for name, rule in {"fence": _code, "code_block": _code, "table_open": _table, "table_close": _table_end}.items():
        markdown.add_render_rule(name, rule)
    return markdown


_MARKDOWN = _made()
