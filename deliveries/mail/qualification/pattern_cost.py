"""In how many ways a regular expression can match, counted from the pattern alone: an upper bound.

In: the nodes of Python's own parser (re._parser), which are the same from 3.11 on. A repeat that has to stop where what
follows it begins has one way; one that could stop anywhere has as many as it has lengths; a repeat inside another one
has the product.
"""

from collections.abc import Iterable, Sequence
from itertools import takewhile
from re import _constants  # type: ignore[attr-defined]
from typing import Any

from deliveries.mail.text_patterns import lower

MANY = 10**12
_ANYTHING = (1 << 129) - 1  # a set of characters: a bit for each of ASCII, the last one for all others

Node = tuple[Any, Any]
REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)


def paths(nodes: Iterable[Node], length: int, follow: int = _ANYTHING) -> int:
    """An upper bound of the ways to match from one place on, in a text of `length` characters.

    `follow` is the set of characters that can come next. A repeat that stops where what follows begins has one way."""
    ways, after = 1, follow
    for node in reversed(list(nodes)):
        ways = min(MANY, ways * _ways(node, length, after))
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
        return MANY
    return _repeats(kind, value, length, after) if kind in REPEATS else 1


def _branches(branches: Sequence[Any], length: int, after: int) -> int:
    """Of alternatives that begin with different words one at most can match."""
    words = [leading_word(branch) for branch in branches]
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


def leading_word(nodes: Iterable[Node]) -> str:
    """The literal text with which every match begins, in lower case."""
    return lower("".join(chr(value) for _kind, value in takewhile(lambda node: node[0] is _constants.LITERAL, nodes)))


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
    return min(MANY, most_ways)


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
    if kind in REPEATS:
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
