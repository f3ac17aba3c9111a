"""Creates or updates many profiles by address at once, all or none: what programs use instead of a CSV file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from django.db import transaction

from . import audit, units
from .audit_values import Kind
from .csv_profiles import Line, read_values
from .import_models import ProfileImport
from .importing import move_staged, stage_lines
from .unit_models import OrganizationalUnit

MAX_ROWS = 10_000
_NAMED_PROBLEMS = 100


class BadRows(ValueError):
    """Nothing was changed; `messages` names the rows (counted from 0) and what is wrong, the first hundred of them."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("; ".join(messages[:5]))
        self.messages = messages[:_NAMED_PROBLEMS]


def upsert(rows: Sequence[Mapping[str, object]], unit: OrganizationalUnit | None = None) -> tuple[int, int]:
    """Create profiles for new addresses and update known ones in the fields that their row names.

    In: at most MAX_ROWS of {field: value}, `email` among them; `attributes` an object, merged. An empty field name or
    value of the wrong kind, or an address named twice, raises BadRows. Known are the profiles at and below `unit`
    (None: all), and new ones become its own. Out: (created, updated).
    """
    lines = [read_values(number, row) for number, row in enumerate(rows)]
    problems = [f"[{line.number}] {column}: {text}" for line in lines for column, text in line.problems]
    problems += _twice(lines)
    if problems:
        raise BadRows(problems)
    created = updated = 0
    with transaction.atomic():
        held = ProfileImport.objects.create(
            file_name="API", data=b"", state=ProfileImport.State.DONE, unit=unit or units.root()
        )
        for columns, alike in _by_columns(lines).items():
            stage_lines(held, alike)
            more_created, more_updated = move_staged(held, list(columns))
            created, updated = created + more_created, updated + more_updated
        held.delete()
        fields = sorted({name for line in lines for name in line.values})
        audit.record("profiles.upserted", created=created, updated=updated, fields=fields, about=Kind.RECIPIENT)
    return created, updated


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
