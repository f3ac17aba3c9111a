"""How pages tell that an act was refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib import messages
from django.http import HttpRequest

from campaigns.core.translate_kept import translated
from deliveries.ledger.errors import Refused

HARMLESS = {"already_confirmed"}  # a double click: the thing is done, and the message says by whom


@contextmanager
def told(request: HttpRequest, level: int = messages.ERROR, about: object = "") -> Iterator[None]:
    """Try an act: if it is refused, the next page tells why, and the rest of the block is left out.

    `about`: which of several acts it is.
    """
    try:
        yield
    except Refused as refusal:
        words = translated(refusal.message)
        level = messages.INFO if refusal.code in HARMLESS else level
        messages.add_message(request, level, f"{about}: {words}" if about else words)
