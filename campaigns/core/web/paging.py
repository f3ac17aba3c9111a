"""Pages of long lists: by key, where a page costs the same wherever it is and nothing is counted; or by number as the
admin has them, counted up to a bound.

How many rows a page has stands here alone. The API's lists are paged by key, too, by the framework's own cursors
(KeyPagination in campaigns/api/base.py, which the settings name for every list).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

ROWS = 50  # on a page for people
ROWS_FOR_PROGRAMS, MOST_ROWS = 100, 1000  # on a page of the API, where nothing else is asked for; and at most
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


def walk(rows: QuerySet[Any], size: int, *, key: str = "pk", after: int = 0) -> Iterator[list[Any]]:
    """All rows beyond `after` in the order of `key`, at most `size` in memory at a time, each time by one statement."""
    while some := list(rows.filter(**{f"{key}__gt": after}).order_by(key)[:size]):
        yield some
        after = getattr(some[-1], key)


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than `LIMIT`: a COUNT over millions would cost more than the page. Search reaches the rest."""

    LIMIT = 10_000

    @cached_property
    def count(self) -> int:
        """The number of rows, at most LIMIT."""
        rows: Any = self.object_list
        return int(rows.order_by()[: self.LIMIT].count())

    @property
    def cut(self) -> bool:
        """True if there may be more rows than it counts."""
        return self.count >= self.LIMIT


class BoundedList:
    """Mixin of every list in the admin: as many rows on a page as elsewhere, counted up to the bound."""

    paginator: ClassVar[Any] = BoundedPaginator
    list_per_page: ClassVar[int] = ROWS
    show_full_result_count: ClassVar[bool] = False
