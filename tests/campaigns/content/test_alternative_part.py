"""The part that the staff did not write is made from the other one."""

from __future__ import annotations

import pytest

from campaigns.content.compile import compile_content
from campaigns.content.problems import ContentError

NAMES = ["first_name", "country"]


def text_of(html: str, **profile: str) -> str:
    return compile_content("s", html, "", fields=NAMES).render(profile).text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<h1>Hi</h1><p>A  <b>b</b>\n c</p><p>d", "Hi\n\nA b c\n\nd\n"),
        ("a<br>b<br><br>c<div>d</div>e", "a\nb\n\nc\nd\ne\n"),
        ("<ul><li>one<li>two</ul>", "- one\n- two\n"),
        ("<table><tr><td>A</td><td>B</td></tr><tr><td>C</td></tr></table>", "A B\nC\n"),
        ('<a href="https://a.example/?x=1&amp;y">Shop</a>!', "Shop (https://a.example/?x=1&y)!\n"),
        ('<a href="https://a.example">https://a.example</a>', "https://a.example\n"),
        ('<a href="https://a.example"><img alt="Logo" src="x"></a>', "Logo (https://a.example)\n"),
        ('<a href="#top">Top</a> <a href="mailto:x@example.com">Mail</a>', "Top Mail\n"),
        ('<a href="{{ unsubscribe_url }}">Stop</a>', "Stop (#unsubscribe)\n"),
        (
            "<head><title>T</title><style>p{}</style></head><script>x</script>a &amp; b &lt;c&gt;<hr>d",
            "a & b <c>\n\n----\n\nd\n",
        ),
    ],
)
def test_a_text_from_html(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("country", "text"),
    [("FR", "Hello Ann,\n\nBonjour!\n\nBye\n"), ("DE", "Hello Ann,\n\nHallo!\n\nBye\n"), ("", "Hello Ann,\n\nBye\n")],
)
def test_conditions_go_along_and_leave_no_holes(country: str, text: str) -> None:
    html = (
        "<p>Hello {{ first_name }},</p>{% if country == 'FR' %}<p>Bonjour!</p>"
        "{% elsif country == 'DE' %}<p>Hallo!</p>{% endif %}<p>Bye</p>"
    )
    assert text_of(html, first_name="Ann", country=country) == text


@pytest.mark.parametrize(("country", "text"), [("FR", "a x b\n"), ("", "a  b\n")])
def test_conditions_within_a_line_keep_its_spaces(country: str, text: str) -> None:
    assert text_of("a {% if country %}x{% endif %} b", country=country) == text


def test_liquid_that_would_be_lost_is_told_instead() -> None:
    html = '{% if country %}<p title="{% endif %}">x</p>'
    with pytest.raises(ContentError, match="Text: it cannot be made from the other part"):
        compile_content("s", html, "", fields=NAMES)


def test_html_from_text_is_the_text_escaped_with_its_links() -> None:
    text = "Dear {{ first_name }} & <co>,\nsee https://a.example/?x=1&y.\n{{ unsubscribe_url }}"
    shown = compile_content("s", "", text, fields=NAMES).render({"first_name": "<Ann>"}).html
    assert (
        "<p>Dear &lt;Ann&gt; &amp; &lt;co&gt;,<br>\n"
        'see <a href="https://a.example/?x=1&amp;y">https://a.example/?x=1&amp;y</a>.<br>\n'
        '<a href="#unsubscribe">#unsubscribe</a></p>'
    ) in shown
