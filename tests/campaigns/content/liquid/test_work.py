"""The budget of work: what is refused, with which words, what passes, and the far net beneath."""

from __future__ import annotations

import pytest

from campaigns.content.checks import check_content, stopping
from campaigns.content.compile import Compiled, Untracked, compile_content
from campaigns.content.liquid import work
from campaigns.content.liquid.work import LOOK_EVERY, MOST, Meter, OutOfTime, TooMuchWork
from campaigns.content.problems import ContentError, PutOff, RenderError

from .heavy_templates import ATTACK, HEAVY, often, within

NAMES = ["first_name", "country", "attributes.products"]
CORE = ["the attack", "long outputs", "lists", "whens that match", "variables"]  # the others come with the slow ones
PRODUCTS = "|".join(";".join(f"Field {j} of product {i} here" for j in range(10)) for i in range(200))
SHOP = """{% assign products = attributes.products | split: "|" %}<table>{% for p in products %}
{% assign cells = p | split: ";" %}<tr class="{% cycle 'odd', 'even' %}">{% for cell in cells %}<td style="padding:4px">
{% if forloop.first %}<b>{{ cell | escape }}</b>{% else %}{{ cell | default: "none" }}{% endif %}</td>{% endfor %}</tr>
{% endfor %}</table>"""


def written(html: str = "", text: str = "", subject: str = "s") -> Compiled:
    return compile_content(subject, html, text, fields=NAMES)


def test_the_attack_is_as_long_as_it_was() -> None:
    assert 550 < len(ATTACK) < 700


@pytest.mark.parametrize("name", [n if n in CORE else pytest.param(n, marks=pytest.mark.slow) for n in HEAVY])
def test_what_takes_too_much_work_is_refused_in_bounded_time(name: str) -> None:
    with within(5), pytest.raises(RenderError, match="it does more work than one message may"):
        written(text=HEAVY[name]).render({"country": "FR"})


def test_the_words_name_the_innermost_loop_and_its_line_as_staff_wrote_it() -> None:
    html = "<style>\np { color: red }\n</style>\n<p>\n" + often("\n{% for k in (1..900) %}x{% endfor %}") + "</p>"
    with pytest.raises(RenderError) as caught:
        written(html, "x").render({})
    assert str(caught.value) == (
        "HTML: it does more work than one message may (more than 300,000 units); shorten or simplify the loop in line 6"
    )


def test_the_parts_share_one_budget() -> None:
    half = "{% for i in (1..250) %}{% for j in (1..200) %}{{ country }}{% endfor %}{% endfor %}"
    written("<p>x", half).render({})
    with pytest.raises(RenderError, match="more work"):
        written(half, half).render({})


def test_two_hundred_products_of_ten_fields_pass_with_room_in_both_parts() -> None:
    compiled = written(SHOP)
    meter = compiled.meter()
    for part in (compiled.text, compiled.html):
        part.render({"attributes.products": PRODUCTS}, Untracked(compiled, {}), meter)
    assert LOOK_EVERY < meter.spent < MOST / 2


@pytest.mark.parametrize("where", ["HTML", "Text"])
def test_checking_a_message_tries_it_and_tells_the_part(where: str) -> None:
    parts = {"html": "<p>x", "text": "x"} | {where.lower(): HEAVY["outputs"]}
    found = [problem for problem in check_content("s", **parts, fields=NAMES) if problem.code == "work"]
    assert [(problem.where, problem.severity) for problem in found] == [(where, "error")]
    assert "shorten or simplify the loop in line 1" in found[0].message
    assert stopping(written(**parts))


def test_a_loop_over_a_field_is_tried_with_a_field_that_has_many_parts() -> None:
    loop = "{% assign words = first_name | split: ' ' %}{% for w in words %}" + often("x") + "{% endfor %}"
    assert "work" in [problem.code for problem in check_content("s", "", loop, fields=NAMES)]


def test_links_share_a_budget_of_their_own_and_those_beyond_it_lead_nowhere() -> None:
    url = "https://a.example/{% for i in (1..1000) %}{% for j in (1..150) %}{% endfor %}{% endfor %}"
    with within(8):
        seen = written(f'<a href="{url}">x</a>' * 50, "x").render({}).html
    assert (seen.count('"https://a.example/"'), seen.count('"#"')) == (1, 49)


def test_a_click_has_a_budget_too() -> None:
    url = "https://a.example/" + HEAVY["outputs"]
    with within(5), pytest.raises(RenderError, match="more work"):
        written(f'<a href="{url}">x</a>', "x").destination(0, {})


def test_a_link_that_no_click_could_follow_is_refused_when_the_message_is_prepared() -> None:
    inner = "{% if first_name == 'x' %}a{% endif %}"
    whole = f"{{% for i in (1..1000) %}}{{% for j in (1..1000) %}}{inner}{{% endfor %}}{{% endfor %}}"
    with within(5):
        html = f'<p>Hello</p><a href="https://a.example/{whole}">x</a><a href="{{{{ unsubscribe_url }}}}">Stop</a>'
        found = check_content("Hello", html, "", fields=["first_name"])
    assert [(one.code, one.severity) for one in found if one.code == "work"] == [("work", "error")]


# --- the far net ---------------------------------------------------------------------------------------------------


def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor on which a thousandth of the budget takes as long as the net allows."""
    ticks = iter(range(1, 1_000_000))
    monkeypatch.setattr(work, "thread_time", lambda: next(ticks) * 2 * work.NET)


def test_a_machine_that_is_far_too_slow_puts_the_message_off(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_clock(monkeypatch)
    with pytest.raises(PutOff, match=r"^HTML: filling it took too long on this server; it is tried again later$"):
        written("{% for i in (1..300) %}{% for j in (1..300) %}x{% endfor %}{% endfor %}", "x").render({})


def test_the_budget_comes_before_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_clock(monkeypatch)
    with pytest.raises(TooMuchWork):
        Meter(most=LOOK_EVERY).charge(LOOK_EVERY + 1)
    meter = Meter()
    meter.charge(LOOK_EVERY + 1)
    with pytest.raises(OutOfTime):
        meter.charge(LOOK_EVERY + 1)


def test_a_short_message_never_asks_for_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "thread_time", None)
    assert written("<p>{{ first_name | upcase }}", "x").render({"first_name": "a" * 5000})


# --- parsing -------------------------------------------------------------------------------------------------------

BIG = 200_000
SHAPES = {
    "raw in a comment": "{% comment %}" + "{% raw %}" * 20_000 + "{% endcomment %}",
    "doc in a comment": "{% comment %}" + "{% doc %}" * 20_000 + "{% endcomment %}",
    "comments in comments": "{% comment %}" * 7_000 + "{% endcomment %}" * 7_000,
    "comments": "{% comment %}{% endcomment %}" * 7_000,
    "white space": ("{{" + " " * 900 + "}}") * 200,
    "white space behind": ("{{ country" + " " * 900 + "}}") * 200,
    "trimmed": "{{- country -}}   " * 11_000,
    "unknown tags": "{% x %}" * 28_000,
    "unknown names": "{{ x }}" * 28_000,
    "unknown filters": "{{ country | x }}" * 12_000,
    "brackets": ("{{ " + "a[" * 480 + " }}") * 200,
    "parentheses": ("{% if " + "(" * 900 + " %}{% endif %}") * 200,
    "conditions": ("{% if " + "country and " * 80 + " country %}{% endif %}") * 200,
    "filters": ("{{ country" + "|upcase" * 130 + "}}") * 200,
    "growing literals": ("{{ '1'" + "| replace: '1', '11'" * 40 + "}}") * 200,
    "quotes": "{{ '" + "\"'" * 450 + "}}" * 200,
    "blocks": "{% if country %}" * 12_000,
    "braces": "{{" * 100_000,
    "ends": "}}%}" * 50_000,
    "private characters": "\U000f0000" * BIG,
    "whens": "{% case country %}" + "{% when 'a' %}" * 14_000 + "{% endcase %}",
    "links": '<a href="https://a.example/{{ country }}">x</a>' * 4_000,
    "constant links": '<a href="https://a.example/">x</a>' * 6_000,
    "addresses in a text": "https://a.example " * 11_000,
    "elements": "<p>x</p>" * 25_000,
    "links that nobody closes": "<a href='https://a.example/'>x" * 1_900 + "<a>x" * 20_000 + "</a>" * 21_900,
    "signs": "<" * BIG,
    "conditions in an address": "<img src='" + "{% if country %}a{% else %}b{% endif %}" * 400 + "'>",
    "comments in an address": "<img src='" + "a{% comment %}{% endcomment %}" * 1_900 + "'>",
    "rules": "<style>" + "p{color:red}" * 10_000 + "</style>" + "<p>x</p>" * 10_000,
}


@pytest.mark.parametrize("name", SHAPES)
def test_reading_a_template_takes_bounded_time_whatever_its_shape(name: str) -> None:
    with within(5):
        try:
            compile_content("s", SHAPES[name], "", fields=NAMES).render({"country": "FR"})
        except (ContentError, RenderError) as error:
            assert 0 < len(str(error)) < 20_000


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ country }}" * 2_001, "more than 2,000 Liquid tags"),
        ("https://a.example " * 2_001, "more than 2,000 links"),
        (("{{ country" + " " * 900 + "}}") * 120, "more than 100,000 characters of Liquid; write less of it"),
    ],
)
def test_a_template_with_too_much_liquid_is_refused_with_words(template: str, words: str) -> None:
    with pytest.raises(ContentError) as caught:
        written(text=template)
    assert caught.value.problems[0].message == words
