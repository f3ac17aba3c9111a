"""The scheme of an address in HTML, judged as the recipient's mail program sees it: with entities resolved, and
without what Liquid leaves out.

Where Liquid stands in the scheme, as in `java{% comment %}{% endcomment %}script:`, all that it may make is followed.
An address that begins with one field, `{{ url }}` or `{{ site }}/page`, is judged when it is filled; what is neither is
refused: the beginning of an address is to be written out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from liquid.stringify import to_liquid_string

from campaigns.content.problems import Problem
from campaigns.content.template_source import BLOCKS, BUILTINS, INNER, MASKED, Draft, Span
from campaigns.core.kept_text import keep as _

from .entities import unescape
from .markup import Attribute, Edit, Page, unescaped

URL_ATTRIBUTES = frozenset(
    {
        "href",
        "src",
        "action",
        "formaction",
        "xlink:href",
        "background",
        "data",
        "poster",
        "cite",
        "longdesc",
        "ping",
        "dynsrc",
        "lowsrc",
        "srcset",
        "usemap",
        "manifest",
        "codebase",
    }
)
NOWHERE = "#"  # in the place of an address that is refused when it is filled
JUDGED, JUDGED_ALONE = "_address", "_address_alone"  # the filters that do so; staff cannot name them

_SCRIPTS = {"javascript", "vbscript", "livescript", "mocha"}
_IGNORED = re.compile(r"[\x00-\x20]+")  # browsers drop some of these in some places: here they count nowhere
_DECIDED = re.compile(r"[:/?#]")
_DOCUMENT = re.compile(r"data:[^,;]*(?:html|xml|script)")
_ITEMS = re.compile(rf"([{MASKED}])\1*|[^{MASKED}]+")
_SILENT = {"comment", "#", "assign"}  # they write nothing
_HALF_ENTITY = re.compile(r"&#?[A-Za-z0-9]*\Z")
_MOST = 64  # beginnings that are followed
_LONGEST = 2_000  # characters of a beginning that are followed


def is_script(address: str) -> bool:
    """Whether a program would run or open this as a page of the sender's making. In: entities resolved."""
    folded = _IGNORED.sub("", address)[:_LONGEST].lower()
    scheme = folded.partition(":")[0] if _first(folded) == ":" else ""
    return scheme in _SCRIPTS or (scheme == "data" and _DOCUMENT.match(folded) is not None)


def _first(folded: str) -> str:
    """Which of : / ? # comes first: after the last three there is no scheme; '' while none is there."""
    found = _DECIDED.search(folded)
    return found.group() if found else ""


def judged(value: object) -> object:
    """The filter for an address that begins with a field: NOWHERE in the place of a script."""
    text = to_liquid_string(value, autoescape=False)
    return NOWHERE if is_script(text) or is_script(unescape(text)) else value


def judged_alone(value: object) -> object:
    """The same where more Liquid follows: what it writes may not become part of a scheme."""
    text = _IGNORED.sub("", unescape(to_liquid_string(value, autoescape=False)))
    return judged(value) if _first(text) else NOWHERE


FILTERS = {JUDGED: judged, JUDGED_ALONE: judged_alone}


@dataclass(frozen=True, slots=True)
class Addresses:
    """What was found of the addresses in some HTML: what is wrong, the edits that judge fields when they are filled,
    and whether one is left that only a filled copy tells."""

    problems: list[Problem]
    edits: list[Edit]
    is_open: bool


def addresses(draft: Draft, page: Page, replaced: Collection[int] = ()) -> Addresses:
    """Judge all addresses. In: where attributes begin that get another value, which is ours and safe."""
    problems: list[Problem] = []
    edits: list[Edit] = []
    is_open = False
    for element in page.elements:
        for name, attribute in element.attributes.items():
            if name not in URL_ATTRIBUTES:
                continue
            beginning = Beginning(draft, attribute.raw)
            ours = attribute.start in replaced
            if beginning.script:
                words = _("mail programs drop a script in %(name)s; remove it", name=name)
                problems.append(_error(draft, attribute, words))
            elif beginning.split and not ours:
                is_open = True
                words = _(
                    "Liquid makes a part of the scheme of the address in %(name)s: write its beginning out, such as "
                    "https://, or let one field be all of it",
                    name=name,
                )
                problems.append(_error(draft, attribute, words))
            edits += [] if ours else beginning.edits()
    return Addresses(problems, edits, is_open)


def _error(draft: Draft, attribute: Attribute, words: str) -> Problem:
    return Problem(draft.where, draft.line(attribute.start), words, code="script")


class Beginning:
    """All that an address with Liquid in it may begin with.

    `script`: one of these is a script. `split`: Liquid may make a scheme of which another part is written. `fields`:
    {the `{{ … }}` that an address may begin with: whether more Liquid follows before the scheme is known}.
    """

    def __init__(self, draft: Draft, raw: str) -> None:
        """In: the value of the attribute in `draft.masked`."""
        self.script = self.split = False
        self.fields: dict[Span, bool] = {}
        self._draft = draft
        self._items: list[str | Span] = [
            draft.span(match.group(1)) if match.group(1) else match.group() for match in _ITEMS.finditer(raw)
        ]
        self._at = 0
        open_ends = self._sequence(frozenset({(None, "")}))
        if self._at < len(self._items):  # the end of a block that begins elsewhere
            self._undecided(open_ends)
        self.script |= any(field is None and is_script(unescaped(text)) for field, text in open_ends)

    def edits(self) -> Iterator[Edit]:
        """Edits that judge the fields; our own addresses need it not."""
        for span, more in self.fields.items():
            liquid = self._draft.liquid(span)
            end = len(liquid) - (3 if liquid[-3] == "-" else 2)
            if liquid[2:end].strip("- \t\n") not in BUILTINS:
                name = JUDGED_ALONE if more else JUDGED
                yield span.start, span.end, f"{liquid[:end]} | {name} {liquid[end:]}"

    # A state: the field that the address begins with, if it does, and the text since. What is decided has no state.

    def _sequence(self, states: frozenset[_State]) -> frozenset[_State]:
        """Follow the items up to the end of the arm or block, or of the address."""
        while (item := self._item()) is not None:
            if isinstance(item, Span) and (item.name in INNER or item.name in BLOCKS.values()):
                break
            self._at += 1
            if isinstance(item, str):
                states = frozenset(self._text(states, item))
            elif item.name in ("if", "unless"):
                states = self._choice(states, f"end{item.name}")
            elif item.name == "case":
                states = self._case(states)
            elif item.name in ("", "echo"):
                states = frozenset(self._output(states, item))
            elif item.name not in _SILENT:
                states = self._undecided(states)
            if len(states) > _MOST:
                states = self._undecided(states)
        return states

    def _choice(self, states: frozenset[_State], end: str) -> frozenset[_State]:
        """One of the arms, or none if there is no `else`."""
        found, otherwise = self._sequence(states), states
        while (name := self._name()) in ("elsif", "else"):
            self._at += 1
            otherwise = frozenset() if name == "else" else otherwise
            found |= self._sequence(states)
        if name != end:  # it ends elsewhere
            return self._undecided(found | otherwise)
        self._at += 1
        return found | otherwise

    def _case(self, states: frozenset[_State]) -> frozenset[_State]:
        """Any of the arms, one after the other: what none of them decides alone nobody knows."""
        self._sequence(frozenset())  # what stands before the first `when` is dropped
        silent, otherwise = frozenset[_State](), states
        while (name := self._name()) in ("when", "else"):
            self._at += 1
            after = self._sequence(states)
            otherwise = frozenset() if name == "else" else otherwise
            silent |= after & states
            self._undecided(after - states)
        if name != "endcase":
            return self._undecided(silent | otherwise)
        self._at += 1
        return silent | otherwise

    def _item(self) -> str | Span | None:
        return self._items[self._at] if self._at < len(self._items) else None

    def _name(self) -> str:
        item = self._item()
        return item.name if isinstance(item, Span) else ""

    def _text(self, states: frozenset[_State], text: str) -> Iterator[_State]:
        for field, before in states:
            raw = before + text
            known = _HALF_ENTITY.sub("", raw) if self._item() else raw  # its rest may come behind the Liquid
            folded = _IGNORED.sub("", unescaped(known)).lower()
            first = _first(folded)
            if not first or (field is None and folded.startswith("data:") and not re.search("[,;]", folded)):
                if len(raw) <= _LONGEST or self._item() is None:
                    yield field, raw
                else:
                    self._undecided(frozenset({(field, raw)}))
            elif field is None:
                self.script |= is_script(folded)
            elif first == ":":
                self.split = True

    def _output(self, states: frozenset[_State], span: Span) -> Iterator[_State]:
        for state in states:
            if state[0] is None and not unescaped(state[1]).strip():
                self.fields.setdefault(span, False)
                yield span, ""
            else:
                self._undecided(frozenset({state}))

    def _undecided(self, states: frozenset[_State]) -> frozenset[_State]:
        """Nobody knows what comes next."""
        for field, _text in states:
            if field is None:
                self.split = True
            else:
                self.fields[field] = True
        return frozenset()


_State = tuple[Span | None, str]
