"""A chapter's Markdown as a page shows it."""

from __future__ import annotations

import pytest

from config.help.rendering import read, slug


def html(text: str, address: str | None = None) -> str:
    return read(text, lambda link: address).html


def test_the_first_heading_is_the_title_and_not_in_the_text() -> None:
    reading = read("# The *whole* `house`\n\nWords.", str)
    assert (reading.title, reading.html) == ("The whole house", "<p>Words.</p>\n")
    assert read("Words.", str).title == ""


@pytest.mark.parametrize(
    "heading, anchor",
    [
        ("Lease time", "lease-time"),
        ("What's in doubt?", "whats-in-doubt"),
        ("SPF, DKIM & DMARC", "spf-dkim--dmarc"),
        ("A_b-c", "a_b-c"),
        ("Übung 2", "übung-2"),
    ],
)
def test_a_heading_has_the_anchor_that_code_hosts_give_it(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor


def test_headings_of_the_same_words_get_numbers() -> None:
    reading = read("# Top\n## Tests\n## `Tests`\n## Tests\n", str)
    assert {"tests", "tests-1", "tests-2"} < reading.anchors
    assert '<h2 id="tests-1"><code>Tests</code></h2>' in reading.html


def test_a_link_leads_where_it_is_led() -> None:
    assert html("[here](api.md#tokens)", "/x/") == '<p><a href="/x/">here</a></p>\n'


def test_a_link_that_leads_nowhere_leaves_its_words() -> None:
    assert html("see [the `code`](../../manage.py), then [on](b.md)") == "<p>see the <code>code</code>, then on</p>\n"


def test_a_picture_that_is_not_there_leaves_its_words() -> None:
    assert html("![The list](list.png)", "/list.png/") == '<p><img src="/list.png/" alt="The list"></p>\n'
    assert html("![The <list>](list.png)") == "<p>The &lt;list&gt;</p>\n"


def test_nothing_of_the_text_becomes_html_of_its_own() -> None:
    made = html("<script>x</script> <b onclick=x>y</b>\n\n[z](javascript:x)\n\n```\n</pre><b>\n```\n", "/x/")
    assert "<b" not in made and "<script" not in made and "javascript:x)" in made


def test_what_is_wide_scrolls_by_itself_and_needs_no_inline_style() -> None:
    made = html("| a | b |\n|---|--:|\n| 1 | 2 |\n\n    code\n")
    assert made.startswith('<div class="help-wide" tabindex="0"><table>') and "</table></div>" in made
    assert '<td class="help-right">2</td>' in made and "style=" not in made
    assert '<pre tabindex="0"><code>code\n</code></pre>' in made
