"""Both ways of filling a template, segments and python-liquid, must give the same text or fail alike."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaigns.content import Compiled, Part, Untracked, compile_content
from campaigns.problems import ContentError

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
        st.builds("{{% if {} %}}{}{{% elsif {} %}}{}{{% else %}}{}{{% endif %}}".format,
                  conditions, inner, conditions, inner, inner),
        st.builds("{{% unless {} -%}}{}{{% endunless %}}".format, conditions, inner),
        st.builds("{{% comment %}}{}{{% endcomment %}}".format, inner),
        st.builds(
            lambda path, arms, other: f"{{% case {path} %}}"
            + "".join(f"{{% when {', '.join(choices)} %}}{text}" for choices, text in arms)
            + f"{{% else %}}{other}{{% endcase %}}",
            st.sampled_from(PATHS), whens, inner,
        ),
    )  # fmt: skip


def sequences(*pieces: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.one_of(*pieces), max_size=3).map("".join)


flat = sequences(constants, outputs)
templates = sequences(outputs, blocks(flat), blocks(sequences(constants, outputs, blocks(flat))))
values = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["FR", "1990-02-03", "<b>&amp;", "a,b,c", "\r\n.x\r", " \t", "12", "0", "%0D%0A+", "\ud800"]),
)
profiles = st.dictionaries(st.sampled_from(NAMES), values)


def compiled(template: str) -> Compiled | None:
    try:
        return compile_content(template, template, template, fields=NAMES)
    except ContentError:  # a filter that rejects its literal arguments
        return None


def outcome(fill: object) -> str:
    try:
        return fill()  # type: ignore[operator, no-any-return]
    except Exception:
        return "fails"


def both_ways(part: Part, message: Compiled, profile: dict[str, str]) -> tuple[str, str]:
    urls = Untracked(message, profile, "https://o.example/?a&b", "https://m.example/", 'https://p.example/"')
    return (
        outcome(lambda: part.by_segments(part.segments or (), profile, urls)),
        outcome(lambda: part.by_liquid(profile, urls)),
    )


@settings(max_examples=300, deadline=None)
@given(templates, profiles)
@example("{{ first_name | default: 'x<' }}{{ birth_date | date: '%Y' }}", {"birth_date": "2000-01-01"})
@example("{% if first_name %}a{% else %}b{% endif %}{% if country == nil %}c{% endif %}", {"first_name": ""})
@example("{% case country %}{% when 'FR', 'FR' %}twice{% when nil %}none{% endcase %}", {"country": "FR"})
@example("a{% if first_name %} \n{% endif %}b", {"first_name": "x"})
@example("{{ first_name | url_decode }}", {"first_name": "%0D%0A"})
def test_segments_and_liquid_give_the_same(template: str, profile: dict[str, str]) -> None:
    message = compiled(template)
    for part in (message.subject, message.html, message.text) if message else ():
        assert part.segments is not None, "everything this grammar makes is simple"
        fast, slow = both_ways(part, message, profile)
        assert fast == slow


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
