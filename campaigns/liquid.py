"""The sandboxed Liquid: which tags and filters a message may use, how much they may do, where they stand.

A template gets strings and gives strings. It cannot load other templates, reach attributes (values are plain
strings, lists and numbers, looked up by key only), tell the time, or run for long: loops, sizes, nesting and the
number of tags are limited. python-liquid parses; what it would forgive (text after `else`, unclosed blocks) is refused.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import wraps
from typing import Any

from liquid import BoundTemplate, Environment, Markup, Mode, Node, RenderContext, Tag, TokenStream
from liquid.builtin.tags.if_tag import IfTag
from liquid.builtin.tags.unless_tag import UnlessTag
from liquid.exceptions import FilterError, LiquidError, LoopIterationLimitError
from liquid.filter import string_filter

from .problems import Problem, line_of
from .said import said as _

MAX_SOURCE = 5_000_000  # bytes of one message; servers commonly refuse more than 10 MB after encoding
MAX_TAGS = 2_000  # in one part
MAX_EXPRESSION = 1_000  # characters of one {{ … }} or {% … %}
MAX_LOOPS = 1_000  # iterations of all loops of one rendering together
MAX_VALUE = 100_000  # characters, items or bits of one intermediate value

BLOCKS = {name: f"end{name}" for name in ("if", "unless", "case", "for", "capture", "comment")}
INNER = {"elsif": {"if", "unless"}, "else": {"if", "unless", "case", "for"}, "when": {"case"}}
SINGLE = {"assign", "echo", "cycle", "increment", "decrement", "break", "continue", "#"}
TAGS = {*BLOCKS, *BLOCKS.values(), *INNER, *SINGLE}
# fmt: off
FILTERS = {
    "abs", "add_days", "add_hours",
    "append", "at_least", "at_most", "capitalize", "ceil", "date", "default", "divided_by", "downcase",
    "escape", "escape_once", "first", "floor", "join", "last", "lstrip", "minus", "modulo", "newline_to_br",
    "plus", "prepend", "remove", "remove_first", "remove_last", "replace", "replace_first", "replace_last",
    "reverse", "round", "rstrip", "size", "slice", "sort", "sort_natural", "split", "squish", "strip",
    "strip_html", "strip_newlines", "times", "truncate", "truncatewords", "uniq", "upcase", "url_decode",
    "url_encode",
}
GROWING = {  # filters that may give more than they get
    "append", "date", "escape", "escape_once", "join", "newline_to_br", "plus", "prepend", "replace", "replace_first",
    "replace_last", "split", "times", "url_encode",
}
# fmt: on
_PSEUDO_TAGS = {"content", "output", "illegal"}  # python-liquid's own entries for text, {{ }} and unknown tags


# --- where the Liquid is -------------------------------------------------------------------------------------------

_OPEN = re.compile(r"\{\{|\{%")
_TAG_NAME = re.compile(r"\{%-?\s*(#|\w*)")
_OUTPUT, _TAG = 0xF0000, 0x100000  # planes of private characters that stand for masked Liquid
_PRIVATE = re.compile("[\U000f0000-\U0010ffff]")
_MASKED = re.compile(r"([\U000f0000-\U0010ffff])\1*")
MASKED_TAG = "\U00100000-\U0010ffff"  # for character classes: a masked {% … %}
MASKED = "\U000f0000-\U0010ffff"  # any masked Liquid


@dataclass(frozen=True, slots=True)
class Span:
    """One `{{ … }}` (name "") or `{% name … %}`; a whole comment block is one span. Positions in characters."""

    start: int
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A part's source and where its Liquid and its line ends stand.

    `masked` is as long as `source`: each span became a run of one private character, so HTML can be parsed around it.
    """

    where: str
    source: str
    spans: tuple[Span, ...]
    masked: str
    line_ends: tuple[int, ...]

    def unmask(self, text: str) -> str:
        """`text` made of pieces of `masked`, with the Liquid back in place."""
        return _MASKED.sub(lambda run: self.liquid(self.span(run.group(1))), text)

    def span(self, character: str) -> Span:
        """The Liquid that a private character stands for."""
        return self.spans[ord(character) - (_TAG if ord(character) >= _TAG else _OUTPUT)]

    def liquid(self, span: Span) -> str:
        """A span's source."""
        return self.source[span.start : span.end]

    def line(self, position: int) -> int:
        """The line of a character position."""
        return bisect_left(self.line_ends, position) + 1


class _Scanner:
    """One pass over a source: spans, and what can be said about them without parsing expressions."""

    def __init__(self, where: str, source: str) -> None:
        self.where, self.source = where, source
        self.spans: list[Span] = []
        self.problems: list[Problem] = []
        self.open: list[tuple[str, int]] = []  # blocks not closed yet: name, start

    def run(self) -> None:
        """Fill `spans` and `problems`."""
        position = 0
        while match := _OPEN.search(self.source, position):
            closing = "}}" if match.group() == "{{" else "%}"
            end = self.source.find(closing, match.end())
            if end < 0:
                self.problem(match.start(), _("%(tag)s is never closed by %(end)s", tag=match.group(), end=closing))
                return
            position = end + 2
            self.span(match.start(), position)
        for name, start in self.open:
            self.problem(
                start, _("%(tag)s is never closed by %(end)s", tag=f"{{% {name} %}}", end=f"{{% {BLOCKS[name]} %}}")
            )
        if len(self.spans) > MAX_TAGS:
            self.problem(self.spans[MAX_TAGS].start, _("more than %(n)s Liquid tags", n=MAX_TAGS))

    def problem(self, position: int, message: str) -> None:
        self.problems.append(Problem(self.where, line_of(self.source, position), message))

    def span(self, start: int, end: int) -> None:
        tag = _TAG_NAME.match(self.source, start)
        name = tag.group(1) if tag else ""
        if self.open and self.open[-1][0] == "comment":
            self.in_comment(name, end)
            return
        if end - start > MAX_EXPRESSION:
            self.problem(start, _("longer than %(n)s characters", n=MAX_EXPRESSION))
        if tag:
            self.tag(name, start)
        if name != "comment":
            self.spans.append(Span(start, end, name))

    def in_comment(self, name: str, end: int) -> None:
        if name == "comment":
            self.open.append((name, end))
        elif name == "endcomment":
            _name, start = self.open.pop()
            if not self.open or self.open[-1][0] != "comment":
                self.spans.append(Span(start, end, "comment"))

    def tag(self, name: str, start: int) -> None:
        inner = self.open[-1][0] if self.open else ""
        if name not in TAGS:
            self.problem(start, _('no tag is called "%(name)s"%(instead)s', name=name, instead=suggestion(name, TAGS)))
        elif name in BLOCKS:
            self.open.append((name, start))
        elif name in INNER and inner not in INNER[name]:
            self.problem(
                start,
                _(
                    "%(tag)s stands outside of %(blocks)s",
                    tag=f"{{% {name} %}}",
                    blocks=" or ".join(sorted(INNER[name])),
                ),
            )
        elif name in BLOCKS.values():
            self.close(name, start)

    def close(self, name: str, start: int) -> None:
        if not self.open:
            self.problem(start, f"{{% {name} %}} closes nothing")
            return
        inner, opened = self.open.pop()
        if BLOCKS[inner] != name:
            line = line_of(self.source, opened)
            self.problem(
                start,
                _(
                    "%(tag)s stands where %(inner)s of line %(line)s is still open",
                    tag=f"{{% {name} %}}",
                    inner=f"{{% {inner} %}}",
                    line=str(line),
                ),
            )


def read(where: str, source: str) -> tuple[Draft, list[Problem]]:
    """Find the Liquid of a part. Problems found here (unclosed or unknown tags …) make parsing it pointless."""
    scanner = _Scanner(where, source)
    scanner.run()
    if private := _PRIVATE.search(source):
        scanner.problem(private.start(), _("a character of the private planes, which no mail program can show"))
    line_ends = tuple(match.start() for match in re.finditer("\n", source))
    return Draft(where, source, tuple(scanner.spans), _mask(source, scanner.spans), line_ends), scanner.problems


def _mask(source: str, spans: list[Span]) -> str:
    pieces, position = [], 0
    for number, span in enumerate(spans[:MAX_TAGS]):
        character = chr((_TAG if span.name else _OUTPUT) + number)
        pieces += [source[position : span.start], character * (span.end - span.start)]
        position = span.end
    return "".join(pieces) + source[position:]


def suggestion(name: str, known: set[str] | frozenset[str]) -> str:
    """`; did you mean "…"?` with the nearest known name, or nothing."""
    near = get_close_matches(name, sorted(known), 1)
    return _('; did you mean "%(name)s"?', name=near[0]) if near else ""


# --- what it may do ------------------------------------------------------------------------------------------------


class _Context(RenderContext):
    """Counts the iterations of all loops together: python-liquid limits nested ones only, loop by loop."""

    iterations = 0

    def raise_for_loop_limit(self, length: int = 1) -> None:
        self.iterations += length
        if self.iterations > MAX_LOOPS:
            raise LoopIterationLimitError(_("loops run more than %(n)s times", n=MAX_LOOPS), token=None)


class _Template(BoundTemplate):
    context_class = _Context


class _If(IfTag):
    mode = Mode.STRICT


class _Unless(UnlessTag):
    mode = Mode.STRICT


class _Located(Tag):
    """Gives an error at the end of an expression, which python-liquid leaves without a place, that of its tag."""

    def __init__(self, tag: Tag) -> None:
        super().__init__(tag.env)
        self.tag = tag

    def parse(self, stream: TokenStream) -> Node:
        start = stream.current
        try:
            return self.tag.get_node(stream)
        except LiquidError as error:
            if error.token is None or error.token.start_index < 0:
                error.token = start
            raise


class Sandbox(Environment):
    """python-liquid with our tags, filters and limits. `autoescape` for HTML: values are escaped, literals aren't."""

    template_class = _Template
    block_nesting_limit = 20
    local_namespace_limit = 2 * MAX_VALUE
    output_stream_limit = MAX_SOURCE

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Keep what is on the lists, with limits on what a filter may return."""
        super().setup_tags_and_filters(extra=False)
        self.add_tag(_If)
        self.add_tag(_Unless)
        self.tags = {name: _Located(tag) for name, tag in self.tags.items() if name in TAGS | _PSEUDO_TAGS}
        self.filters |= {"date": date, "add_hours": add_hours, "add_days": add_days}
        self.filters = {name: function for name, function in self.filters.items() if name in FILTERS}
        self.filters |= {name: _limited(self.filters[name], name) for name in GROWING}


def _replacement_size(value: object, seq: object = "", sub: object = "", **_: object) -> int:
    return str(value).count(str(seq)) * len(str(sub))


def _joined_size(value: object, separator: object = " ", **_: object) -> int:
    return (len(value) if isinstance(value, list) else 1) * len(str(separator))


_COSTS: dict[str, Callable[..., int]] = {"replace": _replacement_size, "join": _joined_size}


def _size(value: object) -> int:
    if isinstance(value, int):
        return value.bit_length()
    return len(value) if isinstance(value, (str, list)) else 0


def _limited(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    cost = _COSTS.get(name)

    @wraps(function)
    def limited(value: object, *args: Any, **kwargs: Any) -> Any:
        # Before, not after: a hundred thousand characters, each replaced by as many, would fill the memory.
        if cost is not None and len(args) < 3 and cost(value, *args, **kwargs) > MAX_VALUE:
            raise FilterError(_("%(filter)s makes more than %(n)s characters", filter=name, n=MAX_VALUE), token=None)
        result = function(value, *args, **kwargs)
        if _size(result) > MAX_VALUE:
            raise FilterError(_("%(filter)s makes more than %(n)s characters", filter=name, n=MAX_VALUE), token=None)
        return result

    return limited


@string_filter
def date(value: str, form: str) -> str:
    """An ISO 8601 date or date-time in strftime form; anything else comes back unchanged, as Liquid has it.

    Own, because python-liquid's guesses the format, reads digits as seconds since 1970 and knows "now", which would
    make a sealed message change with time.
    """
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return value
    text = moment.strftime(str(form))
    return Markup(text) if isinstance(form, Markup) else text


@string_filter
def add_hours(value: str, hours: object) -> str:
    """An ISO 8601 date or date-time so many hours later, by the clock that it shows; empty if either cannot be read."""
    try:
        moment = datetime.fromisoformat(value.strip()) + timedelta(hours=float(str(hours)))
    except (ValueError, OverflowError):
        return ""
    return moment.isoformat(sep=" ")


@string_filter
def add_days(value: str, days: object) -> str:
    """Like add_hours; what was a date without a time stays one if the days are whole."""
    try:
        number = float(str(days))
    except ValueError:
        return ""
    later = str(add_hours(value, 24 * number))
    return later[:10] if len(value.strip()) <= 10 and number.is_integer() else later


HTML = Sandbox(autoescape=True)
PLAIN = Sandbox(autoescape=False)


def parse(draft: Draft, sandbox: Sandbox) -> BoundTemplate | Problem:
    """The part's syntax tree, or what python-liquid cannot read in it, with its line."""
    try:
        return sandbox.from_string(draft.source)
    except LiquidError as error:
        start = error.token.start_index if error.token else -1
        return Problem(draft.where, draft.line(start) if start >= 0 else 0, str(error.message))
