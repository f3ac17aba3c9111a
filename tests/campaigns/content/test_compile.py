"""Compiling a message, rendering it for one profile, and what the checks say about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.content.checks import check_content
from campaigns.content.compile import compile_content, one_line
from campaigns.content.problems import ContentError, Problem, RenderError
from campaigns.content.template_source import MAX_SOURCE

NAMES = ["first_name", "country"]
GOOD = '<p>Hi {{ first_name }}</p><a href="{{ unsubscribe_url }}">Stop</a>'
GOOD_TEXT = "Hi {{ first_name }}\nStop: {{ unsubscribe_url }}"


def checked(subject: str = "Hi", html: str = GOOD, text: str = GOOD_TEXT, sender_name: str = "Shop") -> list[Problem]:
    return check_content(subject, html, text, fields=NAMES, sender_name=sender_name)


def test_values_are_escaped_in_html_alone() -> None:
    shown = compile_content("{{ first_name }}", "{{ first_name }}", "{{ first_name }}", fields=NAMES).render(
        {"first_name": "<b>&\"'"}
    )
    assert (shown.subject, shown.html, shown.text) == ("<b>&\"'", "&lt;b&gt;&amp;&#34;&#39;\n", "<b>&\"'\n")


@given(st.text())
def test_a_subject_is_one_line_whatever_the_profile_holds(name: str) -> None:
    subject = compile_content("Hi {{ first_name }}!", "x", "x", fields=NAMES).render({"first_name": name}).subject
    assert len(subject.splitlines()) == 1 or not set(subject) & set("\r\n\0\x85\u2028\u2029")
    assert subject == one_line(subject)


def test_only_the_fields_in_use_are_asked_for() -> None:
    compiled = compile_content("a", '<a href="https://a.example/{{ country }}">x</a>', "x", fields=NAMES)
    assert compiled.fields == {"country"}


def test_a_filter_that_fails_names_the_part() -> None:
    compiled = compile_content("a", "x", "{{ first_name | truncate: country }}", fields=NAMES)
    with pytest.raises(RenderError, match=r"^Text: truncate expected an integer, found str$"):
        compiled.render({"first_name": "a", "country": "b"})


def test_a_good_message_has_no_problems() -> None:
    assert checked() == []


@pytest.mark.parametrize(
    ("changes", "where", "severity", "code"),
    [
        ({"subject": " \n"}, "Subject", "error", "subject-missing"),
        ({"subject": "Hi\u202e"}, "Subject", "warning", "subject-characters"),
        ({"sender_name": "ceo@example.com"}, "Sender", "warning", "sender-characters"),
        ({"sender_name": "Shop\u200b"}, "Sender", "warning", "sender-characters"),
        ({"html": " ", "text": "\n"}, "HTML", "error", "content-empty"),
        ({"html": "<body><p> </p></body>", "text": ""}, "HTML", "error", "content-empty"),
        ({"html": "<p>x{{ unsubscribe_url }}</p>"}, "HTML", "warning", "optout-missing"),
        ({"text": "x"}, "Text", "warning", "optout-missing"),
        ({"html": GOOD + '<a href="https://a.example"></a>'}, "HTML", "warning", "url-label"),
        ({"html": GOOD + '<a href="https://a.example/?a&b">x</a>'}, "HTML", "warning", "url-ampersand"),
        ({"html": GOOD + "<!--" + "x" * 102 * 1024 + "-->"}, "HTML", "warning", "size-clipped"),
        ({"html": GOOD + "x" * MAX_SOURCE}, "HTML", "error", "size"),
        ({"html": GOOD + "<script>x</script>"}, "HTML", "error", "script"),
        ({"html": GOOD + '<a href=" java\nscript:x">x</a>'}, "HTML", "error", "script"),
        ({"html": GOOD + '<p onclick="x()">'}, "HTML", "warning", "event-handler"),
        ({"html": GOOD + "<iframe src=x></iframe>"}, "HTML", "warning", "dropped-element"),
        ({"html": GOOD + "<form></form>"}, "HTML", "warning", "dropped-element"),
        ({"html": GOOD + "<object></object>"}, "HTML", "warning", "dropped-element"),
        ({"html": GOOD + '<link rel="stylesheet" href="x.css">'}, "HTML", "warning", "dropped-element"),
        ({"html": GOOD + "{{ nobody }}"}, "HTML", "error", "syntax"),
    ],
)
def test_each_finding(changes: dict[str, str], where: str, severity: str, code: str) -> None:
    assert (where, severity, code) in [
        (problem.where, problem.severity, problem.code) for problem in checked(**changes)
    ]


@pytest.mark.parametrize("html", ["\n<a " * 100_000, "\n<p>x <!-- y" * 100_000, "\n<style>p {}"])
def test_an_unclosed_tag_is_told_at_once(html: str) -> None:
    problem = checked(html=html)[0]
    assert (problem.code, problem.line, problem.severity) == ("unclosed-tag", 2, "error")


@pytest.mark.parametrize("tag", ["div", "svg><td"])
def test_elements_nested_too_deep_for_the_inliner_keep_their_sheet(tag: str) -> None:
    html = GOOD + "<style>p { color: red }</style>" + f"<{tag}>" * 9_500
    assert [problem.code for problem in checked(html=html) if "nested" in problem.message] == ["style-not-inlined"]


@pytest.mark.parametrize(
    "text", ["https://a.example/" + ")" * 200_000, "https://a.example " * 2_000, "{{ first_name }} " * 2_000]
)
def test_odd_texts_are_read_in_linear_time(text: str) -> None:
    assert compile_content("a", "x", text, fields=NAMES)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"html": "<br>" * 20_001}, "too-many-elements"),
        ({"html": "<p" + " a" * 1_001 + ">"}, "too-many-elements"),
        ({"html": '<a href="https://a.example">x</a>' * 3_001}, "too-many-links"),
        ({"text": "https://a.example " * 3_001}, "too-many-links"),
    ],
)
def test_more_than_any_message_has_is_refused_with_words(changes: dict[str, str], code: str) -> None:
    assert [(problem.severity, problem.code) for problem in checked(**changes)] == [("error", code)]


@pytest.mark.parametrize(
    ("html", "text"), [("<p>a{", "x"), ("<body>a{</body>", "x"), ("x", "see {https://a.example/x} {"), ("{", "")]
)
def test_a_bracket_before_a_link_or_the_pixel_is_a_bracket(html: str, text: str) -> None:
    seen = compile_content("a", html, text, fields=NAMES).render({})
    assert "{" in (seen.html if "{" in html else seen.text)


def test_errors_come_first() -> None:
    found = checked(subject="", html="<p>x</p>", text="x")
    assert [problem.severity for problem in found] == ["error", "warning", "warning"]


def test_family_emoji_in_the_subject_are_no_trick() -> None:
    assert checked(subject="\U0001f468\u200d\U0001f469\u200d\U0001f467 Hi") == []


def test_a_script_is_told_with_its_line() -> None:
    assert [problem.line for problem in checked(html=GOOD + "\n\n<script>x</script>") if problem.code == "script"] == [
        3
    ]


def test_an_oversized_message_is_refused() -> None:
    with pytest.raises(ContentError, match=r"the message has 5\.0 MB; more than 5 MB is not sent"):
        compile_content("a", "é" * (MAX_SOURCE // 2), "x", fields=NAMES)
