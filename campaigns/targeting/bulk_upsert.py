"""Creates or updates many profiles by address at once, all or none: what programs use instead of a CSV file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from django.db import transaction

from campaigns.accounts import units
from campaigns.audit import trail
from campaigns.consent.changes import Origin
from campaigns.consent.staged import Tally
from campaigns.models.audit.audit_values import Kind
from campaigns.models.people.imports import ProfileImport
from campaigns.models.units import OrganizationalUnit

from .csv_profiles import Line, read_values
from .import_profiles import move_staged, stage_lines

MAX_ROWS = 10_000
_NAMED_PROBLEMS = 100


class BadRows(ValueError):
    """Nothing was changed; `messages` names the rows (counted from 0) and what is wrong, the first hundred of them."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("; ".join(messages[:5]))
        self.messages = messages[:_NAMED_PROBLEMS]


class Upserted(NamedTuple):
    """How many profiles were made, changed, opted out and opted in again. `stay_out`: the rows, counted from 0, that
    would have opted somebody in again and did not, for want of a source."""

    created: int
    updated: int
    opted_out: int
    opted_in: int
    stay_out: list[int]


def upsert(
    rows: Sequence[Mapping[str, object]],
    origin: Origin,
    unit: OrganizationalUnit | None = None,
    *,
    empty_clears: bool = False,
) -> Upserted:
    """Create profiles for new addresses and update known ones in the fields that their row names.

    In: at most MAX_ROWS of {field: value}, `email` among them; `attributes` an object, merged. An unknown field, a
    value of the wrong kind, or an address named twice, raises BadRows. Null or an empty text says nothing, unless
    `empty_clears`, and of consent never. Known are the profiles at and below `unit` (None: all), and new ones become
    its own. `origin` says who acts; with a source, rows may opt people in again.
    """
    lines = [read_values(number, row) for number, row in enumerate(rows)]
    problems = [f"[{line.number}] {column}: {text}" for line in lines for column, text in line.problems]
    problems += _twice(lines)
    if problems:
        raise BadRows(problems)
    done: list[tuple[int, int, Tally]] = []
    with transaction.atomic():
        held = ProfileImport.objects.create(
            file_name="API",
            data=b"",
            state=ProfileImport.State.DONE,
            unit=unit or units.root(),
            empty_clears=empty_clears,
            created_by=origin.by,
        )
        for columns, alike in _by_columns(lines).items():
            stage_lines(held, alike)
            done.append(move_staged(held, list(columns), origin, 2 * MAX_ROWS))
        held.delete()
        sums = _summed(done)
        fields = sorted({name for line in lines for name in line.values})
        trail.record(
            "profiles.upserted", created=sums.created, updated=sums.updated, fields=fields, about=Kind.RECIPIENT
        )
    return sums


def _summed(done: Sequence[tuple[int, int, Tally]]) -> Upserted:
    said = [tally for _created, _updated, tally in done]
    return Upserted(
        sum(created for created, _updated, _said in done),
        sum(updated for _created, updated, _said in done),
        sum(one.opted_out for one in said),
        sum(one.opted_in for one in said),
        sorted({line for one in said for line, _column in one.stays}),
    )


def _twice(lines: Sequence[Line]) -> list[str]:
    seen: dict[object, int] = {}
    return [
        f"[{line.number}] email: the same address as [{first}]."
        for line in lines
        if (first := seen.setdefault(line.values.get("email", line.number), line.number)) != line.number
    ]


def _by_columns(lines: Sequence[Line]) -> dict[tuple[str, ...], list[Line]]:
    """Rows that name the same fields go together, for an update sets just those."""
    groups: dict[tuple[str, ...], list[Line]] = defaultdict(list)
    for line in lines:
        groups[tuple(sorted(line.values))].append(line)
    return groups
