"""HTML's entities in text that anybody may have written."""

from __future__ import annotations

import html
import re

_HUGE = re.compile(r"&#[0-9]{20,};?")  # beyond Unicode, and Python refuses to read the longest (ValueError)


def unescape(text: str) -> str:
    """`text` with its entities resolved, as html.unescape does it, but whatever they are. Never raises."""
    return html.unescape(_HUGE.sub(_replaced, text) if "&#" in text else text)


def _replaced(match: re.Match[str]) -> str:
    digits = match.group()[2:].rstrip(";").lstrip("0")
    return f"&#{digits or 0};" if len(digits) < 20 else "\ufffd"  # HTML 13.2.5.80: a number that is no character
