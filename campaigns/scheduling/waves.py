"""Waves: a delivery sent in parts, some time apart (concepts.md, When it leaves). Pure.

Written as shares or numbers, such as "10% 30%" or "1000 5000"; the last wave takes the rest.
"""

from __future__ import annotations

import re

from campaigns.core.kept_text import keep as _

MOST = 50


class BadWaves(ValueError):
    """The waves make no sense; the text says why, for people."""


def check(text: str) -> None:
    """Raise BadWaves unless `text` is empty or says how large waves are."""
    parts = text.replace(",", " ").split()
    if len(parts) > MOST:
        raise BadWaves(_("At most %(most)s waves.", most=MOST))
    for part in parts:
        if not re.fullmatch(r"[1-9][0-9]{0,8}%?", part):
            words = _("“%(part)s” is no size: write shares like 10%% or numbers like 1000.", part=part)
            raise BadWaves(words)
    if sum(int(part[:-1]) for part in parts if part.endswith("%")) > 100:
        raise BadWaves(_("The shares add up to more than 100 %."))


def sizes(text: str, total: int) -> list[int]:
    """How many of `total` messages leave with each wave: their sum is `total`, none is empty.

    In: what `check` accepts. Shares are of `total`, rounded down. Out: [total] without waves, [] for nobody.
    """
    left, found = total, []
    for part in text.replace(",", " ").split():
        wanted = total * int(part[:-1]) // 100 if part.endswith("%") else int(part)
        size = min(left, wanted)
        found.append(size)
        left -= size
    return [size for size in (*found, left) if size]
