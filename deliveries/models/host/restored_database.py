"""Is this database what it seems? A copy of it, or an old state, would send again what has left already.

Each host keeps beside its journals when its cluster last gave a sign of life, and the database keeps in which database
that was. A database that knows less than the host, or that says it is another one, is a restored copy: then people are
asked before anything leaves.
"""

from __future__ import annotations

from datetime import timedelta
from time import sleep

from django.conf import settings
from django.db.models.functions import Now

from . import heartbeat
from .heartbeat import Heartbeat

_LOST = timedelta(seconds=60)  # more than a crash can take from a database that keeps its word


def is_restored() -> bool:
    """True if this database is a copy, or knows less than this host. To be asked before the host's next beat.

    Looked at twice: where the clock was set back, a beat is in the database a moment before it is noted on the host.
    """
    if not _seems_restored():
        return False
    sleep(0.2)
    return _seems_restored()


def _seems_restored() -> bool:
    seen, here = heartbeat.remembered(), heartbeat.place()  # in this order: a beat is written to the database first
    beats = {beat.host: beat for beat in Heartbeat.objects.all()}
    mine = beats.get(settings.HOST_ID)
    copied = any(beat.place not in ("", here) for beat in beats.values())
    went_back = seen is not None and mine is not None and mine.place == here and seen > mine.beat_at + _LOST
    return bool(here) and (copied or went_back)


def accept() -> None:
    """Take the database as the true one from now on."""
    Heartbeat.objects.update(place=heartbeat.place(), beat_at=Now())
