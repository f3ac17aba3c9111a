"""Reads a message's HTML with its Liquid masked: where the elements and their attributes stand, and what is unsafe.

Nothing is re-serialised here or by who reads this: changes to HTML are made as edits at positions of the source, so
that Liquid inside tables, tags and attributes stays where the staff put it.

The tokens are found by one regular expression in linear time: html.parser needs minutes for some kilobytes of
unclosed tags, and whoever may write a message could stop a worker with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.entities import html5
from typing import NamedTuple

from campaigns.content.problems import Problem, Severity
from campaigns.content.template_source import MASKED, Draft
from campaigns.core.kept_text import keep as _

from .entities import unescape

_ATTRIBUTE = r"""[^\s"'<>/=][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s"'>][^\s>]*+))?+"""
_ATTRIBUTES = re.compile(r"""([^\s"'<>/=][^\s/>=]*)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"'>][^\s>]*))?""")
_TOKEN = re.compile(
    rf"""(?P<text>(?:[^<]++|<(?![a-zA-Z/!?]))++)
    |<!--.*?--> | <(?!!--)[!?][^>]*+>
    |<(?P<close>/?)(?P<name>[a-zA-Z][^\s/>]*+)(?:{_ATTRIBUTE}|[\s/"'<=])*+>
    |</[^a-zA-Z][^>]*+>""",
    re.DOTALL | re.VERBOSE,
)
_RAW = {name: re.compile(rf"</{name}", re.IGNORECASE) for name in ("script", "style", "textarea", "title")}
_ANY_MASKED = re.compile(f"[{MASKED}]")
_NO_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*)(?![A-Za-z0-9;])(=?)")

Edit = tuple[int, int, str]


class Token(NamedTuple):
    """A piece of HTML: `kind` is start, end or text (entities resolved); `name` is a tag's, in lower case."""

    kind: str
    name: str
    text: str
    start: int
    end: int


class Unclosed(ValueError):
    """A tag or comment that begins at `position` has no end."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


class Crowded(ValueError):
    """There are more elements than any message needs, or more attributes in one: whoever lays them out takes time for
    each. The first too many begins at `position`."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


def tokens(masked: str) -> Iterator[Token]:
    """The tags and texts of masked HTML, in order, without comments and declarations. Raises Unclosed."""
    position = 0
    while position < len(masked):
        match = _TOKEN.match(masked, position)
        if match is None:
            raise Unclosed(position)
        start, position = match.span()
        if match["text"]:
            yield Token("text", "", unescape(match["text"]), start, position)
        elif match["name"]:
            name = match["name"].lower()
            yield Token("end" if match["close"] else "start", name, match.group(), start, position)
            if name in _RAW and not match["close"]:
                end = _RAW[name].search(masked, position)
                if end is None:
                    raise Unclosed(start)
                yield Token("text", name, masked[position : end.start()], position, end.start())
                position = end.start()


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute's value as written (not unescaped), and where it stands with its quotes, if it has any."""

    raw: str
    start: int
    end: int

    @property
    def value(self) -> str:
        """The value with its entities resolved."""
        return unescaped(self.raw)


@dataclass(slots=True)
class Element:
    """A start tag: where it stands, its attributes by lower-case name, and the text inside if it is a link or style."""

    name: str
    start: int
    end: int
    attributes: dict[str, Attribute]
    liquid: bool  # Liquid stands between the attributes or in their names
    inner: list[str] = field(default_factory=list)
    inner_end: int = 0

    def value(self, name: str) -> str:
        """An attribute's value, or ''."""
        return self.attributes[name].value if name in self.attributes else ""


_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_SELF_CLOSING = {"p", "li", "dt", "dd", "td", "th", "tr", "thead", "tbody", "tfoot", "option", "optgroup", "rp", "rt"}
MAX_DEPTH, MAX_OPEN, MAX_ELEMENTS, MAX_ATTRIBUTES = 500, 4_000, 20_000, 1_000


class Page:
    """The elements of some masked HTML, in order, and where the body begins and ends (all of it, without one).

    `too_deep`: more elements are open at once than programs that build a tree can bear (html5ever, inside css-inline,
    ends the whole process at some ten thousand). Those that the next of their kind closes have a limit of their own.
    Raises Unclosed, Crowded.
    """

    def __init__(self, masked: str) -> None:
        self.elements: list[Element] = []
        self.body_start, self.body_end = 0, len(masked)
        self.too_deep = False
        self._open: dict[str, Element] = {}  # the link and the style element that we are in
        self._depth = self._all = 0
        for token in tokens(masked):
            if token.kind == "text":
                self._text(token)
            elif token.kind == "end":
                self._end(token)
            else:
                self._start(token)

    def _start(self, token: Token) -> None:
        if len(self.elements) >= MAX_ELEMENTS:
            raise Crowded(token.start)
        element = read_element(token)
        self.elements.append(element)
        self._deepen(token.name, 1)
        if token.name == "body" and not self.body_start:
            self.body_start = token.end
        if token.name in ("a", "style"):
            self._open[token.name] = element
        elif "a" in self._open and token.name == "img":
            self._open["a"].inner.append(element.value("alt"))

    def _end(self, token: Token) -> None:
        self._deepen(token.name, -1)
        if token.name == "body":
            self.body_end = token.start
        if element := self._open.pop(token.name, None):
            element.inner_end = token.start

    def _text(self, token: Token) -> None:
        if "a" in self._open:
            self._open["a"].inner.append(token.text)

    def _deepen(self, name: str, by: int) -> None:
        if name not in _VOID:
            self._all = max(0, self._all + by)
            self._depth = max(0, self._depth + by * (name not in _SELF_CLOSING))
        self.too_deep = self.too_deep or self._depth > MAX_DEPTH or self._all > MAX_OPEN


def attributes(tag: str, start: int) -> Iterator[tuple[str, str, int]]:
    """The attributes of a start tag from `start` on: name and value as written, with its quotes, and where that is."""
    for match in _ATTRIBUTES.finditer(tag, start):
        value = match.group(2) or ""
        yield match.group(1), value, match.end() - len(value)


def read_element(token: Token) -> Element:
    """The element of a start tag. Raises Crowded."""
    found: dict[str, Attribute] = {}
    liquid = bool(_ANY_MASKED.search(token.name))
    for place, (written, value, begin) in enumerate(attributes(token.text, 1 + len(token.name))):
        if place >= MAX_ATTRIBUTES:
            raise Crowded(token.start)
        name = _ANY_MASKED.sub("", written).lower()
        liquid = liquid or len(name) < len(written)
        raw = value[1:-1] if value[:1] in ("'", '"') else value
        found.setdefault(name, Attribute(raw, token.start + begin, token.start + begin + len(value)))
    return Element(token.name, token.start, token.end, found, liquid)


def unescaped(raw: str) -> str:
    """An attribute's value with its entities resolved, as browsers do it: the copy in ?a=1&copy=2 is no ©."""
    return unescape(_NO_ENTITY.sub(_keep_ampersand, raw))


def _keep_ampersand(match: re.Match[str]) -> str:
    """HTML 13.2.5.73: an entity without its semicolon counts only when it is an old one and no = follows."""
    name, equals = match.groups()
    return match.group() if name in html5 and not equals else f"&amp;{name}{equals}"


def apply(source: str, edits: Iterable[Edit]) -> str:
    """`source` with pieces replaced: each edit is (start, end, new text); edits do not overlap."""
    pieces, position = [], 0
    for start, end, text in sorted(edits):
        pieces += [source[position:start], text]
        position = end
    return "".join(pieces) + source[position:]


def origin(edits: Iterable[tuple[int, int, int]], position: int) -> int:
    """Where a position of the edited text comes from. In: (start, end, length of the new text), in order."""
    moved = 0  # how much further right the edited text stands
    for start, end, length in edits:
        if position < start + moved:
            break
        if position < start + moved + length:
            return start
        moved += length - (end - start)
    return position - moved


# --- what mail programs drop or distrust ---------------------------------------------------------------------------

_DROPPED = {
    "iframe": _("an <iframe> shows nothing in mail programs"),
    "object": _("an <object> shows nothing in mail programs"),
    "embed": _("an <embed> shows nothing in mail programs"),
    "applet": _("an <applet> shows nothing in mail programs"),
    "form": _("a <form> does not work in most mail programs; link to a page with the form"),
    "base": _("<base> changes where all links lead"),
    "link": _("linked style sheets are not loaded; write the rules into a <style>"),
}


def unsafe_markup(draft: Draft, page: Page) -> Iterator[Problem]:
    """What mail programs drop or distrust, but for addresses (schemes.py). Errors: scripts, which also get the whole
    message taken for an attack."""

    def problem(position: int, code: str, message: str, severity: Severity = "warning") -> Problem:
        return Problem(draft.where, draft.line(position), message, severity, code)

    silent = {ord(draft.masked[span.start]): None for span in draft.spans if span.name in ("comment", "#")}
    for element in page.elements:
        name = element.name.translate(silent)
        if name == "script":
            yield problem(element.start, "script", _("mail programs drop scripts; remove this one"), "error")
        elif name in _DROPPED and (name != "link" or "stylesheet" in element.value("rel").lower()):
            yield problem(element.start, "dropped-element", _DROPPED[name])
        for attribute_name, attribute in element.attributes.items():
            if attribute_name.startswith("on"):
                words = _("mail programs drop the event handler %(name)s", name=attribute_name)
                yield problem(attribute.start, "event-handler", words)
