"""Imports profiles from CSV in the background: stage every line, then change the profiles in one transaction.

A killed worker leaves staged lines alone, never half an import; the next run starts anew. An address that a profile
has already updates the oldest such profile, in the columns that the file names; others become new profiles. Known are
those at and below the import's unit alone: those of others are neither changed nor told of. An empty cell says nothing,
unless the import says that empty cells clear; of consent it never says anything (staged.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from campaigns.accounts import units
from campaigns.audit import trail
from campaigns.consent import changes as consent
from campaigns.consent import staged
from campaigns.core import queue
from campaigns.core.actors import Person
from campaigns.core.job_heartbeat import SignsOfLife, Superseded
from campaigns.core.kept_text import for_json
from campaigns.core.kept_text import keep as _
from campaigns.core.web.slow_statements import unhurried
from campaigns.models import Audience, AudienceMember, Profile
from campaigns.models.people.imports import ImportProblem, ProfileImport, StagedProfile
from campaigns.models.units import ROOT

from .csv_profiles import COLUMNS, DEFAULTS, SWITCHES, TEXTS, WORDS, FileError, Line, ProfileFile

MAX_BYTES = 64 * 1024 * 1024
KEPT_PROBLEMS = 1000
CHUNK = 2000
_SIGNS = SignsOfLife("alive_at")
MOST_RUNS = 5  # a file that kills its worker, or meets a fault of the program, is not tried for ever
_OPEN = (ProfileImport.State.WAITING, ProfileImport.State.READING)
_STAGED = StagedProfile._meta.db_table
_PROFILE = Profile._meta.db_table
_PLAIN = (*(column for column in COLUMNS if column not in SWITCHES), "attributes")


def start(
    data: bytes,
    file_name: str,
    *,
    by: Person | None,
    skip_errors: bool = False,
    audience: Audience | None = None,
    empty_clears: bool = False,
    consent_source: str = "",
) -> ProfileImport:
    """Keep the file and enqueue its import. In: `consent_source`: where these people said that they want mail again;
    without it nobody is opted in again. Raises FileError at once if it is too large or its first line is wrong."""
    if len(data) > MAX_BYTES:
        raise FileError(_("The file is larger than %(n)s MB. Split it.", n=MAX_BYTES // 2**20))
    columns = ProfileFile(data).columns
    with transaction.atomic():
        held = ProfileImport.objects.create(
            file_name=file_name[:255],
            data=data,
            skip_errors=skip_errors,
            audience=audience,
            created_by=by,
            empty_clears=empty_clears,
            consent_source=consent_source.strip()[: consent.MOST_SOURCE],
            unit=(by and units.unit_of(by)) or units.root(),
        )
        trail.record(
            "import.started",
            by=by,
            subject=held,
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            columns=columns,
            skip_errors=skip_errors,
            audience=held.audience_id,
            empty_clears=empty_clears,
            opts_in=bool(held.consent_source),
        )
        queue.enqueue(queue.Task.IMPORT_PROFILES, held.pk)
    return held


def silent() -> QuerySet[ProfileImport]:
    """Imports whose worker died or never heard of them; the sweeper enqueues them again."""
    return ProfileImport.objects.filter(_SIGNS.silent, state__in=_OPEN, run__lt=MOST_RUNS).defer("data")


def run(import_id: int) -> None:
    """Read, check and apply the import, unless it has ended or somebody does it. Safe to call again after any kind of
    death, and by two workers at once."""
    held = _take(import_id)
    if held is None:
        return
    StagedProfile.objects.filter(profile_import=held).delete()
    ImportProblem.objects.filter(profile_import=held).delete()
    try:
        columns = _stage(held)
    except FileError as error:
        _refuse(held, [(error.line, "", error.message)])
    except Superseded:
        return
    else:
        _find_duplicates(held)
        _apply_or_refuse(held, columns)


def _take(import_id: int) -> ProfileImport | None:
    """Become the one who carries the import out; None if nobody is needed."""
    with transaction.atomic():
        # Whoever applies it holds the row for as long as that takes, without a sign of life.
        free = ProfileImport.objects.select_for_update(skip_locked=True).filter(
            Q(state=ProfileImport.State.WAITING) | Q(_SIGNS.silent, state=ProfileImport.State.READING), pk=import_id
        )
        held = free.defer("data").first()
        if held is None:
            return None
        mine = ProfileImport.objects.filter(pk=import_id)
        reading = ProfileImport.State.READING
        _SIGNS.give(mine, state=reading, run=held.run + 1, progress=0, lines=0, errors=0)
    return ProfileImport.objects.get(pk=import_id)


def _stage(held: ProfileImport) -> list[str]:
    """Stage the correct lines and report the others, chunk by chunk; returns the file's columns."""
    file = ProfileFile(bytes(held.data))
    lines = file.lines()
    while chunk := list(islice(lines, CHUNK)):
        with transaction.atomic():
            stage_lines(held, [line for line in chunk if not line.problems])
            _report(held, ((line.number, *problem) for line in chunk for problem in line.problems))
            bad = sum(1 for line in chunk if line.problems)
            _alive(held, lines=F("lines") + len(chunk), errors=F("errors") + bad, progress=min(file.progress, 90))
    return file.columns


def stage_lines(held: ProfileImport, lines: list[Line]) -> None:
    """Put lines without problems into the import's staging rows."""
    names = ("profile_import_id", "run", "line", *COLUMNS, "attributes")
    marks = ", ".join(["%s"] * len(names))
    rows: list[Any] = [
        (
            held.pk,
            held.run,
            line.number,
            *_values(line, held.empty_clears),
            json.dumps(line.attributes if held.empty_clears else {k: v for k, v in line.attributes.items() if v}),
        )
        for line in lines
    ]
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {_STAGED} ({', '.join(names)}) VALUES ({marks})", rows)


def _values(line: Line, empty_clears: bool) -> list[object]:
    """By column. None says nothing: a column that the line lacks, an opt-out that is empty, any that is empty unless
    such cells clear."""
    given = line.values
    if not empty_clears:
        return [given.get(column) for column in COLUMNS]
    empty = {column for column, value in given.items() if value is None}.difference(SWITCHES)
    cleared = {column: DEFAULTS[column] for column in empty}
    return [cleared.get(column, given.get(column)) for column in COLUMNS]


def _report(held: ProfileImport, problems: Iterable[tuple[int, str, str]]) -> None:
    room = KEPT_PROBLEMS - held.problems.count()
    ImportProblem.objects.bulk_create(
        ImportProblem(profile_import=held, line=line, column=column, message=text[:500], said=for_json(text))
        for line, column, text in islice(problems, max(0, room))
    )


def _alive(held: ProfileImport, **changes: object) -> None:
    mine = ProfileImport.objects.filter(pk=held.pk, run=held.run, state=ProfileImport.State.READING)
    _SIGNS.give(mine, **changes)


def _find_duplicates(held: ProfileImport) -> None:
    """The second line of an address is an error: which of the two should win, only a person can say."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""SELECT s.id, s.line, s.email, first.line FROM {_STAGED} s JOIN
                (SELECT email, MIN(line) AS line FROM {_STAGED} WHERE profile_import_id = %s
                 GROUP BY email HAVING COUNT(*) > 1) first ON first.email = s.email
                WHERE s.profile_import_id = %s AND s.line > first.line ORDER BY s.line""",
            [held.pk, held.pk],
        )
        found = cursor.fetchall()
    with transaction.atomic():
        for start_at in range(0, len(found), CHUNK):
            StagedProfile.objects.filter(pk__in=[row[0] for row in found[start_at : start_at + CHUNK]]).delete()
        told = (
            (line, "email", _("%(email)s stands in line %(line)s already.", email=email, line=str(first)))
            for _pk, line, email, first in found
        )
        _report(held, told)
        ProfileImport.objects.filter(pk=held.pk).update(errors=F("errors") + len(found))


def _apply_or_refuse(held: ProfileImport, columns: list[str]) -> None:
    held.refresh_from_db(fields=["errors", "lines"])
    if held.errors and not held.skip_errors:
        _refuse(held, [])
    elif not held.lines:
        _refuse(held, [(1, "", _("The file has no lines after the first."))])
    else:
        _apply(held, columns)


def _refuse(held: ProfileImport, problems: list[tuple[int, str, str]]) -> None:
    with transaction.atomic():
        _report(held, problems)
        ended = _end(held, ProfileImport.State.REFUSED, errors=F("errors") + len(problems))
        if ended:
            StagedProfile.objects.filter(profile_import=held).delete()
            held.refresh_from_db(fields=["errors"])
            trail.record(
                "import.refused", by=held.created_by, subject=held, outcome=trail.Outcome.REFUSED, errors=held.errors
            )


def _apply(held: ProfileImport, columns: list[str]) -> None:
    """The one transaction that changes profiles; whoever ends the import first has done it."""
    with transaction.atomic(), unhurried():
        if _end(held, ProfileImport.State.DONE):
            source = consent.Origin(
                consent.Way.IMPORT, by=held.created_by, source=held.consent_source, profile_import=held.pk
            )
            members = _members(held)
            created, updated, said = move_staged(held, columns, source, KEPT_PROBLEMS)
            counts: dict[str, Any] = {"opted_out": said.opted_out, "opted_in": said.opted_in, "stay_out": said.stay_out}
            ProfileImport.objects.filter(pk=held.pk).update(created=created, updated=updated, **counts)
            _report(held, ((line, column, staged.STAYS_OUT) for line, column in said.stays))
            trail.record(
                "import.done",
                by=held.created_by,
                subject=held,
                created=created,
                updated=updated,
                errors=held.errors,
                columns=columns,
                audience=held.audience_id,
                members_added=_members(held) - members,
                **counts,
            )


def _members(held: ProfileImport) -> int:
    """How many profiles the list has that the import fills."""
    return AudienceMember.objects.filter(audience=held.audience_id).count() if held.audience_id else 0


def move_staged(
    held: ProfileImport, columns: list[str], origin: consent.Origin, most: int
) -> tuple[int, int, staged.Tally]:
    """Turn the staged rows into profiles, in the caller's transaction.

    In: `origin` of what they say of consent, and `most` lines that are told to change nothing of it. Out: (created,
    updated, what became of consent).
    """
    with connection.cursor() as cursor:
        reach = _reach(held)
        cursor.execute(_update_sql(columns, reach, held.empty_clears), [_now(), held.pk])
        updated = cursor.rowcount
        cursor.execute(_insert_sql(reach), [held.unit_id, _now(), _now(), held.pk])
        created = cursor.rowcount
        if held.audience_id:
            cursor.execute(_member_sql(reach), [held.audience_id, held.pk])
    mentioned = not {*SWITCHES}.isdisjoint(columns)
    said = staged.apply(held.pk, reach, origin, most) if mentioned else staged.Tally()
    StagedProfile.objects.filter(profile_import=held).delete()
    return created, updated, said


def _end(held: ProfileImport, state: str, **changes: object) -> int:
    mine = ProfileImport.objects.filter(pk=held.pk, run=held.run, state=ProfileImport.State.READING)
    return mine.update(state=state, finished_at=timezone.now(), progress=100, data=b"", **changes)


def _now() -> Any:
    """The time as the database's own driver stores it: raw statements bypass Django's conversion."""
    return connection.ops.adapt_datetimefield_value(timezone.now())


def _reach(held: ProfileImport) -> str:
    """A condition on the profiles that the import may change; empty at the root, where it may change all."""
    if held.unit_id == ROOT:
        return ""
    keys = units.below(held.unit).values_list("pk", flat=True)
    return f" AND unit_id IN ({', '.join(str(int(key)) for key in keys)})"


def _update_sql(columns: list[str], reach: str, empty_clears: bool) -> str:
    named = [c for c in columns if c in COLUMNS and c not in ("email", *SWITCHES)]
    merged = (
        "p.attributes || s.attributes"
        if connection.vendor == "postgresql"
        else "json_patch(p.attributes, s.attributes)"
    )
    said = (f"s.{c}" if empty_clears else f"COALESCE(s.{c}, p.{c})" for c in named)
    sets = [f"{c} = {value}" for c, value in zip(named, said, strict=True)] + [
        "modified_at = %s",
        f"attributes = {merged}",
    ]
    return f"""UPDATE {_PROFILE} AS p SET {", ".join(sets)} FROM {_STAGED} s
               WHERE s.profile_import_id = %s AND p.email = s.email
               AND p.id = (SELECT MIN(id) FROM {_PROFILE} WHERE email = s.email{reach})"""


def _insert_sql(reach: str) -> str:
    """New profiles are not opted out yet: staged.py says it, as of the others."""
    texts, numbers = dict.fromkeys(TEXTS, "''"), dict.fromkeys(WORDS, "0")
    defaults = {**texts, **numbers, "time_zone": "''"}
    picked = [f"COALESCE(s.{name}, {defaults[name]})" if name in defaults else f"s.{name}" for name in _PLAIN]
    return f"""INSERT INTO {_PROFILE} ({", ".join(_PLAIN)}, {", ".join(SWITCHES)}, unit_id, created_at, modified_at)
               SELECT {", ".join(picked)}, FALSE, FALSE, %s, %s, %s FROM {_STAGED} s WHERE s.profile_import_id = %s
               AND NOT EXISTS (SELECT 1 FROM {_PROFILE} WHERE email = s.email{reach}) ORDER BY s.line"""


def _member_sql(reach: str) -> str:
    return f"""INSERT INTO {AudienceMember._meta.db_table} (audience_id, profile_id)
               SELECT %s, MIN(p.id) FROM {_STAGED} s JOIN {_PROFILE} p ON p.email = s.email{reach}
               WHERE s.profile_import_id = %s GROUP BY s.email ON CONFLICT DO NOTHING"""
