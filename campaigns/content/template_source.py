"""Where the Liquid of a template stands, and what can be said about it without parsing its expressions.

One scanner finds it, in time linear in the source, for all who ask: the HTML is read around it (`Draft.masked`), and
python-liquid's parser gets its tokens from here (`lex`). Its own lexer needs minutes for some kilobytes of `{% raw %}`
in a comment, and would find other comments than we do.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches

from liquid import Token
from liquid.exceptions import LiquidSyntaxError
from liquid.token import TOKEN_CONTENT, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_TAG

from campaigns.core.kept_text import keep as _

from .problems import Problem, line_of

OPTOUT, MIRROR = "unsubscribe_url", "mirror_url"  # what each message has beside its recipient's fields
BUILTINS = {OPTOUT: OPTOUT, "optout_url": OPTOUT, MIRROR: MIRROR}

MAX_SOURCE = 5_000_000  # bytes of one message; servers commonly refuse more than 10 MB after encoding
MAX_TAGS = 2_000  # in one part
MAX_LIQUID = 100_000  # characters of all {{ … }} and {% … %} of one part
MAX_EXPRESSION = 1_000  # characters of one {{ … }} or {% … %}
MAX_PROBLEMS = 20  # told of one part: whoever has more reads the first ones first

BLOCKS = {name: f"end{name}" for name in ("if", "unless", "case", "for", "capture", "comment")}
INNER = {"elsif": {"if", "unless"}, "else": {"if", "unless", "case", "for"}, "when": {"case"}}
SINGLE = {"assign", "echo", "cycle", "increment", "decrement", "break", "continue", "#"}
TAGS = {*BLOCKS, *BLOCKS.values(), *INNER, *SINGLE}

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


class _Unclosed(ValueError):
    """`{{` or `{%` at `start` has no end."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.start = start


def _marks(source: str) -> Iterator[tuple[int, int]]:
    """Where each `{{ … }}` and `{% … %}` begins and ends, also in comments. Raises _Unclosed."""
    position = 0
    while match := _OPEN.search(source, position):
        end = source.find("}}" if match.group() == "{{" else "%}", match.end())
        if end < 0:
            raise _Unclosed(match.start())
        position = end + 2
        yield match.start(), position


class _Enough(Exception):
    """So many problems were found that more would help nobody."""


class _Scanner:
    """One pass over a source: spans, and what can be said about them without parsing expressions."""

    def __init__(self, where: str, source: str) -> None:
        self.where, self.source = where, source
        self.spans: list[Span] = []
        self.liquid = 0  # characters of it
        self.problems: list[Problem] = []
        self.open: list[tuple[str, int]] = []  # blocks not closed yet: name, start

    def run(self) -> None:
        """Fill `spans` and `problems`."""
        with suppress(_Enough):
            try:
                for start, end in _marks(self.source):
                    self.span(start, end)
            except _Unclosed as error:
                tag = self.source[error.start : error.start + 2]
                end_of_it = "}}" if tag == "{{" else "%}"
                self.problem(error.start, _("%(tag)s is never closed by %(end)s", tag=tag, end=end_of_it))
                return
            for name, start in self.open:
                self.problem(
                    start, _("%(tag)s is never closed by %(end)s", tag=f"{{% {name} %}}", end=f"{{% {BLOCKS[name]} %}}")
                )

    def problem(self, position: int, message: str) -> None:
        self.problems.append(Problem(self.where, line_of(self.source, position), message))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Enough

    def too_much(self, position: int, message: str) -> None:
        """Nothing behind it is worth looking at."""
        self.problem(position, message)
        raise _Enough

    def span(self, start: int, end: int) -> None:
        tag = _TAG_NAME.match(self.source, start)
        name = tag.group(1) if tag else ""
        if self.open and self.open[-1][0] == "comment":
            self.in_comment(name, end)
            return
        self.liquid += end - start
        if end - start > MAX_EXPRESSION:
            self.problem(start, _("longer than %(n)s characters", n=MAX_EXPRESSION))
        if len(self.spans) >= MAX_TAGS:
            self.too_much(start, _("more than %(n)s Liquid tags", n=MAX_TAGS))
        if self.liquid > MAX_LIQUID:
            self.too_much(start, _("more than %(n)s characters of Liquid; write less of it", n=MAX_LIQUID))
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
        message = _("a character of the private planes, which no mail program can show")
        scanner.problems.append(Problem(where, line_of(source, private.start()), message))
    line_ends = tuple(match.start() for match in re.finditer("\n", source))
    return Draft(where, source, tuple(scanner.spans), _mask(source, scanner.spans), line_ends), scanner.problems


def _mask(source: str, spans: list[Span]) -> str:
    pieces, position = [], 0
    for number, span in enumerate(spans):
        character = chr((_TAG if span.name else _OUTPUT) + number)
        pieces += [source[position : span.start], character * (span.end - span.start)]
        position = span.end
    return "".join(pieces) + source[position:]


def suggestion(name: str, known: set[str] | frozenset[str]) -> str:
    """`; did you mean "…"?` with the nearest known name, or nothing."""
    near = get_close_matches(name, sorted(known), 1)
    return _('; did you mean "%(name)s"?', name=near[0]) if near else ""


# --- for python-liquid's parser ------------------------------------------------------------------------------------


def lex(source: str) -> Iterator[Token]:
    """The tokens of a template as python-liquid's parser wants them, without what stands in comments.

    A dash inside a tag trims the text beside it. Raises LiquidSyntaxError if a tag has no end.
    """
    lexer = _Lexer(source)
    try:
        for start, end in _marks(source):
            yield from lexer.mark(start, end)
    except _Unclosed as error:
        raise LiquidSyntaxError("never closed", token=Token(TOKEN_OUTPUT, "", error.start, source)) from error
    yield from lexer.text(len(source))


class _Lexer:
    def __init__(self, source: str) -> None:
        self.source = source
        self.position = 0  # behind the last tag
        self.trims = False  # the last tag ended in a dash
        self.depth = 0  # of comments

    def mark(self, start: int, end: int) -> Iterator[Token]:
        """The text before a `{{ … }}` or `{% … %}`, and itself."""
        source = self.source
        dash = source.startswith("-", start + 2)
        yield from self.text(start, trim=dash)
        begin, stop = start + 2 + dash, end - 2
        closing_dash = stop > begin and source[stop - 1] == "-"
        if source.startswith("{{", start):
            if not self.depth:
                yield Token(TOKEN_OUTPUT, source[start:end], start, source)
                yield self.expression(begin, stop - closing_dash)
                self.trims = closing_dash
        else:
            yield from self.tag(start, stop - closing_dash, trims=closing_dash)
        self.position = end

    def tag(self, start: int, stop: int, *, trims: bool) -> Iterator[Token]:
        match = _TAG_NAME.match(self.source, start)
        assert match is not None
        name = match.group(1)
        if self.depth:
            self.depth += (name == "comment") - (name == "endcomment")
            if self.depth:
                return
        elif name == "comment":
            self.depth = 1
        yield Token(TOKEN_TAG, name, match.start(1), self.source)
        expression = self.expression(match.end(), stop)
        if expression.value:
            yield expression
        self.trims = trims

    def text(self, end: int, *, trim: bool = False) -> Iterator[Token]:
        """What stands between the last tag and the position `end`."""
        if self.depth:
            return
        text = self.source[self.position : end]
        text = text.lstrip() if self.trims else text
        text = text.rstrip() if trim else text
        if text:
            yield Token(TOKEN_CONTENT, text, self.position, self.source)

    def expression(self, start: int, end: int) -> Token:
        written = self.source[start:end]
        begin = start + len(written) - len(written.lstrip())
        return Token(TOKEN_EXPRESSION, written.strip(), begin, self.source)
