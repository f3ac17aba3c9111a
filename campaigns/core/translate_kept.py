"""Tells kept sentences (kept_text.py) in the language of whoever reads them."""

from __future__ import annotations

from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext

from .kept_text import filled, for_json


def translated(sentence: str) -> str:
    """A sentence in the language that is active now; one that was only written down comes back as it is."""
    return translate_json(for_json(sentence), str(sentence))


def translate_json(what: Any, text: str) -> str:
    """A kept sentence in the language that is active now. In: what `for_json` gave, and the English text."""
    if not isinstance(what, list) or len(what) != 2:
        return text
    template, blanks = what
    return filled(gettext(template), {name: _blank(value) for name, value in blanks.items()})


def _blank(value: Any) -> Any:
    if isinstance(value, list):
        return translate_json(value, "")
    return number_format(value, force_grouping=True) if isinstance(value, int) else value
