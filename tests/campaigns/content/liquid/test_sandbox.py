"""The sandbox: what templates may say, and what happens to those that want too much."""

from __future__ import annotations

import pytest

from campaigns.content.compile import compile_content
from campaigns.content.problems import ContentError, RenderError

NAMES = ["first_name", "country", "birth_date", "attributes.points", "loyalty"]


def text(template: str, **profile: str) -> str:
    return compile_content("s", "", template, fields=NAMES).render(profile).text.removesuffix("\n")


def first_problem(template: str) -> tuple[int, str]:
    with pytest.raises(ContentError) as caught:
        compile_content("s", "", template, fields=NAMES)
    return caught.value.problems[0].line, caught.value.problems[0].message


@pytest.mark.parametrize(
    "template",
    [
        "{{ first_name }}",
        "{{ profile.first_name }}",
        "{{ profile['first_name'] }}",
        "{{ first_name | default: 'x' }}",
        "{% if first_name %}Ann{% endif %}",
        "{%- echo first_name -%}",
        "{% unless first_name == blank %}Ann{% endunless %}",
        "{% if first_name != nil %}Ann{% endif %}",
        "{% case first_name %}{% when 'Bob' %}B{% when 'Ann' %}Ann{% endcase %}",
        "{% assign n = first_name | append: '' %}{% if n %}Ann{% endif %}",
        "{% comment %}{{ nobody }}{% endcomment %}{% # note %}Ann",
    ],
)
def test_the_same_name_in_many_ways(template: str) -> None:
    assert text(template, first_name="Ann") == "Ann"


@pytest.mark.parametrize("path", ["attributes.points", "profile.attributes.points"])
def test_attributes_go_by_their_prefix(path: str) -> None:
    assert text(f"{{{{ {path} }}}}", **{"attributes.points": "7"}) == "7"


def test_attributes_may_also_be_known_by_bare_names() -> None:
    assert text("{{ profile.attributes.loyalty }}", loyalty="gold") == "gold"


@pytest.mark.parametrize(
    "template",
    [
        "{{ first_name }}",
        "{% if first_name %}x{% endif %}",
        "{% if first_name and country %}x{% endif %}",
        "{% if first_name != nil %}x{% endif %}",
        "{% case first_name %}{% when nil %}{% else %}x{% endcase %}",
        "{% assign n = first_name %}{% if n %}x{% endif %}",
    ],
)
@pytest.mark.parametrize("profile", [{}, {"first_name": ""}])
def test_an_empty_field_is_nothing_and_false(template: str, profile: dict[str, str]) -> None:
    assert text(template, **profile) == ""


@pytest.mark.parametrize(
    ("template", "line", "words"),
    [
        ("a\n{{ fist_name }}", 2, 'no field is called "fist_name"; did you mean "first_name"?'),
        ("{{ profile.adress }}", 1, 'no field is called "profile.adress"'),
        ("\n\n{{ country | upcsae }}", 3, 'no filter is called "upcsae"; did you mean "upcase"?'),
        ("\n{% fore x in country %}", 2, 'no tag is called "fore"; did you mean "for"?'),
        ("\n{% if country %}\n", 2, "{% if %} is never closed by {% endif %}"),
        ("{% if country %}\n{% endfor %}{% endif %}", 2, "{% endfor %} stands where {% if %} of line 1 is still open"),
        ("\n{% endif %}", 2, "{% endif %} closes nothing"),
        ("{% else %}", 1, "{% else %} stands outside of case or for or if or unless"),
        ("a\n{{ country", 2, "{{ is never closed by }}"),
        ("a\n{% if country", 2, "{% is never closed by %}"),
        ("\n{{ country | }}", 2, "expected word, found end of expression"),
        ("\n{% if country == %}{% endif %}", 2, "expected a primitive expression, found end of expression"),
        ("{% if country %}{% else first_name %}{% endif %}", 1, "found an 'else' tag expression"),
        ("{{ country | truncate: 'x' }}", 1, "truncate: truncate expected an integer"),
        ("{{ country | append }}", 1, "append: append() missing 1 required positional argument"),
        ("{{ country | divided_by: 0 }}", 1, "divided_by: divided_by: can't divide by 0"),
        ("{{ '\U000f0000' }}", 1, "a character of the private planes"),
    ],
)
def test_a_mistake_is_told_with_its_line(template: str, line: int, words: str) -> None:
    found_line, message = first_problem(template)
    assert (found_line, message[: len(words)]) == (line, words)


def test_all_unknown_names_are_told_at_once() -> None:
    with pytest.raises(ContentError) as caught:
        compile_content("{{ a }}", "{{ b }}\n{{ c }}", "{{ d }}", fields=NAMES)
    assert [(p.where, p.line) for p in caught.value.problems] == [("Subject", 1), ("HTML", 1), ("HTML", 2), ("Text", 1)]


@pytest.mark.parametrize(
    "template",
    [
        "{% include 'x' %}",
        "{% render 'x' %}",
        "{% raw %}x{% endraw %}",
        "{% tablerow i in (1..2) %}",
        "{{ first_name.__class__ }}",
        "{{ first_name['__class__'] }}",
        "{{ profile[first_name] }}",
        "{{ now }}",
        "{{ 'now' | date: '%Y' }}",
        "{{ first_name | safe }}",
        "{{ first_name | base64_decode }}",
        "{{ profile }}",
        "{% for i in (1..100000000) %}{% endfor %}",
        "{% for i in (1..first_name) %}{% endfor %}",
        "{{ (1..100000000) | join: '' }}",
        "{% assign first_name = country %}",
        "{% assign profile = country %}",
        "{% for country in (1..2) %}{% endfor %}",
        "{{" + " x" * 600 + "}}",
        "{{ country }}" * 2001,
        "{% if country %}" * 40 + "{% endif %}" * 40,
        "{{ _link_0 }}",
        "{{ _pixel }}",
    ],
)
def test_the_sandbox_refuses(template: str) -> None:
    first_problem(template)


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in (1..999) %}{% for j in (1..999) %}{% endfor %}{% endfor %}",
        "{% assign x = 'ab' %}{% for i in (1..99) %}{% assign x = x | append: x %}{% endfor %}",
        "{% assign x = 9 %}{% for i in (1..99) %}{% assign x = x | times: x %}{% endfor %}{{ x }}",
        "{{ first_name | replace: '', first_name }}",
        "{{ first_name | split: '' | join: first_name }}",
        "{{ first_name | divided_by: country }}",
        "{{ country | truncate: country }}",
    ],
)
def test_a_template_that_wants_too_much_fails_for_the_recipient(template: str) -> None:
    with pytest.raises(RenderError, match=r"^(HTML|Text): "):
        text(template, first_name="1" * 5000, country="x" * 900)


def test_many_unclosed_braces_are_refused_in_no_time() -> None:
    assert first_problem("{{" * 1_000_000) == (1, "{{ is never closed by }}")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("1990-02-03", "03 Feb"),
        ("1990-02-03T10:00:00+02:00", "03 Feb"),
        ("", ""),
        ("soon", "soon"),
        ("99999999", "99999999"),
    ],
)
def test_dates_are_iso_dates_or_stay_as_they_are(value: str, shown: str) -> None:
    assert text("{{ birth_date | date: '%d %b' }}", birth_date=value) == shown
