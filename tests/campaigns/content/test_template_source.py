"""Our scanner's tokens for the parser: python-liquid's own, but for what its lexer reads into comments."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from liquid.lex import get_lexer

from campaigns.content.compile import compile_content
from campaigns.content.template_source import lex, read

pieces = st.sampled_from(
    [
        "a",
        " ",
        "\n",
        "<p>",
        "{",
        "}",
        "%",
        "-",
        "{{ x }}",
        "{{- x -}}",
        "{{x}}",
        "{{-x|y: '-' -}}",
        "{% if x %}",
        "{%- if x -%}",
        "{% endif %}",
        "{%endif%}",
        "{% # note %}",
        "{% assign a = '%' %}",
        "{% comment %}",
        "{%- comment -%}",
        "{% endcomment %}",
        "{% endcomment -%}",
        "{{ 'a}' }}",
        "{% else -%}",
        "{% break %}",
    ]
)


def tokens(found: object) -> list[tuple[str, str, int]]:
    """Without the text of comments, and with the end of a text that the library cuts in two put together."""
    made: list[tuple[str, str, int]] = []
    for kind, value, start, _source in found:  # type: ignore[attr-defined]
        if kind == "comment":
            continue
        if made and kind == made[-1][0] == "content":
            made[-1] = (kind, made[-1][1] + value, made[-1][2])
        else:
            made.append((kind, value, start))
    return made


@settings(max_examples=400, deadline=None)
@given(st.lists(pieces, max_size=12).map("".join))
@example("{{ x -}} {%- if x -%} a {% endif %}b\n")
def test_the_tokens_are_the_librarys(source: str) -> None:
    _draft, problems = read("Text", source)
    if not problems and not source.endswith("\n"):  # the library trims a last line end apart
        assert tokens(lex(source)) == tokens(get_lexer()(source))


@pytest.mark.parametrize("tag", ["raw", "doc"])
def test_a_comment_ends_where_it_is_masked_to_end(tag: str) -> None:
    """The library's lexer took this for a comment to the very end, while the HTML was read as if it ended before."""
    source = f"a{{% comment %}}{{% {tag} %}}{{% endcomment %}}b{{% comment %}}{{% end{tag} %}}{{% endcomment %}}c"
    assert compile_content("s", "", source, fields=[]).render({}).text == "abc\n"
