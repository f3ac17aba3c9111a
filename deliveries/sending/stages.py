"""Where a sender is with its batch, as a table: which stage may follow which. Pure; `Sender` is the only one to move.

A window of rows is claimed before the last one is used up; a row that may be what kills the worker goes alone. Whatever
happens, a sender ends once, and begins no message after that.
"""

from __future__ import annotations

from enum import Enum


class Stage(Enum):
    """What the sender does about rows; `begins`: whether it may begin a message."""

    SENDING = ("rows go out, and the next window is claimed before they run out", True)
    CLAIMING = ("rows go out while the next window is claimed", True)
    ALONE = ("one suspicious row is out, and nothing is claimed beside it", True)
    EXHAUSTED = ("nothing more was due; what came back unbegun still goes out", True)
    ENDING = ("no message is begun; what is under way is answered and recorded", False)
    CUT_OFF = ("as ENDING, but the database failed: answers are kept by the journal alone", False)

    def __init__(self, _words: str, begins: bool) -> None:
        self.begins = begins


FOLLOWERS: dict[Stage, frozenset[Stage]] = {
    Stage.SENDING: frozenset({Stage.CLAIMING, Stage.ENDING, Stage.CUT_OFF}),
    Stage.CLAIMING: frozenset({Stage.SENDING, Stage.ALONE, Stage.EXHAUSTED, Stage.ENDING, Stage.CUT_OFF}),
    Stage.ALONE: frozenset({Stage.CLAIMING, Stage.ENDING, Stage.CUT_OFF}),
    Stage.EXHAUSTED: frozenset({Stage.ENDING, Stage.CUT_OFF}),
    Stage.ENDING: frozenset({Stage.CUT_OFF}),
    Stage.CUT_OFF: frozenset(),
}
