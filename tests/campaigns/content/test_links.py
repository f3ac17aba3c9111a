"""Links are found where they stand, numbered, labelled, and lead where the content says."""

from __future__ import annotations

import pytest

from campaigns.content.compile import Compiled, Untracked, compile_content
from campaigns.content.links import destination
from campaigns.content.problems import RenderError

NAMES = ["first_name", "url"]


class Urls(Untracked):
    def link(self, index: int) -> str:
        return f"https://t.example/c/{index}?a&b"


def message(html: str = "", text: str = "") -> Compiled:
    return compile_content("s", html, text, fields=NAMES)


def tracked(compiled: Compiled, **profile: str) -> tuple[str, str]:
    shown = compiled.render(
        profile, Urls(compiled, profile, "https://o.example", "https://m.example", "https://p.example")
    )
    return shown.html, shown.text


@pytest.mark.parametrize(
    ("html", "url", "label", "kind"),
    [
        ('<a href="https://a.example/">A <b>b</b></a>', "https://a.example/", "A b", "tracked"),
        ("<a href='https://a.example/' data-label='Top'>A</a>", "https://a.example/", "Top", "tracked"),
        ("<A HREF=HTTPS://a.example/?x=1&amp;y=2>A</A>", "HTTPS://a.example/?x=1&y=2", "A", "tracked"),
        ('<a href="https://a.example/?a=1&copy=2">A</a>', "https://a.example/?a=1&copy=2", "A", "tracked"),
        ('<a href="https://a.example"><img alt="Logo"></a>', "https://a.example", "Logo", "tracked"),
        ('<map><area alt="East" href="https://a.example"></map>', "https://a.example", "East", "tracked"),
        ('<a href="https://a.example" data-track="never">A</a>', "https://a.example", "A", "never"),
        ('<a href="{{ unsubscribe_url }}">No more</a>', "{{ unsubscribe_url }}", "No more", "optout"),
        ('<a href="{{ optout_url }}">No more</a>', "{{ optout_url }}", "No more", "optout"),
        ('<a href="{{ mirror_url }}">Web</a>', "{{ mirror_url }}", "Web", "mirror"),
        (
            '<a href="{{ url | default: "https://x.example" }}">A</a>',
            '{{ url | default: "https://x.example" }}',
            "A",
            "tracked",
        ),
        (
            '<td {% if url %}class="x"{% endif %}><a {% if url %}id=k {% endif %}href="https://a.example">A</a>',
            "https://a.example",
            "A",
            "tracked",
        ),
    ],
)
def test_html_links(html: str, url: str, label: str, kind: str) -> None:
    link = message(html, "text").links[0]
    assert (link.url, link.label, link.kind, link.where) == (url, label, kind, "HTML")


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("See https://a.example/x?b=1&c=2.", ["https://a.example/x?b=1&c=2"]),
        ("(https://a.example/(x)), <https://b.example>", ["https://a.example/(x)", "https://b.example"]),
        ("https://a.example/{{ first_name }}/z", ["https://a.example/{{ first_name }}/z"]),
        (
            "{% if url %}https://a.example{% else %}https://b.example{% endif %}",
            ["https://a.example", "https://b.example"],
        ),
        ("mailto:x@example.com www.example.com", []),
    ],
)
def test_text_links(text: str, urls: list[str]) -> None:
    assert [link.url for link in message("<p>x", text).links if link.where == "Text"] == urls


def test_links_are_numbered_from_the_html_to_the_text() -> None:
    compiled = message(
        '<a href="https://a.example">A</a><a href="{{ mirror_url }}">m</a><a href="https://b.example">',
        "https://a.example",
    )
    assert [(link.index, link.label) for link in compiled.links] == [(0, "A"), (-1, "m"), (1, ""), (2, "A")]


def test_mailto_and_anchors_are_no_links_to_track() -> None:
    html = '<a href="mailto:x@example.com">m</a><a href="tel:+33">t</a><a href="#top">a</a><a name="top">n</a>'
    assert message(html, "x").links == ()


def test_tracked_links_are_replaced_and_escaped_and_the_pixel_ends_the_body() -> None:
    html = "<body><p>{{ first_name }}<a class=k href=https://a.example/?x=1&amp;y=2 id=i>A</a></body>"
    shown, text = tracked(message(html, "Go: https://a.example, {{ unsubscribe_url }}"), first_name="<Ann>")
    assert shown == (
        '<body><p>&lt;Ann&gt;<a class=k href="https://t.example/c/0?a&amp;b" id=i>A</a>'
        '<img src="https://p.example" width="1" height="1" alt="" style="border:0"></body>\n'
    )
    assert text == "Go: https://t.example/c/1?a&b, https://o.example\n"


def test_a_preview_leads_straight_to_the_destination() -> None:
    compiled = message('<a href="https://a.example/?n={{ first_name | url_encode }}&amp;x">A</a>')
    assert 'href="https://a.example/?n=Z+%26&amp;x"' in compiled.render({"first_name": "Z &"}).html


def test_a_link_with_liquid_is_made_from_the_profile_at_the_click() -> None:
    compiled = message(
        '{% if first_name %}<a href="https://a.example/{{ first_name }}?u={{ url }}">A</a>{% endif %}', "x"
    )
    assert compiled.destination(0, {"first_name": "Zoé\r\nX: y"}) == "https://a.example/Zo%C3%A9%0AX:%20y?u="
    assert compiled.fields == {"first_name", "url"}


@pytest.mark.parametrize("value", ["javascript:alert(1)", "", "//evil.example", "data:text/html,x", "ftp://x.example"])
def test_a_field_can_only_lead_to_the_web(value: str) -> None:
    with pytest.raises(RenderError):
        destination("{{ url }}", {"url": value})


@pytest.mark.parametrize("index", [1, -1])
def test_there_is_no_destination_without_a_link(index: int) -> None:
    with pytest.raises(LookupError):
        message('<a href="https://a.example">A</a><a href="{{ mirror_url }}">m</a>', "x").destination(index, {})


def test_a_link_that_needs_its_loop_is_not_tracked_and_says_so() -> None:
    html = '{% assign u = "x" %}<a href="https://a.example/{{ u }}">A</a>'
    compiled = message(html, "x")
    assert (compiled.links[0].kind, compiled.problems[0].code) == ("never", "link-untracked")
    assert 'href="https://a.example/x"' in tracked(compiled)[0]


@pytest.mark.parametrize(
    ("html", "text", "code", "words"),
    [
        ('<a href="https://a.example/?a=1&b=2">A</a>', "x", "url-ampersand", "write &amp; instead of &"),
        ('<a href="https://a.example/?a=1&copy">A</a>', "x", "url-ampersand", "starts an HTML entity"),
        ("<p>x", "https://a.example/?a=1&amp;b=2", "url-ampersand", "written for HTML"),
        ('\n<a href="/shop">A</a>', "x", "url-relative", "leads nowhere"),
    ],
)
def test_badly_written_urls_are_told(html: str, text: str, code: str, words: str) -> None:
    problem = message(html, text).problems[0]
    assert (problem.code, problem.severity) == (code, "warning")
    assert words in problem.message


def test_well_written_urls_are_not_told() -> None:
    assert message('<a href="https://a.example/?a=1&amp;b=2&#38;c">A</a>', "https://a.example/?a=1&b").problems == ()
