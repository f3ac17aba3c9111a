"""The message as it was sent, with the share of clicks on each link: one profile's rendering, nothing of it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from campaigns.content.compile import Compiled

# Takes a whole tag at once, whether or not it is one of the links, so that none is read from its middle again.
_LINK = re.compile(r'<a\b(?:(?!href="#hot-\d)[^>])*+(?:href="#hot-(\d{1,9})"[^>]*+(>?))?', re.IGNORECASE)
_BADGE = (
    '<span style="display:inline-block;padding:1px 5px;border-radius:8px;background:#a61b1b;color:#fff;'
    'font:bold 11px/1.4 sans-serif">{}</span>'
)


@dataclass(frozen=True, slots=True)
class _Numbered:
    """Addresses by which the links are found again."""

    optout_url: str = "#"
    mirror_url: str = "#"
    pixel_url: str = ""

    def link(self, index: int) -> str:
        return f"#hot-{index}"


def page(compiled: Compiled, fields: Mapping[str, str], shares: Mapping[int, str]) -> str:
    """The HTML with a badge before each link. In: `shares`: {link: what the badge says}. Raises RenderError."""
    return with_badges(compiled.render(fields, _Numbered()).html, shares)


def with_badges(html: str, shares: Mapping[int, str]) -> str:
    """HTML whose links lead to #hot-0, #hot-1 …, with a badge before each of them."""
    return _LINK.sub(lambda m: _badge(m.group(1), shares) + m.group() if m.group(2) else m.group(), html)


def _badge(number: str, shares: Mapping[int, str]) -> str:
    return _BADGE.format(escape(shares.get(int(number), "0 %")))
