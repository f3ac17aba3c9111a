"""Whatever somebody writes into a message, a file or a formula is read in little time, or refused with words."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

import pytest

from campaigns.content import alternative_part, links
from campaigns.content.compile import compile_content
from campaigns.content.html import entities, markup, style_cost, styles
from campaigns.content.problems import ContentError
from campaigns.content.template_source import read
from campaigns.scheduling.date_formula import read_date
from campaigns.targeting.csv_profiles import FileError, ProfileFile
from deliveries.lifecycle.proofs import proof_content
from tests.hostile import shapes, slow_ones, spent

NOW = datetime(2026, 1, 1, tzinfo=UTC)
# Liquid has its own budget (sandbox.py).
LIQUID = ("outputs", "tags")


def page(html: str) -> None:
    with suppress(markup.Unclosed, markup.Crowded):
        found = markup.Page(html)
        [attribute.value for element in found.elements for attribute in element.attributes.values()]


def inlined(html: str) -> None:
    draft, problems = read("HTML", html)
    with suppress(markup.Unclosed, markup.Crowded):
        problems or styles.inline_styles(draft, markup.Page(draft.masked))


def made(text: str) -> None:
    draft, problems = read("HTML", text)
    with suppress(markup.Unclosed, markup.Crowded):
        problems or alternative_part.text_from_html(draft)
    draft, problems = read("Text", text)
    problems or alternative_part.html_from_text(draft)


def message(html: str, text: str = "") -> None:
    with suppress(ContentError):
        compile_content("a", html, text, fields=["first_name"])


def file(text: str) -> None:
    with suppress(FileError):
        list(ProfileFile(text.encode()).lines())


def parsed(text: str) -> None:
    with suppress(ValueError, RecursionError):
        json.loads(text)


PARSERS: dict[str, Callable[[str], object]] = {
    "page": page,
    "tag": lambda text: page(f"<a {text}>"),
    "value": lambda text: page(f'<a b="{text}">'),
    "sheet": lambda text: inlined(f"<style>{text}</style><p class=a>x</p>"),
    "below a sheet": lambda text: inlined(f"<style>a{{color:red}} .b .c{{top:0}}</style>{text}"),
    "the other part": made,
    "message of HTML": message,
    "message of text": lambda text: message("", text),
    "link": lambda text: message('<a href="http://a.example/{}">x</a>'.format(text.replace('"', ""))),
    "kind of a URL": links._kind,
    "proof": lambda text: proof_content.marked({"html": text, "text": "", "subject": "", "fields": []}),
    "entities": entities.unescape,
    "file's first line": file,
    "file": lambda text: file(f"email,city\n{text}"),
    "date": lambda text: read_date(f"2026{text}Z", NOW, ZoneInfo("UTC")),
    "JSON": parsed,
}
QUICK = {name: PARSERS[name] for name in ("sheet", "message of HTML", "message of text", "file")}


def test_forty_kilobytes_of_any_shape_take_less_than_half_a_second() -> None:
    assert {what: time for what, time in slow_ones(QUICK, 40_000, 0.5).items() if what[1] not in LIQUID} == {}


@pytest.mark.slow
def test_a_megabyte_of_any_shape_takes_a_second_at_most_and_a_file_of_as_many_bad_lines_three() -> None:
    alone = {name: parser for name, parser in PARSERS.items() if name != "file"}
    slow = slow_ones(alone, 1_000_000, 1.0) | slow_ones({"file": PARSERS["file"]}, 1_000_000, 3.0)
    assert {what: time for what, time in slow.items() if what[1] not in LIQUID} == {}


def test_four_thousand_body_ends_cost_a_proof_nothing() -> None:
    content = {"html": "</body>" * 4_000 + "x" * 500_000, "text": "", "subject": "", "fields": []}
    assert spent(partial(proof_content.marked, content)) < 0.3
    assert proof_content.marked(content)["html"].endswith("</p></body>" + "x" * 500_000)


@pytest.mark.parametrize("address", ["http://a.example/" + ")" * 1_980 + " ", "http://a.example/" + ").)" * 660 + " "])
def test_two_hundred_kilobytes_of_addresses_in_brackets_are_read_at_once(address: str) -> None:
    draft, _problems = read("Text", address * (200_000 // len(address)))
    assert spent(partial(links.link_places, draft)) < 0.3


@pytest.mark.parametrize(
    ("css", "html"),
    [
        ("".join(f".a{{c{n}:b}}" for n in range(3_000)), "<p class=a>x</p>" * 3_000),
        ("p{a:b}" * 19_000, "<p>x</p>" * 19_000),
        (",".join([".a"] * 19_000) + "{b:c}", "<p class=a>x</p>" * 19_000),
        (".a" * 19_000 + "{b:c}", "<p class=a>x</p>" * 19_000),
        ("@media x{" + "*{a:b;c:d}" * 9_000, "<p>x</p>" * 9_000),
        ("/*}{*/" + ".\\61{b:c}" * 19_000, "<p class=a>x</p>" * 19_000),
        ('x{content:"{"}' + "p{a:b}" * 19_000, "<p>x</p>" * 19_000),
    ],
)
def test_styles_that_would_take_the_inliner_minutes_stay_where_they_are(css: str, html: str) -> None:
    draft, _problems = read("HTML", f"<style>{css}</style>{html}")
    found = markup.Page(draft.masked)
    assert spent(partial(styles.inline_styles, draft, found)) < 1.5
    _edits, problems = styles.inline_styles(draft, found)
    assert [problem.code for problem in problems] == ["style-not-inlined"] or ".a.a" in css


def test_a_large_newsletter_is_far_from_the_inliners_budget() -> None:
    css = "".join(f".c{n} td, .c{n} p {{ color: red; font-size: 12px; padding: 0 {n}px }}" for n in range(200))
    html = "".join(f'<table class="c{n % 200}"><tr><td><p>x</p></td></tr></table>' for n in range(800))
    found = markup.Page(f"<style>{css}</style>{html}")
    assert style_cost.work([css], found.elements) < style_cost.MOST / 3


def test_a_number_too_long_to_be_read_is_no_character() -> None:
    for number, expected in (("9" * 9_999, "\ufffd"), ("0" * 9_999 + "65", "A"), ("65", "A"), ("0" * 9_999, "\ufffd")):
        assert entities.unescape(f"&#{number};x") == f"{expected}x"


def test_no_shape_makes_a_message_that_fails_otherwise_than_with_words() -> None:
    for _shape, text in shapes(2_000):
        message(text)
        message("", text)
