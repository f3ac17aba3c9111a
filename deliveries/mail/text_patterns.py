"""Matching the words of mail programs: patterns of many alternatives, blind to case and accents."""

import re
import unicodedata


def any_of(*alternatives: str) -> str:
    """One regular expression for several, so that wordings can stand on lines of their own."""
    return "|".join(alternatives)


def words(*alternatives: str) -> re.Pattern[str]:
    """A compiled `any_of`, blind to case; to be searched in text `without_accents`."""
    return re.compile(any_of(*alternatives), re.IGNORECASE)


def without_accents(text: str) -> str:
    """`text` with the accents of its letters taken off, so that `rejeté` and `rejete` are one.

    Japanese voicing marks stay: without them, words become others."""
    if text.isascii():
        return text
    parts = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", "".join(c for c in parts if not "\u0300" <= c <= "\u036f"))


def lower(text: str) -> str:
    """`text` in lower case, so that letters have one form each (a Greek word may end in another sigma)."""
    return text.lower().replace("\u03c2", "\u03c3")
