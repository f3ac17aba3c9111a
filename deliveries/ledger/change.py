"""One change of a sending log, as workers and people report it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from deliveries.models.states import FailureType, LogMove, Reason

MAX_REPLY = 500


class Change(NamedTuple):
    """What happened to one row. `attempts`: how often the server had answered for it before."""

    log_id: int
    move: LogMove
    attempts: int
    failure_type: int = FailureType.NONE
    reason: int = Reason.NOT_DEFINED
    reply: str = ""
    due_at: datetime | None = None


ANSWERED = frozenset({LogMove.ACCEPT, LogMove.RELAY, LogMove.DEFER, LogMove.REFUSE})  # count as an attempt


def one_line(text: str) -> str:
    """What a server said, fit for the log: one line of at most 500 characters, nothing invisible."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return text[:MAX_REPLY]
