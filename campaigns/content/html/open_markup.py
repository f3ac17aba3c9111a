"""Whether the HTML around the Liquid can be trusted to be what recipients get, or each copy is to be looked at.

Markup is judged with the Liquid masked (markup.py). That tells the truth while Liquid writes no markup itself: while it
stands in texts and in quoted values, its literals hold no tags and no quotes, and its blocks begin and end in the same
place of the HTML. Where that cannot be proved, each recipient's HTML is judged as it was filled, which takes a
thousandth of a second a copy.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from campaigns.content.template_source import BLOCKS, INNER, MASKED, Draft, Span
from campaigns.core.kept_text import keep as _

from .markup import Crowded, Page, Unclosed, attributes, tokens, unsafe_markup
from .schemes import addresses

# White space beside Liquid counts as nothing: a dash may trim it.
_BESIDE_A_BRACKET = re.compile(rf"<[/!?]?\s*[{MASKED}]|</[a-zA-Z]+\s*[{MASKED}]")
_COMMENTS_END = re.compile(rf"[>{MASKED}-]")
_IN_A_NAME = re.compile(rf"[^{MASKED}][{MASKED}]")
_LITERAL = re.compile(r"""("[^"]*"|'[^']*')""")
_QUOTES = ('"', "'")
_WRITES = {"", "echo", "cycle", "increment", "decrement"}
_SILENT = {"comment", "#"}

Place = tuple[str, int]  # text, comment, raw, tag or value; and which one


def is_open(draft: Draft) -> bool:
    """True if Liquid may write markup in this HTML. Raises Unclosed."""
    if not draft.spans:
        return False
    if _BESIDE_A_BRACKET.search(draft.masked) or any(span.name == "capture" for span in draft.spans):
        return True
    places = _Places(draft)
    if places.in_names or _crosses(draft, places):
        return True
    return any(_risky(draft, span, places.of(span)) for span in draft.spans)


class Unsafe(ValueError):
    """A copy holds a script."""


def judge(copy: str) -> None:
    """Raises Unsafe if a filled HTML holds a script, or cannot be read."""
    draft = Draft("HTML", copy, (), copy, ())
    try:
        page = Page(copy)
    except (Unclosed, Crowded) as error:
        raise Unsafe(_("filled for this recipient, a tag in it is never closed")) from error
    for problem in [*unsafe_markup(draft, page), *addresses(draft, page).problems]:
        if problem.severity == "error":
            raise Unsafe(_("filled for this recipient, it holds a script"))


def _risky(draft: Draft, span: Span, place: Place) -> bool:
    """A tag in a literal; something written, or white space trimmed, between attributes; what may end a comment; or a
    quote where one would end a value."""
    liquid = draft.liquid(span)
    trims = any(dash in liquid for dash in ("{%-", "{{-", "-%}", "-}}"))
    if place[0] == "comment" and (trims or _COMMENTS_END.match(draft.masked, span.end)):
        return True
    if place[0] == "tag" and trims:
        return True
    if span.name in _SILENT:
        return False
    literals = [match.group()[1:-1] for match in _LITERAL.finditer(liquid)]
    if any("<" in literal for literal in literals) or (place[0] == "tag" and span.name in _WRITES):
        return True
    in_text = span.name in _WRITES and place[0] != "value"
    return (
        not in_text
        and any(quote in literal for literal in literals for quote in _QUOTES)
        and span.name in (_WRITES | {"assign", "for"})
    )


def _crosses(draft: Draft, places: _Places) -> bool:
    """A block begins in one place of the HTML and goes on or ends in another one."""
    begun: list[Place] = []
    for span in draft.spans:
        if span.name in BLOCKS and span.name != "comment":
            begun.append(places.of(span))
        elif span.name in INNER or span.name in BLOCKS.values():
            if begun[-1] != places.of(span):
                return True
            if span.name not in INNER:
                begun.pop()
    return False


class _Places:
    """In which place of the HTML a span stands. `in_names`: Liquid makes up the names of tags or attributes."""

    def __init__(self, draft: Draft) -> None:
        self.in_names = False
        self._silent = {draft.masked[span.start] for span in draft.spans if span.name in _SILENT}
        self._starts: list[int] = []
        self._places: list[Place] = []
        for start, place in self._read(draft.masked):
            self._starts.append(start)
            self._places.append(place)

    def of(self, span: Span) -> Place:
        """Its place."""
        return self._places[bisect_right(self._starts, span.start) - 1]

    def _read(self, masked: str) -> Iterator[tuple[int, Place]]:
        yield 0, ("comment", 0)
        for token in tokens(masked):
            if token.kind == "text":
                yield token.start, ("raw", token.start) if token.name else ("text", 0)
            else:
                yield token.start, ("tag", token.start)
            if token.kind == "start":
                self._name(token.name)
                yield from self._values(token.text, token.start, len(token.name))
            yield token.end, ("comment", 0)

    def _values(self, tag: str, start: int, name_length: int) -> Iterator[tuple[int, Place]]:
        for name, value, begin in attributes(tag, 1 + name_length):
            self._name(name)
            if value[:1] in _QUOTES:
                yield start + begin + 1, ("value", start + begin)
                yield start + begin + len(value) - 1, ("tag", start)

    def _name(self, name: str) -> None:
        """Liquid before an attribute's name is a block around the attribute; behind a letter it is part of the name."""
        self.in_names |= any(match.group()[1] not in self._silent for match in _IN_A_NAME.finditer(name))
