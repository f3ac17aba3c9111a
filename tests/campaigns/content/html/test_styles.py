"""Styles are inlined without touching the Liquid or the structure around it."""

from __future__ import annotations

from campaigns.content.compile import Compiled, compile_content

HEAD = "<html><head><style>{}</style></head><body>\n"


def message(css: str, body: str) -> Compiled:
    return compile_content("s", HEAD.format(css) + body, "text", fields=["first_name", "width"])


def inlined(css: str, body: str) -> str:
    return message(css, body).source.html


def test_rules_become_style_attributes_and_leave_the_sheet() -> None:
    assert inlined("p { color: red }", "<p class=x>a</p>") == HEAD.format("") + '<p style="color: red;" class=x>a</p>'


def test_an_own_style_wins_and_keeps_its_liquid() -> None:
    shown = inlined(
        "td { color: red; margin: 0 }", '<table><td style="color: blue; width: {{ width }}px">a</td></table>'
    )
    assert '<td style="margin: 0;color: blue;width: {{ width }}px">' in shown


def test_quotes_in_rules_are_escaped() -> None:
    assert '<p style="font-family: &quot;A B&quot;, c;">' in inlined("p { font-family: 'A B', c }", "<p>a</p>").replace(
        "'", "&quot;"
    )


def test_what_cannot_be_inlined_stays_in_the_sheet() -> None:
    css = "p { color: red } a:hover { color: blue } @media (max-width: 600px) { p { margin: 0 } }"
    sheet = inlined(css, "<p>a</p>").partition("</style>")[0]
    assert "color: red" not in sheet
    assert "a:hover { color: blue; }" in sheet
    assert "@media (max-width: 600px) { p { margin: 0 } }" in sheet


def test_liquid_around_table_rows_stays_where_it_was() -> None:
    body = (
        "<table>{% if first_name %}<tr><td>{{ first_name }}{% else %}<tr><td>b{% endif %}</td></tr>"
        "{% for i in (1..2) %}<tr><td>{{ i }}</td></tr>{% endfor %}</table>"
    )
    assert inlined("td { color: red }", body) == HEAD.format("") + body.replace("<td>", '<td style="color: red;">')


def test_an_element_that_depends_on_liquid_keeps_the_sheet_and_says_so() -> None:
    body = '<p class="{{ first_name }}">a</p>\n<p {% if width %}class="x"{% endif %}>b</p><p>c</p>'
    compiled = message("p { color: red }", body)
    assert compiled.source.html == HEAD.format("p { color: red }") + body.replace("<p>", '<p style="color: red;">')
    assert [(p.code, p.line) for p in compiled.problems] == [("style-not-inlined", 2), ("style-not-inlined", 3)]


def test_a_sheet_with_liquid_stays_as_it_is_and_says_so() -> None:
    compiled = message("p { width: {{ width }}px }", "<p>a</p>")
    assert compiled.source.html == HEAD.format("p { width: {{ width }}px }") + "<p>a</p>"
    assert compiled.problems[0].code == "style-not-inlined"


def test_compiling_the_frozen_source_again_changes_nothing() -> None:
    compiled = message(
        "p { color: red } a:hover { top: 1px }", '<p>{{ first_name }} <a href="https://a.example">A</a></p>'
    )
    source = compiled.source
    again = compile_content(source.subject, source.html, source.text, fields=["first_name", "width"])
    assert again.source == source
    assert [(link.url, link.index) for link in again.links] == [(link.url, link.index) for link in compiled.links]
