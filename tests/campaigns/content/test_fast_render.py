"""Both ways of filling a template, segments and python-liquid, must give the same text or fail alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaigns.content.compile import Compiled, Part, Untracked, compile_content
from campaigns.content.liquid.work import MOST, Meter
from campaigns.content.problems import ContentError

NAMES = ["first_name", "country", "birth_date", "attributes.points"]
PATHS = ["first_name", "profile.first_name", "country", "birth_date", "attributes.points", "profile.attributes.points"]

constants = st.text(st.sampled_from("ab .<>&\"'=\n\t\r\\é€😀|}"), max_size=8)
literals = st.one_of(
    st.sampled_from(["x", "<b>", "&amp;", "a,b", "FR", ""]).map(lambda text: f'"{text}"'),
    st.integers(-3, 12).map(str),
    st.sampled_from(["1.5", "true", "false"]),
)
operands = st.one_of(st.sampled_from(PATHS), literals)
filters = st.one_of(
    st.sampled_from(["upcase", "downcase", "capitalize", "strip", "lstrip", "escape", "escape_once", "size", "squish"]),
    st.sampled_from(["strip_html", "newline_to_br", "strip_newlines", "url_encode", "url_decode", "abs", "first"]),
    st.builds("{}: {}".format, st.sampled_from(["default", "append", "prepend", "remove", "plus", "times"]), operands),
    st.builds("{}: {}, {}".format, st.sampled_from(["replace", "replace_first", "replace_last"]), operands, operands),
    st.builds("truncate: {}, {}".format, st.integers(0, 9), operands),
    st.builds("slice: {}, {}".format, st.integers(-2, 5), st.integers(0, 4)),
    st.builds("date: {}".format, st.sampled_from(['"%d %B %Y"', '"%d&nbsp;%b <i>"', "country"])),
    st.just('split: "," | join: " / "'),
)
outputs = st.builds(
    lambda left, steps, dash: "{{" + dash + " | ".join([f" {left}", *steps]) + f" {dash}" + "}}",
    operands,
    st.lists(filters, max_size=3),
    st.sampled_from(["", "", "-"]),
)
comparisons = st.one_of(
    st.sampled_from(PATHS),
    st.builds(
        "{} {} {}".format,
        st.sampled_from(PATHS),
        st.sampled_from(["==", "!=", "<>", "<", ">=", "contains"]),
        st.one_of(st.sampled_from(PATHS), st.sampled_from(['"FR"', '""', "nil", "blank", "empty", '"<b>"', "true"])),
    ),
)
conditions = st.lists(comparisons, min_size=1, max_size=3).flatmap(
    lambda tests: st.sampled_from(["and", "or"]).map(lambda word: f" {word} ".join(tests))
)


def blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    whens = st.lists(st.tuples(st.lists(operands, min_size=1, max_size=3), inner), min_size=1, max_size=3)
    return st.one_of(
        st.builds(
            "{{% if {} %}}{}{{% elsif {} %}}{}{{% else %}}{}{{% endif %}}".format,
            conditions,
            inner,
            conditions,
            inner,
            inner,
        ),
        st.builds("{{% unless {} -%}}{}{{% endunless %}}".format, conditions, inner),
        st.builds("{{% comment %}}{}{{% endcomment %}}".format, inner),
        st.builds(
            lambda path, arms, other: (
                f"{{% case {path} %}}"
                + "".join(f"{{% when {', '.join(choices)} %}}{text}" for choices, text in arms)
                + f"{{% else %}}{other}{{% endcase %}}"
            ),
            st.sampled_from(PATHS),
            whens,
            inner,
        ),
    )


def sequences(*pieces: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.one_of(*pieces), max_size=3).map("".join)


flat = sequences(constants, outputs)
templates = sequences(outputs, blocks(flat), blocks(sequences(constants, outputs, blocks(flat))))
long_texts = st.builds(lambda text, times: text * times, st.text(max_size=6), st.integers(20, 300))
values = st.one_of(
    st.text(max_size=12),
    long_texts,
    st.sampled_from(["FR", "1990-02-03", "<b>&amp;", "a,b,c", "\r\n.x\r", " \t", "12", "0", "%0D%0A+", "\ud800"]),
)
profiles = st.dictionaries(st.sampled_from(NAMES), values)


def compiled(template: str) -> Compiled | None:
    try:
        return compile_content(template, template, template, fields=NAMES)
    except ContentError:  # a filter that rejects its literal arguments
        return None


def outcome(fill: Callable[[Meter], str], meter: Meter) -> tuple[str, int]:
    """The text and the units that it took; how many were spent before a failure may differ."""
    try:
        return fill(meter), meter.spent
    except Exception:
        return "fails", 0


def both_ways(part: Part, message: Compiled, profile: dict[str, str], most: int = MOST) -> tuple[Any, Any]:
    address = "https://o.example/?a&b" + "x" * 99
    urls = Untracked(message, profile, address, "https://m.example/", 'https://p.example/"')
    fast = outcome(
        lambda meter: part.by_segments(part.segments or (), profile, urls, meter), Meter(message.weight, most)
    )
    return fast, outcome(lambda meter: part.by_liquid(profile, urls, meter), Meter(message.weight, most))


def simple_parts(message: Compiled | None) -> Iterator[Part]:
    for part in (message.subject, message.html, message.text) if message else ():
        assert part.segments is not None, "everything this grammar makes is simple"
        yield part


@settings(max_examples=300, deadline=None)
@given(templates, profiles)
@example("{{ first_name | default: 'x<' }}{{ birth_date | date: '%Y' }}", {"birth_date": "2000-01-01"})
@example("{% if first_name %}a{% else %}b{% endif %}{% if country == nil %}c{% endif %}", {"first_name": ""})
@example("{% case country %}{% when 'FR', 'FR' %}twice{% when nil %}none{% endcase %}", {"country": "FR"})
@example("a{% if first_name %} \n{% endif %}b", {"first_name": "x"})
@example("{{ first_name | url_decode }}", {"first_name": "%0D%0A"})
@example("{{ first_name }}{% if first_name == 'x' %}y{% endif %}", {"first_name": "<" * 500})
@example(
    "{% case country %}{% when 'FR', 'FR' %} {% case country %}{% when 'FR' %} {% endcase %}{% endcase %}",
    {"country": "FR"},
)
def test_segments_and_liquid_give_the_same_for_the_same_work(template: str, profile: dict[str, str]) -> None:
    message = compiled(template)
    for part in simple_parts(message):
        fast, slow = both_ways(part, message, profile)  # type: ignore[arg-type]
        assert fast == slow


@settings(max_examples=60, deadline=None)
@given(templates, st.dictionaries(st.sampled_from(NAMES), long_texts, min_size=2), st.integers(0, 300))
def test_segments_and_liquid_refuse_the_same(template: str, profile: dict[str, str], left: int) -> None:
    message = compiled(template)
    for part in simple_parts(message):
        fast, slow = both_ways(part, message, profile, most=message.weight + left)  # type: ignore[arg-type, union-attr]
        assert fast[0] == slow[0]


def test_variables_and_loops_are_left_to_liquid() -> None:
    template = '{% assign parts = country | split: "," %}{% for part in parts %}<{{ part }}>{% endfor %}'
    message = compile_content("Hi", "", template, fields=NAMES)
    assert message.needs_liquid
    assert message.subject.segments is not None
    assert message.render({"country": "a,b"}).text == "<a><b>\n"


def test_an_address_in_a_filter_is_left_to_liquid() -> None:
    message = compile_content("Hi", '<a href="{{ unsubscribe_url | append: "&x=1" }}">x</a>', "", fields=NAMES)
    assert message.needs_liquid
    html = message.render({}, Untracked(message, {}, "https://o.example/?a=1")).html
    assert 'href="https://o.example/?a=1&x=1"' in html.replace("&amp;", "&")
