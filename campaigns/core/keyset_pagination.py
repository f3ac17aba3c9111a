"""Pages of long lists by key: a page costs the same wherever it is, and nothing is counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest

ROWS = 50
_GREATEST = 2**63 - 1


@dataclass(frozen=True)
class Page:
    """One page of rows, and the queries of the pages beside it; empty where there is none."""

    rows: Sequence[Any]
    back: str
    on: str


def page_of(
    parts: Iterable[QuerySet[Any]],
    request: HttpRequest,
    *,
    newest_first: bool = False,
    keep: Mapping[str, str] | None = None,
) -> Page:
    """The page that ?after=<id> or ?before=<id> names; the first without either.

    In: `parts`: querysets without common rows, whose union is the list. An index on (owner, status, id) gives each
    status in order of id, but not all of them together: those are merged here. `keep`: what the links carry on.
    """
    backwards = "before" in request.GET
    key = _number(request.GET.get("before" if backwards else "after", ""))
    descending = newest_first != backwards
    found = _first_rows(parts, key, descending)
    more, rows = len(found) > ROWS, found[:ROWS]
    if backwards:
        rows.reverse()
    kept = {name: value for name, value in (keep or {}).items() if value}
    return Page(
        rows,
        back=urlencode(kept | {"before": rows[0].pk}) if rows and (more if backwards else key is not None) else "",
        on=urlencode(kept | {"after": rows[-1].pk}) if rows and (more or backwards) else "",
    )


def _first_rows(parts: Iterable[QuerySet[Any]], key: int | None, descending: bool) -> list[Any]:
    """One row more than a page has, beyond `key`, in the order of the list."""
    bound = {} if key is None else {"pk__lt" if descending else "pk__gt": key}
    order = "-pk" if descending else "pk"
    found = chain.from_iterable(part.filter(**bound).order_by(order)[: ROWS + 1] for part in parts)
    return sorted(found, key=lambda row: row.pk, reverse=descending)[: ROWS + 1]


def _number(text: str) -> int | None:
    return min(int(text), _GREATEST) if text.isdecimal() and len(text) < 30 else None
