"""How far a file is: told by whoever writes it about once a second, shown in a frame beside the form that asked for it.

The frame asks again by itself, without a script, as long as the file grows; a download goes on beside it.
"""

from __future__ import annotations

import errno
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.core import formats
from campaigns.core.actors import Person
from campaigns.core.job_heartbeat import SignsOfLife, Superseded
from deliveries.models import Delivery
from reporting.models.exports import Export

from .row_sets import RowSet

EVERY = 1.0  # seconds between two signs of life
SIGNS = SignsOfLife("seen_at", timedelta(minutes=2))  # nobody takes a file over: it is asked for again
LOOKS = 600  # of a page that asked for nothing, two seconds apart


class Cancelled(ConnectionError):
    """Somebody asked for the end of this file. The server cuts the line, so that no browser takes it for whole."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the export was cancelled")


class Watch:
    """What the writer of a file tells. This one keeps nothing."""

    def begin(self, selection: RowSet) -> None:
        """It starts."""

    def at(self, rows: int) -> None:
        """So many rows are written. Raises Cancelled."""

    def end(self, rows: int, *, whole: bool) -> None:
        """It is over; `whole` if all rows were written."""


class Progress(Watch):
    """Keeps how far it is for whoever looks, and tells `done` how many rows it became, and whether these are all."""

    def __init__(self, delivery: Delivery, user: Person, key: str, done: Callable[[int, bool], None]) -> None:
        kept = key if re.fullmatch(r"[0-9a-f]{32}", key) else new_key()
        self._row = Export.objects.filter(pk=Export.objects.create(delivery=delivery, user=user, key=kept).pk)
        self._done, self._told = done, time.monotonic()

    def begin(self, selection: RowSet) -> None:
        """Count what is to come."""
        self._row.update(total=selection.count(), seen_at=timezone.now())

    def at(self, rows: int) -> None:
        """Keep it, unless it was kept just now. Raises Cancelled."""
        if time.monotonic() - self._told < EVERY:
            return
        self._told = time.monotonic()
        try:
            SIGNS.give(self._row.filter(cancelled_at=None), rows=rows)
        except Superseded:
            raise Cancelled from None

    def end(self, rows: int, *, whole: bool) -> None:
        """Keep how it ended."""
        self._row.update(rows=rows, whole=whole, ended_at=timezone.now())
        self._done(rows, whole)


def new_key() -> str:
    """For a form and the frame beside it."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the frame says. `going`: it asks again; `share`: rows and all rows of a bar, None without one."""

    words: str
    going: bool = False
    share: tuple[int, int] | None = None


def shown(export: Export | None) -> Shown:
    """How far the file is, in words."""
    if export is None:
        return Shown(_("Nothing was asked for yet."))
    rows = {"rows": formats.exact(export.rows), "all": formats.exact(export.total or 0)}
    if export.ended_at and export.whole:
        return Shown(_("Done: all %(rows)s rows are in the file.") % rows)
    if export.cancelled_at:
        return Shown(_("Cancelled after %(rows)s rows. The file is not complete: throw it away.") % rows)
    if export.ended_at or SIGNS.is_silent(export.seen_at):
        return Shown(_("It ended after %(rows)s rows. The file is not complete: ask for it again.") % rows)
    if export.total is None:
        return Shown(_("Counting the rows…"), going=True)
    return Shown(_("%(rows)s of %(all)s rows") % rows, going=True, share=(export.rows, max(export.total, 1)))


def forget(before: datetime) -> None:
    """Forget what was asked for earlier than `before`."""
    Export.objects.filter(asked_at__lt=before).delete()
