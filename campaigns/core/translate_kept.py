"""Tells kept sentences (kept_text.py) in the language of whoever reads them."""

from __future__ import annotations

from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext

from .kept_text import filled, kept


def retold(sentence: str) -> str:
    """A sentence in the language that is active now; one that was only written down comes back as it is."""
    return again(kept(sentence), str(sentence))


def again(what: Any, text: str) -> str:
    """A kept sentence in the language that is active now. In: what `kept` gave, and the English text."""
    if not isinstance(what, list) or len(what) != 2:
        return text
    template, blanks = what
    return filled(gettext(template), {name: _blank(value) for name, value in blanks.items()})


def _blank(value: Any) -> Any:
    if isinstance(value, list):
        return again(value, "")
    return number_format(value, force_grouping=True) if isinstance(value, int) else value
