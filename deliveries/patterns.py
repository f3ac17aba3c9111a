"""Regular expressions that administrators write, made safe to search in what strangers write.

Python's engine tries every way in which a pattern could match. How many there are at most is counted here from the
pattern itself, before it is ever used: `paths`. And because nearly all of some thirty rules hold nowhere, each says
which words a text must contain at all (`needed`), which takes a thousandth of the search.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from re import IGNORECASE, Pattern, _constants, _parser, compile, error  # type: ignore[attr-defined]
from sys import maxsize
from typing import Any

from deliveries.bounce_words import any_of, without_accents

MOST_PATHS = 4_100  # ways to match from one place on that a new pattern may have
MOST_STEPS = 16_400_000  # ways in a whole text: what is kept and has more sees the beginning of the text only
MAX_PATTERN = 10_000  # characters
LENGTHS = (4000, 1000, 400, 150, 80)  # of the texts that are searched, see `Searcher.reach`
_MANY = 10**12
_ANYTHING = (1 << 129) - 1  # a set of characters: a bit for each of ASCII, the last one for all others

Node = tuple[Any, Any]
_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)


class Unusable(ValueError):
    """The pattern is no regular expression; the text says why."""


@dataclass(frozen=True)
class Searcher:
    """A pattern, compiled. It is searched in lower-case text (`lower`) of which it sees `reach` characters; 0: it has
    too many ways to match to be used. `needed`: one of these stands in every text that it matches; empty: unknown."""

    pattern: Pattern[str]
    needed: tuple[str, ...]
    reach: int
    paths: int

    def found_in(self, text: str) -> bool:
        """Whether it matches anywhere. In: text as `lower` gives it."""
        if self.needed and not any(word in text for word in self.needed):
            return False
        return bool(self.reach and self.pattern.search(text[: self.reach]))


def lower(text: str) -> str:
    """`text` in lower case, so that letters have one form each (a Greek word may end in another sigma)."""
    return text.lower().replace("\u03c2", "\u03c3")


@lru_cache(maxsize=2048)
def searcher(expression: str, *, trusted: bool = False) -> Searcher:
    """The pattern, ready. `trusted`: its ways need not be counted, tests have tried it. Raises Unusable."""
    if len(expression) > MAX_PATTERN:
        raise Unusable(f"it has {len(expression)} characters; at most {MAX_PATTERN} are possible")
    plain = without_accents(expression)
    try:
        tree = list(_parser.parse(plain, IGNORECASE))
        found = compile(plain, 0 if _has_one_case(tree) else IGNORECASE)
        needed = _needed(tree)
        if trusted:
            return Searcher(found, needed, maxsize, 0)
        ways = {length: paths(tree, length) for length in LENGTHS}
    except (error, OverflowError, RecursionError) as problem:
        raise Unusable(str(problem)) from problem
    usable = (length for length in LENGTHS if length * ways[length] <= MOST_STEPS)
    return Searcher(found, needed, next(usable, 0), ways[LENGTHS[0]])


def signs(*alternatives: str) -> Searcher:
    """Wordings of our own of which any may stand in a text."""
    return searcher(any_of(*alternatives), trusted=True)


def _walk(nodes: Iterable[Node]) -> Iterator[Node]:
    """All nodes, those inside others too."""
    for node in nodes:
        yield node
        for inner in _inside(node):
            yield from _walk(inner)


def _inside(node: Node) -> Sequence[Any]:
    kind, value = node
    if kind is _constants.BRANCH:
        return list(value[1])
    if kind in _REPEATS or kind is _constants.SUBPATTERN:
        return [value[-1]]
    if kind in (_constants.ASSERT, _constants.ASSERT_NOT):
        return [value[1]]
    return [value] if kind in (_constants.ATOMIC_GROUP, _constants.IN) else []


def _has_one_case(tree: Iterable[Node]) -> bool:
    """True if the pattern names no capital letter: in lower-case text it need not be told to ignore case, which is
    many times slower."""
    for kind, value in _walk(tree):
        if kind in (_constants.LITERAL, _constants.NOT_LITERAL) and lower(chr(value)) != chr(value):
            return False
        if kind is _constants.RANGE and (value[1] - value[0] > 500 or _spans_capitals(*value)):
            return False
        if kind is _constants.SUBPATTERN and (value[1] or value[2]):  # flags of its own
            return False
    return True


def _spans_capitals(first: int, last: int) -> bool:
    return any(lower(chr(code)) != chr(code) for code in range(first, last + 1))


# --- what a text must contain --------------------------------------------------------------------------------------


def _needed(nodes: Iterable[Node]) -> tuple[str, ...]:
    """Words of which every match contains one; the longest there are, or nothing."""
    best: tuple[str, ...] = ()
    nodes = list(nodes)
    for place, node in enumerate(nodes):
        run = _word(nodes[place:])
        for found in ((run,) if run else (), _needed_inside(node)):
            if found and len(min(found, key=len)) > len(min(best, key=len, default="")):
                best = found
    return best


def _is_literal(node: Node) -> bool:
    return node[0] is _constants.LITERAL


def _needed_inside(node: Node) -> tuple[str, ...]:
    kind, value = node
    if kind is _constants.SUBPATTERN or (kind in _REPEATS and value[0]):
        return _needed(value[-1])
    if kind is _constants.ATOMIC_GROUP:
        return _needed(value)
    if kind is _constants.BRANCH:
        each = [_needed(branch) for branch in value[1]]
        return tuple(dict.fromkeys(word for words in each for word in words)) if all(each) else ()
    return ()


# --- in how many ways it can match ---------------------------------------------------------------------------------


def paths(nodes: Iterable[Node], length: int, follow: int = _ANYTHING) -> int:
    """An upper bound of the ways to match from one place on, in a text of `length` characters.

    `follow` is the set of characters that can come next. A repeat that stops where what follows begins has one way."""
    ways, after = 1, follow
    for node in reversed(list(nodes)):
        ways = min(_MANY, ways * _ways(node, length, after))
        first, empty = _first(node)
        after = first | after if empty else first
    return ways


def _ways(node: Node, length: int, after: int) -> int:
    kind, value = node
    if kind is _constants.SUBPATTERN:
        return paths(value[-1], length, after)
    if kind in (_constants.ASSERT, _constants.ASSERT_NOT):
        return paths(value[1], length)
    if kind is _constants.BRANCH:
        return _branches(value[1], length, after)
    if kind in (_constants.GROUPREF, _constants.GROUPREF_EXISTS):
        return _MANY
    return _repeats(kind, value, length, after) if kind in _REPEATS else 1


def _branches(branches: Sequence[Any], length: int, after: int) -> int:
    """Of alternatives that begin with different words one at most can match."""
    words = [_word(branch) for branch in branches]
    firsts = [first | (after if empty else 0) for first, empty in map(_beginning, branches)]
    each = [paths(branch, length, after) for branch in branches]
    return (
        max(
            sum(
                ways
                for other, first_of_other, ways in zip(words, firsts, each, strict=True)
                if (other.startswith(word) or word.startswith(other)) and first & first_of_other
            )
            for word, first in zip(words, firsts, strict=True)
        )
        or 1
    )


def _word(nodes: Iterable[Node]) -> str:
    return lower("".join(chr(value) for _kind, value in takewhile(_is_literal, nodes)))


def _repeats(kind: Any, repeat: tuple[int, Any, Any], length: int, after: int) -> int:
    least, most, body = repeat
    times = min(int(most), length // max(1, body.getwidth()[0]))
    first, _empty = _beginning(body)
    inside = paths(body, length, first | after)
    if kind is _constants.POSSESSIVE_REPEAT:
        return inside
    ends = times - min(least, times) + 1 if first & after else 1
    if inside == 1:
        return ends
    most_ways: int = inside ** min(times, 40) * ends
    return min(_MANY, most_ways)


def _beginning(nodes: Iterable[Node]) -> tuple[int, bool]:
    """The characters with which a match can begin, and whether it can be empty."""
    whole = 0
    for node in nodes:
        first, empty = _first(node)
        whole |= first
        if not empty:
            return whole, False
    return whole, True


def _first(node: Node) -> tuple[int, bool]:
    kind, value = node
    if kind is _constants.LITERAL:
        return _bit(value), False
    if kind is _constants.IN:
        return _set(value), False
    if kind is _constants.SUBPATTERN:
        return _beginning(value[-1])
    if kind is _constants.BRANCH:
        each = [_beginning(branch) for branch in value[1]]
        whole = 0
        for first, _empty in each:
            whole |= first
        return whole, any(empty for _first, empty in each)
    if kind in _REPEATS:
        first, empty = _beginning(value[-1])
        return first, empty or not value[0]
    if kind in (_constants.AT, _constants.ASSERT, _constants.ASSERT_NOT):
        return 0, True
    return _ANYTHING, kind is _constants.GROUPREF_EXISTS or kind is _constants.GROUPREF


def _bit(code: int) -> int:
    code = ord(chr(code).lower()[0])
    return 1 << min(code, 128)


def _set(items: Sequence[Node]) -> int:
    """A class in brackets; what is none of the plainest counts as anything."""
    whole = 0
    negated = bool(items) and items[0][0] is _constants.NEGATE
    for kind, value in items[negated:]:
        if kind is _constants.LITERAL:
            whole |= _bit(value)
        elif kind is _constants.RANGE:
            for code in range(value[0], min(value[1], 128) + 1):
                whole |= _bit(code)
            whole |= 1 << 128 if value[1] > 127 else 0
        elif value in _NAMED:
            whole |= _NAMED[value]
        else:
            return _ANYTHING
    return ~whole & _ANYTHING | 1 << 128 if negated else whole


def _mask(characters: str) -> int:
    whole = 0
    for character in characters:
        whole |= 1 << ord(character)
    return whole


_DIGITS, _SPACES = _mask("0123456789"), _mask(" \t\n\r\f\v\x1c\x1d\x1e\x1f")
_WORD = _DIGITS | _mask("abcdefghijklmnopqrstuvwxyz_")
_OTHERS = 1 << 128
_NAMED = {
    _constants.CATEGORY_DIGIT: _DIGITS | _OTHERS,
    _constants.CATEGORY_NOT_DIGIT: ~_DIGITS & _ANYTHING,
    _constants.CATEGORY_SPACE: _SPACES | _OTHERS,
    _constants.CATEGORY_NOT_SPACE: ~_SPACES & _ANYTHING,
    _constants.CATEGORY_WORD: _WORD | _OTHERS,
    _constants.CATEGORY_NOT_WORD: ~_WORD & _ANYTHING,
}
