"""Sentences that are kept, and read later by people of any language: English text that remembers how it was made.

A delivery's log outlives the request or the task that writes it, and its readers speak several languages. So a sentence
is kept in English, for programs and searches, together with its template and what fills its blanks; whoever shows it
says it again in the reader's language (translate_kept.py). Pure.

Rooms import `keep as _`, so that the catalogs find its templates.
"""

from __future__ import annotations

from typing import Any


class KeptText(str):
    """A sentence in English. template: what the catalogs translate; blanks: by name, what fills it."""

    template: str
    blanks: dict[str, Any]

    def __new__(cls, template: str, blanks: dict[str, Any]) -> KeptText:
        made = super().__new__(cls, filled(template, blanks))
        made.template, made.blanks = template, blanks
        return made


def keep(template: str, /, **blanks: Any) -> KeptText:
    """A sentence from its template, with %(name)s for each blank. Whole numbers are grouped; blanks may be kept,
    too."""
    return KeptText(template, blanks)


def for_json(text: str) -> list[Any] | None:
    """What JSON can keep of a sentence, to be told again; None for one that was only written down."""
    if not isinstance(text, KeptText):
        return None
    return [text.template, {name: _kept_blank(value) for name, value in text.blanks.items()}]


def _kept_blank(value: Any) -> Any:
    if isinstance(value, KeptText):
        return for_json(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else str(value)


def filled(template: str, blanks: dict[str, Any]) -> str:
    """The template with its blanks filled; one without blanks may hold any sign."""
    if not blanks:
        return template
    return template % {name: f"{value:,}" if type(value) is int else value for name, value in blanks.items()}
