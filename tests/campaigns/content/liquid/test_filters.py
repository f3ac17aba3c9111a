"""The filters: linear, within limits, and the same as python-liquid's where those serve."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from liquid import Environment, Markup
from liquid.exceptions import FilterError, LiquidError

from campaigns.content.liquid.filters import FILTERS, MAX_VALUE, Metered
from campaigns.content.liquid.sandbox import HTML, PLAIN
from campaigns.content.liquid.work import Meter

from .heavy_templates import fastest

SMALL, LARGE = 8_000, 64_000
SEEDS = (
    "a",
    "a ",
    " ",
    "\n",
    "\r\n",
    "<a ",
    "<a>",
    "<",
    "<!--",
    "<!--x>",
    "<script>",
    "</a",
    "<a x='",
    "&",
    "&amp;",
    "&#1;",
    "&" + "a" * 31,
    "%41é",
    "é",
    "Σ'",
    "ß",
    "a,",
    "'\"",
    "7",
    "\x1c",
    "aé",
)
ARGUMENTS: dict[str, list[list[Any]]] = {
    "append": [["x"]],
    "prepend": [["x"]],
    "remove": [["a"], ["aé"]],
    "remove_first": [["z"]],
    "remove_last": [["z"], ["aa"]],
    "replace": [["a", "b"], ["ab", "b"]],
    "replace_first": [["z", "b"]],
    "replace_last": [["z", "b"]],
    "split": [[","], [""], [" "]],
    "join": [[","]],
    "slice": [[2, LARGE]],
    "truncate": [[LARGE - 5]],
    "truncatewords": [[3], [LARGE]],
    "default": [["x"]],
    "date": [["%Y"]],
    "add_days": [[1]],
    "add_hours": [[1]],
    "at_least": [[1]],
    "at_most": [[1]],
    "divided_by": [[3]],
    "minus": [[1]],
    "modulo": [[3]],
    "plus": [[1]],
    "times": [[3]],
}
LISTS = {"uniq", "sort", "sort_natural", "join", "reverse", "first", "last", "size", "slice"}


def inputs(name: str, size: int) -> list[Any]:
    texts = [(seed * size)[:size] for seed in SEEDS]
    numbers: list[Any] = [[str(n) for n in range(size // 8)], [str(-n * 7919 % size) for n in range(size // 8)]]
    return texts + (numbers + [list(text) for text in texts[:4]] if name in LISTS else [])


def run(sandbox: Environment, name: str, value: Any, *args: Any) -> Any:
    found = sandbox.filters[name]
    assert isinstance(found, Metered)
    try:
        return found.run(Meter(most=10**9), value, *args)
    except (LiquidError, ValueError) as error:
        return type(error)


def library(name: str, sandbox: Environment, value: Any, *args: Any) -> Any:
    function = Environment(autoescape=sandbox.autoescape).filters[name]
    also = {"environment": sandbox} if getattr(function, "with_environment", False) else {}
    try:
        return function(value, *args, **also)
    except LiquidError as error:
        return type(error)


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_a_filter_takes_time_linear_in_what_it_gets(name: str) -> None:
    """Eight times as much may take eight times as long, not sixty-four; a hundredth of a second is never too long."""
    for sandbox in (PLAIN, HTML):
        for args in ARGUMENTS.get(name, [[]]):
            for small, large in zip(inputs(name, SMALL), inputs(name, LARGE), strict=True):
                took = fastest(lambda v=large: run(sandbox, name, v, *args), 1)  # type: ignore[misc]  # noqa: B023
                if took > 0.01:
                    before = fastest(lambda v=small: run(sandbox, name, v, *args))  # type: ignore[misc]  # noqa: B023
                    took = fastest(lambda v=large: run(sandbox, name, v, *args))  # type: ignore[misc]  # noqa: B023
                    assert took < 0.01 or took < 24 * before, (name, args, large[:20])


@pytest.mark.parametrize("name", ["remove_last", "replace_last"])
def test_the_last_occurrence_is_found_in_linear_time_whatever_is_looked_for(name: str) -> None:
    """python-liquid took 2.5 billion steps: str.rfind compares from behind, everywhere."""
    part = "b" + "a" * 30_000
    assert fastest(lambda: run(PLAIN, name, "a" * 90_000, part, *(["x"] if name == "replace_last" else [])), 1) < 0.5


words = st.text(st.sampled_from("ab \t\n\x1c\u2003é"), max_size=14)
strings = st.one_of(words, words.map(Markup))
parts = st.text(st.sampled_from("ab"), max_size=3)


@given(strings)
def test_squish_is_the_librarys(value: str) -> None:
    for sandbox in (PLAIN, HTML):
        found, wanted = run(sandbox, "squish", value), library("squish", sandbox, value)
        assert (found, isinstance(found, Markup)) == (wanted, isinstance(wanted, Markup))


@given(
    strings,
    st.one_of(st.integers(-2, 6), st.sampled_from(["2", "x", 2.7, None, 1 << 40])),
    st.sampled_from(["...", "", 7]),
)
def test_truncatewords_is_the_librarys(value: str, number: Any, end: Any) -> None:
    for sandbox in (PLAIN, HTML):
        found = outcome(run, sandbox, "truncatewords", value, number, end)
        assert found == outcome(library_of, sandbox, "truncatewords", value, number, end)


@given(strings, parts, parts)
@example("aba", "a", "")
@example("aa", "a", "b")
def test_the_last_occurrence_is_the_librarys(value: str, part: str, other: str) -> None:
    for sandbox in (PLAIN, HTML):
        assert run(sandbox, "remove_last", value, part) == library("remove_last", sandbox, value, part)
        found, wanted = (
            run(sandbox, "replace_last", value, part, other),
            library("replace_last", sandbox, value, part, other),
        )
        assert (found, type(found)) == (wanted, type(wanted))


@given(st.lists(st.one_of(words, st.integers(0, 3), st.booleans()), max_size=8))
def test_uniq_is_the_librarys(value: list[Any]) -> None:
    assert run(PLAIN, "uniq", value) == library("uniq", PLAIN, value)


@given(st.lists(st.text("ab", min_size=1), max_size=8), st.sampled_from([0, -1]))
def test_uniq_by_a_key_is_the_librarys(value: list[str], key: int) -> None:
    assert run(PLAIN, "uniq", value, key) == library("uniq", PLAIN, value, key)


pieces = st.sampled_from(
    [
        "text ",
        "a < b ",
        "1 > 0 ",
        "&amp;",
        "&nbsp;",
        "&#8364;",
        "<b>",
        "</b>",
        "<br/>",
        "<br />",
        "<BR>",
        '<a href="https://x.example/?a=1&b=2" title="a > b">',
        "<a title='it is \"so\"'>",
        "</a>",
        "<td colspan=2 x>",
        "<!-- a <b> comment -->",
        "<!DOCTYPE html>",
        "<?xml version='1.0'?>",
        "<p\nclass='x'\n>",
        "é😀",
        "<script>if (a < b) { x('</p>') }</script>",
        "<style>p > b { color: red }</style>",
        "<SCRIPT src=x></SCRIPT>",
    ]
)


@settings(deadline=None)
@given(st.lists(pieces, max_size=10).map("".join), st.booleans())
def test_strip_html_is_the_librarys_on_html_that_is_written_correctly(value: str, marked: bool) -> None:
    value = Markup(value) if marked else value
    for sandbox in (PLAIN, HTML):
        found, wanted = run(sandbox, "strip_html", value), library("strip_html", sandbox, value)
        assert (found, isinstance(found, Markup)) == (wanted, isinstance(wanted, Markup))


@given(st.text(st.sampled_from("ab<>/!-'\"= &;?"), max_size=40))
def test_strip_html_leaves_no_tag_that_is_closed(value: str) -> None:
    kept = run(PLAIN, "strip_html", value)
    assert len(kept) <= len(value)


@pytest.mark.parametrize(
    ("name", "value", "args", "words"),
    [
        ("append", "x" * MAX_VALUE, ["x"], "append makes more than 100,000 characters"),
        ("upcase", "ŉ" * 60_000, [], "upcase makes more than 100,000 characters"),
        ("replace", "a" * 50_000, ["", "b" * 50_000], "replace makes more than 100,000 characters"),
        ("join", list("a" * 50_000), ["b" * 50_000], "join makes more than 100,000 characters"),
        ("times", 1 << 9_000, [1 << 9_000], "times makes more than 3,000 characters"),
        ("date", "2026-01-01", ["%9999999d" * 20], "date: a form has 100 characters at most"),
    ],
)
def test_a_value_that_is_too_large_is_refused_with_words(name: str, value: Any, args: list[Any], words: str) -> None:
    with pytest.raises(FilterError) as caught:
        PLAIN.filters[name].run(Meter(), value, *args)
    assert caught.value.message == words


def outcome(act: Any, *args: Any) -> Any:
    try:
        found = act(*args)
    except Exception as error:
        return type(error)
    return found, type(found)


def library_of(sandbox: Environment, name: str, value: Any, *args: Any) -> Any:
    return library(name, sandbox, value, *args)
