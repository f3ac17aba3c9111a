"""What staged rows (models/people/imports.py) say of consent, said of their profiles: many in a few statements.

A cell that is empty says nothing. “Yes” opts out; “no” opts in again if the import names the source of these people's
consent, and else the profile stays as it is, which is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.utils import timezone

from campaigns.audit import trail
from campaigns.core.kept_text import keep as _
from campaigns.models import Profile
from campaigns.models.people.consent import FLAGS, AddressOptIn, ConsentChange, is_held
from campaigns.models.people.imports import StagedProfile

from .changes import BY_LETTER, MOST_SOURCE, Flag, Origin

STAYS_OUT = _("Stays opted out: to opt people in again, say so when you import, and name the source of their consent.")
_STAGED, _PROFILE, _CHANGE, _BACK = (
    model._meta.db_table for model in (StagedProfile, Profile, ConsentChange, AddressOptIn)
)
_SAID = "consent_said"  # temporary: rows that would change something
_LETTERS = ", ".join(f"'{way}'" for way in BY_LETTER)


@dataclass(slots=True)
class Tally:
    """How many profiles were opted out and in again, and how many lines would have opted in and did not. `stays`: the
    (line, column) of these, as many as were asked for."""

    opted_out: int = 0
    opted_in: int = 0
    stay_out: int = 0
    stays: list[tuple[int, str]] = field(default_factory=list)


def apply(import_id: int, reach: str, origin: Origin, most: int) -> Tally:
    """Say of profiles what the staged rows of an import say, in the caller's transaction; all of them exist by now.

    In: `reach`: the condition on the profiles that it may change (import_profiles.py); an origin with a source may opt
    in again; `most`: lines to be told of.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {_SAID}")
        cursor.execute(f"CREATE TEMPORARY TABLE {_SAID} AS {_differing(reach)}", [import_id])
        tally = _apply(cursor, origin, most)
        cursor.execute(f"DROP TABLE {_SAID}")  # an error's roll-back does so, too
    return tally


def _differing(reach: str) -> str:
    """The rows that say something else than their profile has, or something that a letter has said; one pass."""
    last = f"(SELECT MAX(id) FROM {_CHANGE} WHERE profile_id = p.id AND flag = '{Flag.EMAIL}')"
    by_letter = f"EXISTS (SELECT 1 FROM {_CHANGE} c WHERE c.id = {last} AND c.way IN ({_LETTERS}))"
    held = is_held("s.email", "p.id")
    return f"""
        SELECT s.line, s.email, p.id AS profile_id, s.opt_out AS say_opt_out, s.opt_out_email AS say_opt_out_email,
               p.opt_out AS was_opt_out, p.opt_out_email AS was_opt_out_email,
               CASE WHEN {held} THEN 1 ELSE 0 END AS held, CASE WHEN {by_letter} THEN 1 ELSE 0 END AS by_letter
        FROM {_STAGED} s JOIN {_PROFILE} p ON p.email = s.email
        WHERE s.profile_import_id = %s AND p.id = (SELECT MIN(id) FROM {_PROFILE} WHERE email = s.email{reach})
        AND (s.opt_out <> p.opt_out OR s.opt_out_email <> p.opt_out_email
             OR (s.opt_out_email AND {by_letter}) OR (NOT s.opt_out_email AND {held}))"""


_BACK_AT_ADDRESS = "NOT say_opt_out_email AND held = 1"
_OUT = " OR ".join(f"(say_{flag} AND NOT was_{flag})" for flag in FLAGS)
_IN = " OR ".join([*(f"(NOT say_{flag} AND was_{flag})" for flag in FLAGS), f"({_BACK_AT_ADDRESS})"])


def _apply(cursor: Any, origin: Origin, most: int) -> Tally:
    opted_out, differing = _count(cursor, _OUT), _count(cursor, _IN)
    for flag in FLAGS:
        theirs = "OR by_letter = 1" if flag == Flag.EMAIL else ""  # said again: no undo of the letter's takes it back
        _note(cursor, flag, origin, f"say_{flag} AND (NOT was_{flag} {theirs})")
        _switch(cursor, flag, f"say_{flag} AND NOT was_{flag}", to=True)
    tally = Tally(opted_out)
    if not origin.source.strip():
        tally.stay_out, tally.stays = differing, _stays(cursor, most)
    else:
        _opt_in(cursor, origin)
        tally.opted_in = differing
    _tell_audit(origin, tally)
    return tally


def _opt_in(cursor: Any, origin: Origin) -> None:
    for flag in FLAGS:
        _note(cursor, flag, origin, f"NOT say_{flag} AND was_{flag}", after=False)
        _switch(cursor, flag, f"NOT say_{flag} AND was_{flag}", to=False)
    _note(cursor, Flag.ADDRESS, origin, _BACK_AT_ADDRESS, after=False)
    cursor.execute(
        f"INSERT INTO {_BACK} (profile_id, address, at) SELECT profile_id, email, %s FROM {_SAID} "
        f"WHERE {_BACK_AT_ADDRESS}",
        [_now()],
    )


def _count(cursor: Any, where: str) -> int:
    cursor.execute(f"SELECT COUNT(*) FROM {_SAID} WHERE {where}")
    return int(cursor.fetchone()[0])


def _switch(cursor: Any, flag: str, where: str, *, to: bool) -> None:
    those = f"SELECT profile_id FROM {_SAID} WHERE {where}"
    cursor.execute(f"UPDATE {_PROFILE} SET {flag} = %s, modified_at = %s WHERE id IN ({those})", [to, _now()])


def _note(cursor: Any, flag: str, origin: Origin, where: str, *, after: bool = True) -> None:
    """Rows of history; `was` of an address is: opted out."""
    before = "TRUE" if flag == Flag.ADDRESS else f"was_{flag}"
    names = ("at", "flag", "after", "way", "source", "by_id", "by_name", "profile_import")
    by = getattr(origin.by, "pk", None)
    source = "" if after else origin.source.strip()[:MOST_SOURCE]
    values = [_now(), str(flag), after, str(origin.way), source, by, origin.by_name[:300], origin.profile_import]
    columns = ", ".join(map(connection.ops.quote_name, ("profile_id", "before", *names)))
    marks = ", ".join(["%s"] * len(names))
    cursor.execute(
        f"INSERT INTO {_CHANGE} ({columns}) SELECT profile_id, {before}, {marks} FROM {_SAID} WHERE {where} "
        "ORDER BY profile_id",
        values,
    )


def _stays(cursor: Any, most: int) -> list[tuple[int, str]]:
    wanted = [(flag, f"NOT say_{flag} AND was_{flag}") for flag in FLAGS]
    wanted[1] = (FLAGS[1], f"({wanted[1][1]}) OR ({_BACK_AT_ADDRESS})")
    found: list[tuple[int, str]] = []
    for flag, where in wanted:
        cursor.execute(f"SELECT line FROM {_SAID} WHERE {where} ORDER BY line LIMIT %s", [most])
        found += [(line, flag) for (line,) in cursor.fetchall()]
    return sorted(found)[:most]


def _tell_audit(origin: Origin, tally: Tally) -> None:
    """One row for all of an import, in the name of whoever made it."""
    by = origin.by if getattr(origin.by, "pk", None) else None
    subject = f"import {origin.profile_import}" if origin.profile_import else str(origin.way)
    told: dict[str, Any] = {"by": by, "subject_id": subject, "way": str(origin.way)}
    if by is not None and tally.opted_out:
        trail.record("consent.opted_out", profiles=tally.opted_out, **told)
    if by is not None and tally.opted_in:
        trail.record("consent.opted_in", profiles=tally.opted_in, source=origin.source.strip(), **told)


def _now() -> Any:
    return connection.ops.adapt_datetimefield_value(timezone.now())
