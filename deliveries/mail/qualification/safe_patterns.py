"""Regular expressions that administrators write, made safe to search in what strangers write.

Python's engine tries every way in which a pattern could match; pattern_cost.py counts how many there are at most,
before it is ever used. And because nearly all alternatives of some thirty rules match nowhere, each says which words a
text must contain at all, which takes a hundredth of the search.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from re import IGNORECASE, Pattern, _constants, _parser, compile, error  # type: ignore[attr-defined]
from sys import maxsize
from typing import Any

from deliveries.mail.text_patterns import any_of, lower, without_accents

from .pattern_cost import REPEATS, Node, leading_word, paths

MOST_PATHS = 4_100  # ways to match from one place on that a new pattern may have
MOST_STEPS = 16_400_000  # ways in a whole text: what is kept and has more sees the beginning of the text only
MAX_PATTERN = 10_000  # characters
LENGTHS = (4000, 1000, 400, 150, 80)  # of the texts that are searched, see `Searcher.reach`


class Unusable(ValueError):
    """The pattern is no regular expression; the text says why."""


@dataclass(frozen=True)
class Searcher:
    """A pattern, compiled. It is searched in lower-case text (`lower`) of which it sees `reach` characters; 0: it has
    too many ways to match to be used.

    parts   (words, alternative): one of the words stands in every text that the alternative matches; none: unknown
    paths   how many ways there are in the longest text
    """

    pattern: Pattern[str]
    parts: tuple[tuple[tuple[str, ...], Pattern[str]], ...]
    reach: int
    paths: int

    def found_in(self, text: str) -> bool:
        """Whether it matches anywhere. In: text as `lower` gives it."""
        if not self.reach:
            return False
        seen = text[: self.reach]
        for needed, pattern in self.parts:
            for word in needed:
                if word in seen:
                    break
            else:
                if needed:
                    continue
            if pattern.search(seen):
                return True
        return False


@lru_cache(maxsize=2048)
def searcher(expression: str, *, trusted: bool = False) -> Searcher:
    """The pattern, ready. `trusted`: its ways need not be counted, tests have tried it. Raises Unusable."""
    if len(expression) > MAX_PATTERN:
        raise Unusable(f"it has {len(expression)} characters; at most {MAX_PATTERN} are possible")
    plain = without_accents(expression)
    try:
        tree = list(_parser.parse(plain, IGNORECASE))
        flags = 0 if _has_one_case(tree) else IGNORECASE
        found, parts = compile(plain, flags), tuple(_parts(plain, tree, flags))
        if trusted:
            return Searcher(found, parts, maxsize, 0)
        ways = {length: paths(tree, length) for length in LENGTHS}
    except (error, OverflowError, RecursionError) as problem:
        raise Unusable(str(problem)) from problem
    usable = (length for length in LENGTHS if length * ways[length] <= MOST_STEPS)
    return Searcher(found, parts, next(usable, 0), ways[LENGTHS[0]])


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
    if kind in REPEATS or kind is _constants.SUBPATTERN:
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


def _parts(plain: str, tree: list[Node], flags: int) -> Iterator[tuple[tuple[str, ...], Pattern[str]]]:
    """The alternatives of a pattern, each with the words that it needs; or the whole, where it cannot be divided."""
    refers = any(kind in (_constants.GROUPREF, _constants.GROUPREF_EXISTS) for kind, _value in _walk(tree))
    for alternative in [plain] if refers or plain.startswith("(?") else alternatives(plain):
        yield _needed(_parser.parse(alternative, IGNORECASE)), compile(alternative, flags)


def alternatives(expression: str) -> list[str]:
    """What stands between the `|` of a valid pattern that are in no group and no class."""
    found, start, depth, inside, position = [], 0, 0, False, 0
    while position < len(expression):
        character = expression[position]
        if character == "\\":
            position += 1
        elif inside:
            inside = character != "]"
        elif character == "[":
            inside = True
            position += len(expression) > position + 1 and expression[position + 1] == "^"
            position += len(expression) > position + 1 and expression[position + 1] == "]"  # stands for itself there
        elif character == "|" and not depth:
            found.append(expression[start:position])
            start = position + 1
        else:
            depth += (character == "(") - (character == ")")
        position += 1
    return [*found, expression[start:]]


def _needed(nodes: Iterable[Node]) -> tuple[str, ...]:
    """Words of which every match contains one; the longest there are, or nothing."""
    best: tuple[str, ...] = ()
    nodes = list(nodes)
    for place, node in enumerate(nodes):
        run = leading_word(nodes[place:])
        for found in ((run,) if run else (), _needed_inside(node)):
            if found and len(min(found, key=len)) > len(min(best, key=len, default="")):
                best = found
    return best


def _needed_inside(node: Node) -> tuple[str, ...]:
    kind, value = node
    if kind is _constants.SUBPATTERN or (kind in REPEATS and value[0]):
        return _needed(value[-1])
    if kind is _constants.ATOMIC_GROUP:
        return _needed(value)
    if kind is _constants.BRANCH:
        each = [_needed(branch) for branch in value[1]]
        return tuple(dict.fromkeys(word for words in each for word in words)) if all(each) else ()
    return ()
