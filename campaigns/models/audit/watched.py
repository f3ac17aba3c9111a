"""Changes of rows in the audit, by whatever way they came: one by one, or a whole queryset at once.

audit_signals.py hears of rows that are saved and deleted one by one; `Watched` is the queryset of the models whose
changes are told (sides.py), so that update(), bulk_create() and delete() cannot pass unheard either. Up to SINGLY
rows of one act are told each with before and after, more of them by one entry with their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from django.db import models, transaction

from . import sides as audit_sides
from .sides import Told

M = TypeVar("M", bound=models.Model)
_writer: Any = None
Sides = tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]  # before and after
SINGLY = 20  # rows of one act that are told one by one
REFERENCES = 1000  # … whose numbers are told, of more
_SECRET = frozenset({"password", "secret", "old_secret", "digest", "token_key"})
_quiet: ContextVar[bool] = ContextVar("audit_quiet", default=False)


@dataclass
class _Heap:
    """Rows of one act."""

    model: type[models.Model]
    number: int = 0
    references: list[int] = field(default_factory=list)
    drafts: list[Any] = field(default_factory=list)


_heaps: ContextVar[dict[tuple[str, str], _Heap] | None] = ContextVar("audit_heaps", default=None)


def written_by(writer: Any) -> None:
    """Who writes entries: the room audit.trail, which stands above the tables and is handed in when the product
    starts."""
    global _writer
    _writer = writer


def is_quiet() -> bool:
    """True if changes of rows are told by somebody else now."""
    return _quiet.get()


@contextmanager
def told_elsewhere() -> Iterator[None]:
    """Within, changes of rows are not told: the caller writes an entry about all of them, or nobody's act made them."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


@contextmanager
def gathered() -> Iterator[None]:
    """Within, changes of rows are gathered and told at the end, a crowd by one entry; in the caller's transaction."""
    if _heaps.get() is not None:
        yield
        return
    heaps: dict[tuple[str, str], _Heap] = {}
    token = _heaps.set(heaps)
    try:
        yield
    finally:
        _heaps.reset(token)
    for (act, _model), heap in heaps.items():
        _tell_heap(act, heap)


def _tell_heap(act: str, heap: _Heap) -> None:
    if heap.number <= SINGLY:
        for draft in heap.drafts:
            _writer.write(draft)
        return
    tell_crowd(act, heap.model, heap.number, heap.references)


def tell_crowd(
    act: str, model: type[models.Model], number: int, references: Iterable[Any], fields: Iterable[str] = ()
) -> None:
    """One entry about many rows: how many, the first REFERENCES of their numbers, and which fields."""
    keys = sorted([key for key in references if isinstance(key, int)][:REFERENCES])
    _writer.record(
        act,
        number=number,
        references=keys,
        fields=list(fields) or None,
        other=model._meta.label_lower,
        plain=["fields"],
        about=audit_sides.about(model),
    )


def tell(act: str, row: models.Model, sides: Callable[[], Sides]) -> None:
    """Write down what became of a row, now or when all that is gathered is told. In: `sides` gives before and after."""
    heaps = _heaps.get()
    if heaps is None:
        before, after = sides()
        _writer.record(act, subject=row, before=before, after=after)
        return
    heap = heaps.setdefault((act, row._meta.label_lower), _Heap(type(row)))
    heap.number += 1
    if heap.number <= REFERENCES:
        heap.references.append(row.pk)
    if heap.number <= SINGLY:
        before, after = sides()
        heap.drafts.append(_writer.draft(act, {"before": before, "after": after}, subject=row))
    else:
        heap.drafts.clear()


# --- what a row says --------------------------------------------------------------------------------


def values(row: models.Model, told: Told, only: Iterable[str] | None = None) -> dict[str, Any]:
    """What the row says in the fields that are told; of `only` these (names or columns). A secret only tells whether it
    is another than before."""
    wanted = None if only is None else set(only)
    missing = row.get_deferred_fields()
    return {
        column.attname: _told(column, getattr(row, column.attname))
        for column in row._meta.concrete_fields
        if column.name not in told.untold
        and column.attname not in missing
        and (wanted is None or column.name in wanted or column.attname in wanted)
    }


def _told(column: Any, value: Any) -> Any:
    if hasattr(value, "resolve_expression"):
        return "(computed)"
    if column.name in _SECRET and value:
        return f"(secret {hashlib.sha256(str(value).encode()).hexdigest()[:6]})"
    if isinstance(value, str) and not isinstance(column, models.CharField | models.TextField):
        try:
            return column.to_python(value)  # as it will be read: "2026-05-01" is that day
        except Exception:
            return value
    return value


def filled(held: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty: a row that comes or goes is told by what it holds."""
    return {name: value for name, value in held.items() if value is not None and value != "" and value not in ([], {})}


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What differs, as it was and as it is."""
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}


# --- whole querysets --------------------------------------------------------------------------------


class Watched(models.QuerySet[M]):
    """Tells what update(), bulk_create() and delete() did, unless only fields changed that are not told."""

    def update(self, **changes: Any) -> int:
        """Update, and tell of which rows and how."""
        told = audit_sides.told_of(self.model)
        names = set(changes) - told.untold if told else set()
        if told is None or not names or is_quiet():
            return super().update(**changes)
        with transaction.atomic(savepoint=False), gathered():
            keys = self._keys()
            before = _rows(self.model, told, keys, names)
            number = super().update(**changes)
            _tell_update(self.model, told, names, number, keys, before)
        return number

    def _keys(self) -> list[Any]:
        """Of the first rows, before they change: afterwards the conditions may not hold any more."""
        some = self.order_by()
        some.query.select_for_update = False  # names of tables to lock fit no list of keys
        return list(some.values_list("pk", flat=True)[: REFERENCES + 1])

    def bulk_create(self, objs: Iterable[M], *args: Any, **kwargs: Any) -> list[M]:
        """Add the rows, and tell of them."""
        rows = list(objs)
        told = audit_sides.told_of(self.model)
        if told is None or is_quiet() or not rows:
            return super().bulk_create(rows, *args, **kwargs)
        with transaction.atomic(savepoint=False), gathered():
            made = super().bulk_create(rows, *args, **kwargs)
            _tell_added(self.model, told, made)
        return made

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete, and tell of all that goes by one entry each kind."""
        with transaction.atomic(savepoint=False), gathered():
            return super().delete()

    # As Django's own: templates may not call them, and delete() is no method of managers.
    update.alters_data = True  # type: ignore[attr-defined]
    bulk_create.alters_data = True  # type: ignore[attr-defined]
    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


def _tell_added(model: type[models.Model], told: Told, made: list[Any]) -> None:
    act = f"{told.name}.added"
    if len(made) > SINGLY:
        tell_crowd(act, model, len(made), (row.pk for row in made))
        return
    for row in made:
        tell(act, row, partial(_added, row, told))


def _added(row: models.Model, told: Told) -> Sides:
    return None, filled(values(row, told))


def _rows(model: type[models.Model], told: Told, keys: list[Any], names: Iterable[str]) -> dict[Any, dict[str, Any]]:
    """What the fields of a few rows say, by key; nothing of a crowd."""
    if len(keys) > SINGLY:
        return {}
    return {row.pk: values(row, told, names) for row in model._base_manager.filter(pk__in=keys)}


def _tell_update(
    model: type[models.Model], told: Told, names: set[str], number: int, keys: list[Any], before: dict[Any, Any]
) -> None:
    act = f"{told.name}.changed"
    if len(keys) > SINGLY:
        tell_crowd(act, model, number, keys, sorted(names))
        return
    for row in model._base_manager.filter(pk__in=keys):
        was, now = differing(before.get(row.pk, {}), values(row, told, names))
        if now:
            tell(act, row, partial(_both, was, now))


def _both(before: dict[str, Any], after: dict[str, Any]) -> Sides:
    return before, after
