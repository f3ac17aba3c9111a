"""The logical status of a delivery: few words and colours, which lists show for eighteen states."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from .states import CONFIRMED, PREPARING, RUNNING, State


class Logical(TextChoices):
    """Grey, blue, green, yellow, red."""

    EDITING = "editing", _("Editing")
    IN_PROGRESS = "in-progress", _("In progress")
    FINISHED = "finished", _("Finished")
    WARNING = "warning", _("Warning")
    ERRONEOUS = "erroneous", _("Erroneous")


def _logical(state: State) -> Logical:
    if state in RUNNING:
        return Logical.IN_PROGRESS
    if state == State.FINISHED:
        return Logical.FINISHED
    if state == State.PAUSED:
        return Logical.WARNING
    if state in CONFIRMED or state == State.PREPARATION_FAILED:  # stopped by a user is erroneous, too
        return Logical.ERRONEOUS
    return Logical.EDITING


LOGICAL: dict[State, Logical] = {state: _logical(state) for state in State}


def short_label(state: int) -> str:
    """The state in a word or two, for a column: what prepares is Preparing, whatever its step."""
    if state in PREPARING:
        return str(_("Preparing"))
    return str(_("Ready")) if state == State.READY else str(State(state).label)
