"""A profile's consent as its pages show it: what holds now, and who or what changed it, when, from where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from campaigns.models import Profile
from campaigns.models.people.consent import FLAGS, AddressOptOut, ConsentChange

from . import changes as consent

MOST = 200  # changes shown, the newest; the API pages through all


@dataclass(frozen=True, slots=True)
class Line:
    """A change in words; `place`: from where, by its number; `source`: as somebody wrote it."""

    at: datetime
    what: str
    way: str
    place: str
    by: str
    source: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows. `letters`: messages whose link took the address out and that hold now; `unknown`: of an
    opt-out that is older than its history."""

    held: bool
    letters: Sequence[AddressOptOut]
    lines: Sequence[Line]
    unknown: bool
    cut: bool


def of(profile: Profile) -> Shown:
    """Three queries, or four."""
    held = consent.is_held(profile)
    letters = list(consent.said_of(profile).filter(undone_at=None)[:20]) if held else []
    changes = list(profile.consent_changes.all()[: MOST + 1])
    noted = {change.flag for change in changes}
    unknown = len(changes) <= MOST and any(getattr(profile, flag) and flag not in noted for flag in FLAGS)
    return Shown(held, letters, [_line(change) for change in changes[:MOST]], unknown, len(changes) > MOST)


def _line(change: ConsentChange) -> Line:
    return Line(change.at, _what(change), change.get_way_display(), _place(change), change.by_name, change.source)


def _what(change: ConsentChange) -> str:
    if change.before and change.after:
        words = _("opted out of %(channel)s, said again")
    else:
        words = _("opted out of %(channel)s") if change.after else _("opted in again to %(channel)s")
    return words % {"channel": change.get_flag_display()}


def _place(change: ConsentChange) -> str:
    if change.delivery:
        return f"DM{change.delivery}"
    return f"#{change.profile_import}" if change.profile_import else ""
