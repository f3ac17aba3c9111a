"""Doors for django-q2: an id in, one call each."""

from __future__ import annotations

from . import import_profiles as importing


def import_profiles(import_id: int) -> None:
    """Read and apply a profile import."""
    importing.run(import_id)
