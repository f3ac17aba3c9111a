"""Every regular expression of the product is found in its source and tried on texts made of its own parts.

For each part that may repeat, a text is made in which it does, behind what must stand before it. Whoever tries each
place of a text against the rest of it needs seconds for these; a pattern that is linear, a few milliseconds.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import pytest

from deliveries.mail import text_patterns
from deliveries.mail.qualification import safe_patterns
from deliveries.mail.qualification.default_rules import DEFAULT_RULES
from deliveries.mail.qualification.safe_patterns import Searcher, searcher
from tests.hostile import spent

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = {"compile", "search", "match", "fullmatch", "findall", "finditer", "sub", "subn", "split"}
OURS = {"words": text_patterns.words, "signs": safe_patterns.signs, "searcher": safe_patterns.searcher}
ANCHORED = {"match", "fullmatch"}
SIZE = 40_000
LIMIT = 0.35  # seconds of processor; tries by each place take 1 to 100
# Calls whose pattern is a variable, by its expression: why that is no hole.
VARIABLE = {
    (
        "campaigns/audit/erasure.py",
        "f'(?<![{_WORD}]){re.escape(needle)}(?![\\\\w-]|\\\\.\\\\w)'",
    ): "one escaped text between two looks around",
    ("campaigns/content/html/markup.py", "f'</{name}'"): "four constant words",
    (
        "campaigns/content/liquid/strip_tags.py",
        "f'</\\\\s*{name}\\\\s*>'",
    ): "two constant words; blanks between two characters that are none",
    ("deliveries/mail/text_patterns.py", "any_of(*alternatives)"): "each call of words() is tried",
    ("deliveries/mail/qualification/safe_patterns.py", "any_of(*alternatives)"): "each call of signs() is tried",
    (
        "deliveries/mail/qualification/engine.py",
        "expression",
    ): "built-in rules are tried, the ways of others counted (safe_patterns.py)",
    (
        "deliveries/mail/qualification/engine.py",
        "without_accents(expression)",
    ): "conditions of rules see 12 characters (_holds)",
}
CATEGORIES = {
    c.CATEGORY_DIGIT: r"\d",
    c.CATEGORY_NOT_DIGIT: r"\D",
    c.CATEGORY_SPACE: r"\s",
    c.CATEGORY_NOT_SPACE: r"\S",
    c.CATEGORY_WORD: r"\w",
    c.CATEGORY_NOT_WORD: r"\W",
}
# Patterns that would be slow on a long text, and see a short one.
SHORT = {r"[A-Za-z0-9-]+;[!-~]{1,500}": "the simulator's ORCPT: a whole parameter of a command's line"}


class Found(NamedTuple):
    """A pattern, where it stands, and the methods by which it is used ('' where that is elsewhere)."""

    place: str
    pattern: re.Pattern[Any]
    methods: frozenset[str]


def modules() -> Iterator[Path]:
    for app in ("campaigns", "deliveries", "reporting", "config"):
        yield from (path for path in sorted((ROOT / app).rglob("*.py")) if "migrations" not in path.parts)


def in_module(path: Path) -> Iterator[Found]:
    """The patterns of a module: its source says where, and the module itself what they are."""
    name = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _of_re(node)]
    if not calls:
        return
    module = importlib.import_module(name.removesuffix(".py").replace("/", "."))
    used: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used.setdefault(node.value.id, set()).add(node.attr)
    names = {
        id(node.value): node.targets[0].id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for call in calls:
        method = _of_re(call)
        if method in OURS and getattr(module, method, None) is not OURS[method]:
            continue
        if (name, ast.unparse(call.args[0])) in VARIABLE:
            continue
        found = _value(call, vars(module), method)
        methods = used.get(names.get(id(call), ""), set()) & FUNCTIONS if method in {"compile", *OURS} else {method}
        yield Found(f"{name}:{call.lineno}", found, frozenset(methods))


def _of_re(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "re":
        return function.attr if function.attr in FUNCTIONS else ""
    return function.id if isinstance(function, ast.Name) and function.id in OURS else ""


def _value(call: ast.Call, names: dict[str, Any], method: str) -> re.Pattern[Any]:
    """The call's pattern with its flags, as the module itself makes it. Raises NameError for one that is a variable."""
    evaluated = (
        call
        if method in {"compile", *OURS}
        else ast.Call(
            ast.Attribute(ast.Name("re", ast.Load()), "compile", ast.Load()),
            [call.args[0], *call.args[3 if method.startswith("sub") else 2 :]],
            [],
        )
    )
    made = eval(compile(ast.fix_missing_locations(ast.Expression(evaluated)), "here", "eval"), dict(names))
    return made.pattern if isinstance(made, Searcher) else made


def _sample(nodes: Iterable[Any]) -> str:
    """A text that the nodes match, the shortest but for what may be left out."""
    return "".join(map(_sample_of, nodes))


def _sample_of(node: Any) -> str:
    kind, value = node
    if kind is c.LITERAL:
        return chr(value)
    if kind is c.NOT_LITERAL:
        return "b" if value == ord("a") else "a"
    if kind is c.IN:
        return _member(value)
    if kind is c.BRANCH:
        return _sample(value[1][0])
    if kind in (c.SUBPATTERN, c.ATOMIC_GROUP):
        return _sample(value[-1] if kind is c.SUBPATTERN else value)
    if kind in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
        return _sample(value[2]) * (value[0] or 1)
    return "a" if kind is c.ANY else ""


def _member(items: Any) -> str:
    """A character of a class: such as are in many classes come first."""
    one = re.compile(_class(items))
    return next(
        (chr(code) for code in (97, 52, 32, 45, *range(33, 127), 9, 10, 13, 23443) if one.match(chr(code))), "a"
    )


def _class(items: Any) -> str:
    negated, inner = items[0][0] is c.NEGATE, []
    for kind, value in items:
        if kind is c.LITERAL:
            inner.append(re.escape(chr(value)))
        elif kind is c.RANGE:
            inner.append(f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}")
        elif kind is c.CATEGORY:
            inner.append(CATEGORIES[value])
    return f"[{'^' * negated}{''.join(inner)}]"


def _repeats(nodes: Iterable[Any], before: str = "") -> Iterator[tuple[str, str]]:
    """(what stands before, what repeats) of each part that may repeat often."""
    for node in nodes:
        kind, value = node
        if kind in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            if value[1] >= 20:
                yield before, _sample(value[2])
            yield from _repeats(value[2], before)
        elif kind is c.BRANCH:
            for branch in value[1]:
                yield from _repeats(branch, before)
        elif kind is c.SUBPATTERN:
            yield from _repeats(value[-1], before)
        elif kind in (c.ASSERT, c.ASSERT_NOT):
            yield from _repeats(value[1], before)
        elif kind is c.ATOMIC_GROUP:
            yield from _repeats(value, before)
        before += _sample_of(node)


def texts_of(pattern: re.Pattern[Any]) -> Iterator[str]:
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    seen = dict.fromkeys(_repeats(_parser.parse(source, pattern.flags & ~re.UNICODE & ~re.DEBUG)))
    for before, body in list(seen)[:60]:
        for piece, head in ((body or "a", before), (before + (body or "a"), ""), (before + (body or "a") * 50, "")):
            yield head + piece * (SIZE // len(piece))


def slow_texts(found: Found) -> list[str]:
    """The texts on which the pattern is slow."""
    pattern = found.pattern
    use = pattern.match if found.methods and found.methods <= ANCHORED else lambda text: pattern.sub(text[:0], text)
    slow = []
    for text in texts_of(pattern):
        given = text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text
        if spent(partial(use, given), LIMIT + 0.05) >= LIMIT:
            slow.append(text[:60])
    return slow


FOUND = [found for path in modules() for found in in_module(path)]


def test_the_source_is_searched_as_a_whole() -> None:
    assert len(FOUND) > 100 and len({found.place.split(":")[0] for found in FOUND}) > 30


@pytest.mark.parametrize("app", ["campaigns", "deliveries", "reporting", "config"])
def test_every_pattern_of_the_product_is_linear_on_texts_made_of_its_own_parts(app: str) -> None:
    mine = [found for found in FOUND if found.place.startswith(app) and found.pattern.pattern not in SHORT]
    assert {found.place: slow for found in mine if (slow := slow_texts(found))} == {}


def test_every_rule_is_quick_on_texts_made_of_its_own_parts() -> None:
    patterns = {rule.name: searcher(rule.pattern, trusted=True).pattern for rule in DEFAULT_RULES if rule.pattern}
    slow = [
        (name, text[:60])
        for name, pattern in patterns.items()
        for text in texts_of(pattern)
        if spent(partial(pattern.search, text[:4000]), LIMIT) >= LIMIT / 2
    ]
    assert slow == []
