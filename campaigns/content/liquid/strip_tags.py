"""The text of some HTML, without its tags. For the filter strip_html; time linear in the text, whatever it holds.

python-liquid asks html.parser, which takes half a second for some kilobytes of unclosed tags. Here one expression that
never goes back finds each tag, and what is never closed is left as it stands.
"""

from __future__ import annotations

import re

_ATTRIBUTE = r"""[^\s"'<>/=][^\s/>=]*+(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s"'>][^\s>]*+))?+"""
_TAG = re.compile(
    rf"""<!--.*?--> | <(?!!--)[!?/][^>]*+>
    |<(?P<name>[a-zA-Z][^\s/>]*+)(?:{_ATTRIBUTE}|[\s/"'<=])*+>""",
    re.DOTALL | re.VERBOSE,
)
_BEGIN = re.compile(r"<[a-zA-Z!?/]")
_RAW = {name: re.compile(rf"</\s*{name}\s*>", re.IGNORECASE) for name in ("script", "style")}


def strip_tags(text: str) -> str:
    """Text and entities as they are written; tags, comments, declarations, scripts and styles are gone."""
    if "<" not in text or ">" not in text:
        return text
    kept: list[str] = []
    position = 0
    while (match := _BEGIN.search(text, position)) is not None:
        kept.append(text[position : match.start()])
        position = match.start()
        tag = _TAG.match(text, position)
        if tag is None:
            break
        position = _behind(text, tag)
    return "".join([*kept, text[position:]])


def _behind(text: str, tag: re.Match[str]) -> int:
    """Where the text goes on behind a tag, and behind what it encloses if that is no text."""
    end = _RAW.get((tag["name"] or "").lower())
    if end is None or tag.group().endswith("/>"):
        return tag.end()
    found = end.search(text, tag.end())
    return found.end() if found else len(text)
