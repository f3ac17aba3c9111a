"""No copy holds a script in an address, whatever Liquid and fields make of it; and good addresses stay as they are."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.content.checks import check_content, stopping
from campaigns.content.compile import Compiled, Untracked, compile_content
from campaigns.content.links import Tracking
from campaigns.content.problems import ContentError, RenderError

NAMES = ["url", "name", "country"]
NOTHING = "{% comment %}x{% endcomment %}"
PROFILES: list[dict[str, str]] = [
    {},
    {"url": "javascript:alert(1)", "name": "java", "country": "script:x"},
    {"url": " JaVa\tscript:x"},
    {"url": "data:text/html,<script>x</script>"},
    {"url": "vbscript:x"},
    {"url": "java", "name": "s", "country": "FR"},
    {"url": "https://a.example/?x=javascript:", "name": "x", "country": "y"},
    {"url": "&#106;avascript:x"},
    {"url": "--", "name": "s", "country": "ipt"},
    {"url": "x href=javascript:x", "name": "href=javascript:x", "country": "a"},
]

# Refused when the message is prepared, with words.
REFUSED = {
    "plain": '<a href="javascript:x">',
    "comment": f'<a href="java{NOTHING}script:x">',
    "comment first": f'<a href="{NOTHING}javascript:x">',
    "comment in an entity": f'<a href="java&#{NOTHING}115;cript:x">',
    "inline comment": '<a href="java{% # x %}script:x">',
    "assign": '<a href="java{% assign x = 1 %}script:x">',
    "empty condition": '<a href="java{% if name %}{% endif %}script:x">',
    "condition": '<a href="{% if name %}java{% else %}vb{% endif %}script:x">',
    "one arm": '<a href="{% if name %}https://a.example{% else %}javascript:x{% endif %}" data-track="never">',
    "later arm": '<img src="{% if name %}https://a.example{% elsif url %}#{% else %}javascript:x{% endif %}">',
    "unless": '<a href="java{% unless name %}script:{% endunless %}x">',
    "when": "<img src=\"{% case name %}{% when 'a' %}https://a{% when 'b' %}javascript:x{% endcase %}\">",
    "whens together": "<img src=\"{% case name %}{% when 'a' %}java{% when 'a' %}script:x{% endcase %}\">",
    "capture": '<a href="java{% capture x %}y{% endcapture %}script:x">',
    "loop": '<img src="{% for i in (1..1) %}java{% endfor %}script:x">',
    "cycle": "<a href=\"java{% cycle 's' %}cript:x\">",
    "output inside": '<a href="java{{ name }}script:x">',
    "output and colon": '<img src="{{ url }}:x">',
    "literal inside": "<a href=\"java{{ 's' }}cript:x\">",
    "trimmed": '<a href="java{%- comment -%} {%- endcomment -%}script:x">',
    "case": f'<a href="JaVa{NOTHING}ScRiPt:x">',
    "entities": "<a href='&#x6A;avascript:x'>",
    "entity without end": "<a href='&#106avascript:x'>",
    "named entities": "<a href='java&Tab;script&colon;x'>",
    "tabs and lines": "<a href='java\n\tscript\r:x'>",
    "control characters": "<a href='\x01javascript:x'>",
    "vbscript": f"<a href='vb{NOTHING}script:x'>",
    "data": f"<a href='data:text/{NOTHING}html,x'>",
    "picture that is a document": "<img src='data:image/svg+xml,x'>",
    "half a data address": "<img src='data:{{ name }},x'>",
    "action": f"<form action='java{NOTHING}script:x'></form>",
    "formaction": f"<button formaction=java{NOTHING}script:x>",
    "background": f"<td background=java{NOTHING}script:x>",
    "attribute's name": f"<a hr{NOTHING}ef='javascript:x'>",
    "block that ends elsewhere": '<a href="java{% if name %}" title="{% endif %}script:x">',
    "element": f"<scr{NOTHING}ipt>x</script>",
    "element behind a comment": f"<{NOTHING}script>x</script>",
    "element in a literal": "{{ '<script>x</script>' }}",
    "element in a variable": "{% assign x = '<script>' %}{{ x }}x</script>",
    "element in pieces": "{{ '<scr' }}ipt>x</script>",
    "quote in a literal": '<a title="{{ \'" href=javascript:x x="\' }}">',
    "quote in a capture": '{% capture x %}" href=javascript:x x="{% endcapture %}<a title="{{ x }}">',
}

# Written so that only some copies hold a script: those are refused, or their address leads nowhere.
JUDGED = {
    "one field": '<a href="{{ url }}" data-track="never">x</a>',
    "echo": '<img src="{% echo url %}">',
    "dashes": '<img src="{{- url -}}">',
    "filters": '<img src="{{ url | upcase | default: "x" | strip }}">',
    "literal": "<img src=\"{{ 'javascript:x' }}\">",
    "unquoted": "<img src={{ url }}>",
    "with a path": '<img src="{{ url }}/x.png">',
    "two fields": '<img src="{{ url }}{{ country }}">',
    "behind a condition": '<img src="{% if name %}{{ url }}{% else %}https://a.example/{% endif %}">',
    "before a condition": '<img src="{{ name }}{% if country %}script:x{% endif %}">',
    "between attributes": "<a {{ name }}>x</a>",
    "name of an element": "<{{ name }}cript>x</{{ name }}cript>",
    "part of a name": "<a h{% if name %}r{% else %}x{% endif %}ef='javascript:x'>x</a>",
    "branches that cross": '<a {% if name %}href="https://{% else %}href="java{% endif %}script:x">x</a>',
    "tag that a branch ends": '<a {% if name %}t="1">{% else %}href="javascript:x">{% endif %}x</a>',
    "values that a branch ends": '<a t="{% if name %}"{% else %}" a="{% endif %} href=javascript:x ">x</a>',
    "trimmed behind a bracket": "< {{- name -}} cript>x</script>",
    "trimmed in a name": "<scr {%- comment -%}x{%- endcomment -%} ipt>x</script>",
    "end of a comment": "<!-- -{% # x %}-><script>x</script> -->",
    "end of a comment by a field": "<!-- {{ url }}> <script>x</script> -->",
    "end of a style sheet": f"<style></sty{NOTHING}le><script>x</script></style>",
    "literal that a filter makes": "{{ '<bscript>' | remove: 'b' }}x</script>",
    "tracked": '<a href="{{ url }}">x</a>',
    "tracked, in a condition": '<a href="{% if name %}{{ url }}{% endif %}">x</a>',
    "tracked, in a loop": '<a href="{% for i in (1..1) %}java{% endfor %}script:x">x</a>',
}
ALL = {**REFUSED, **JUDGED}

GOOD = [
    '<a href="https://a.example/{{ name }}?x={{ url }}">x</a>',
    '<a href="{{ unsubscribe_url }}">x</a>',
    '<a href="{% if name %}https://a.example{% else %}https://b.example{% endif %}/x">x</a>',
    "<a href=\"{% case name %}{% when 'a' %}https://a.example{% else %}https://b.example{% endcase %}\">x</a>",
    '<a href="mailto:{{ name }}@a.example">x</a>',
    '<a href="#{{ name }}">x</a>',
    '<a href="/{{ name }}">x</a>',
    '<img src="cid:{{ name }}">',
    '<img src="data:image/png;base64,AAAA">',
    '<img src="https:{{ name }}">',
    '<td class="{% if name %}a{% else %}b{% endif %}" {% if url %}bgcolor="red"{% endif %}>{{ name }}</td>',
    "{% if name %}<p>{{ name | append: '!' }}</p>{% else %}<p class='x'>y</p>{% endif %}",
    "<!-- {% if name %} --><b>x</b><!-- {% endif %} -->",
    f'<a href="https://a.example{NOTHING}">x</a>',
]


class Reader(HTMLParser):
    """Finds scripts in a copy as a browser would, by other means than ours."""

    def __init__(self, copy: str) -> None:
        super().__init__()
        self.scripts = 0
        self.feed(copy)  # and no close(): a tag that never ends is dropped

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in reversed(dict(reversed(attrs)).items()):  # of two that are called the same the first counts
            address = "".join(c for c in value or "" if c > " ").lower()
            if name in ("href", "src", "action", "formaction", "background"):
                bad = ("javascript:", "vbscript:", "data:text/html", "data:image/svg")
                self.scripts += address.startswith(bad)


def compiled(html: str, active: bool = True) -> Compiled:
    return compile_content("s", html, "x", fields=NAMES, tracking=Tracking(active))


def copies(message: Compiled, fields: dict[str, str]) -> list[str]:
    """What both renderers make for a profile; nothing if it is refused."""
    urls = Untracked(message, fields, "https://o.example/")
    try:
        found = [message.html.render(fields, urls, message.meter())]
    except RenderError:
        return []
    if message.html.segments is not None:
        found.append(message.html.by_liquid(fields, urls, message.meter()))
        assert found[0] == found[1]
    return found


def scripts(message: Compiled) -> int:
    return sum(Reader(copy).scripts for fields in PROFILES for copy in copies(message, fields))


@pytest.mark.parametrize("name", REFUSED)
def test_a_script_that_liquid_hides_is_refused_when_the_message_is_prepared(name: str) -> None:
    html = REFUSED[name]
    found = [problem for problem in check_content("s", html, "x", fields=NAMES) if problem.code == "script"]
    assert found and found[0].severity == "error" and found[0].where == "HTML"
    assert stopping(compiled(html)), "as a proof it does not leave either"


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("name", ALL)
def test_no_copy_holds_a_script_in_either_renderer(name: str, active: bool) -> None:
    message = compiled(ALL[name], active)
    assert bool(stopping(message)) or scripts(message) == 0


PIECES = [
    "java",
    "script",
    ":",
    "x",
    "https://a",
    "&#106;",
    "&#",
    "106",
    ";",
    NOTHING,
    "{% if name %}",
    "{% else %}",
    "{% endif %}",
    "{{ url }}",
    "{{ name }}",
    "{{ 's' }}",
    "{% assign z = '<' %}",
    "{{ z }}",
    '"',
    "'",
    " ",
    "=",
    '<a href="',
    "<a href='",
    "<a href=",
    ">",
    "</a>",
    '<img src="',
    "{% capture c %}",
    "{% endcapture %}",
    "{{ c }}",
    "{% unless url %}",
    "{% endunless %}",
    "{% case name %}",
    "{% when 'java' %}",
    "{% when 's' %}",
    "{% endcase %}",
    "/",
    "\n",
    "\t",
    'title="',
    "<",
    "script>",
    "</script>",
    "{{ '\"' }}",
    "<!--",
    "-->",
    "{% for i in (1..2) %}",
    "{% endfor %}",
    'href="javascript:',
    "{% cycle 'java','script:' %}",
    "data:",
    "text/html,",
    "{{ country }}",
    "vb",
    "{% # c %}",
    "{{- url -}}",
    "{% echo url %}",
    "<style>",
    "</style>",
    "-",
    "{%- # c -%}",
]
any_html = st.lists(st.sampled_from(PIECES), min_size=2, max_size=12).map("".join)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(any_html, st.sampled_from(["{}", '<a href="{}">x</a>', '<a href="{{% if name %}}{}">x</a>']), st.booleans())
def test_whatever_is_written_no_copy_that_may_leave_holds_a_script(html: str, around: str, active: bool) -> None:
    try:
        message = compiled(around.format(html), active)
    except ContentError:
        return
    assert bool(stopping(message)) or scripts(message) == 0


@pytest.mark.parametrize("html", GOOD)
def test_a_good_address_stays_as_it_is_and_the_message_fast(html: str) -> None:
    message = compiled(html, active=False)
    assert not stopping(message)
    assert not message.html.is_open and message.html.segments is not None
    assert '"#"' not in copies(message, {"name": "Ann", "url": "u"})[0]


def test_a_field_that_is_a_script_leads_nowhere_and_a_good_one_to_its_page() -> None:
    message = compiled('<a href="{{ url }}" data-track="never">x</a><img src="{{ url }}/a.png">')
    assert message.html.segments is not None
    shown = message.render({"url": "https://a.example/?a&b"}).html
    assert 'href="https://a.example/?a&amp;b"' in shown and 'src="https://a.example/?a&amp;b/a.png"' in shown
    shown = message.render({"url": "javascript:alert(1)"}).html
    assert 'href="#"' in shown and 'src="#/a.png"' in shown


def test_what_is_sent_is_what_was_judged() -> None:
    message = compiled("<a {{ name }}>x</a>")
    with pytest.raises(RenderError, match=r"^HTML: filled for this recipient, it holds a script$"):
        message.render({"name": "href=javascript:x"})
    assert "<a title=x>" in message.render({"name": "title=x"}).html


def test_the_words_say_what_to_do() -> None:
    problem = stopping(compiled('<p>\n<a href="java{{ name }}script:x">x</a>'))[0]
    assert str(problem) == (
        "HTML, line 2: Liquid makes a part of the scheme of the address in href: write its beginning out, such as "
        "https://, or let one field be all of it"
    )


def test_the_source_that_is_kept_holds_no_filter_of_ours() -> None:
    html = '<img src="{{ url }}">'
    message = compiled(html, active=False)
    assert message.source.html == html


def test_nobody_can_name_our_filters() -> None:
    found = check_content("s", "{{ url | _address }}", "x", fields=NAMES)
    assert [problem.code for problem in found if problem.severity == "error"] == ["syntax"]
