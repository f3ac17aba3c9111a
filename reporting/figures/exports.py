"""Selections as files: CSV streamed row by row, or Excel by way of a temporary file; memory stays flat.

How far a file is shows beside the form that asked for it (export_progress.py). A cell that a spreadsheet would take for
a formula gets an apostrophe before it. Who took what away stands in the delivery's log, before the first row leaves and
again with the number of rows.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import IO, Any

from django.utils import timezone
from openpyxl import Workbook

from campaigns.accounts import permissions
from campaigns.core.actors import Person
from campaigns.core.kept_text import keep as _
from deliveries.ledger.events import log_event
from deliveries.models import Delivery

from .export_progress import Watch
from .row_sets import RowSet, local

SHEET_ROWS = 1_000_000  # Excel takes 1,048,576
LINES = 500  # sent together
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # Japanese Excel takes the wide ones too
_INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f]")


def safe(value: Any) -> Any:
    """A value for a cell: dates local, numbers as they are, texts that no program takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return local(value)
    if isinstance(value, int):
        return value
    text = _INVISIBLE.sub(" ", str(value))
    return f"'{text}" if text.lstrip().startswith(_FORMULA) or text.startswith(("\t", "\n")) else text


def file_name(selection: RowSet, ending: str) -> str:
    """Like sending_logs_20260501_134500.csv."""
    return f"{selection.name.replace('-', '_')}_{timezone.localtime():%Y%m%d_%H%M%S}.{ending}"


def audited(delivery: Delivery, by: Person, selection: RowSet, ending: str) -> Callable[[int, bool], None]:
    """Ask for the role and write down who takes what. Raises PermissionDenied. Out: to be told the number of rows, and
    whether these are all."""
    permissions.require_export(by, delivery.campaign)
    chosen = {name: value for name, value in selection.filters.items() if value}
    words = f" ({', '.join(f'{name}: {value}' for name, value in chosen.items())})" if chosen else ""
    what = f"{selection.title} as {ending}{words}"

    def note(code: str, text: str, **more: Any) -> None:
        log_event(delivery, code, text, user=by, selection=selection.name, filters=chosen, **more)

    def done(rows: int, whole: bool) -> None:
        words = _("%(by)s exported %(rows)s rows of %(what)s.", by=by, rows=rows, what=what)
        if not whole:
            words = _("%(by)s took %(rows)s rows of %(what)s and not the rest.", by=by, rows=rows, what=what)
        note("exported", words, rows=rows, whole=whole)

    note("export_started", _("%(by)s exports %(what)s.", by=by, what=what))
    return done


class _Echo:
    """A file for csv.writer that hands back what it is given."""

    def write(self, line: str) -> str:
        return line


def csv_bytes(selection: RowSet, watch: Watch) -> Iterator[bytes]:
    """The selection as CSV: semicolons, UTF-8 with a mark so that Excel knows it. Tells `watch`, also when cut short.
    Raises Cancelled."""
    writer: Any = csv.writer(_Echo(), delimiter=";")
    getters = [get for _, get in selection.columns]
    rows, gone, whole = 0, 0, False
    try:
        yield f"\ufeff{writer.writerow([label for label, _ in selection.columns])}".encode()  # the download starts
        watch.begin(selection)
        lines = []
        for row in selection.rows():
            lines.append(writer.writerow([safe(get(row)) for get in getters]))
            rows += 1
            if len(lines) >= LINES:
                yield "".join(lines).encode()
                lines.clear()
                gone = rows
                watch.at(gone)
        yield "".join(lines).encode()
        gone, whole = rows, True
    finally:
        watch.end(gone, whole=whole)


def xlsx_file(selection: RowSet, watch: Watch) -> IO[bytes]:
    """The selection as an Excel file, rewound, which is gone when it is closed; a new sheet every million rows. Tells
    `watch`. Raises Cancelled."""
    number, whole, book = 0, False, Workbook(write_only=True)
    try:
        watch.begin(selection)
        getters = [get for _, get in selection.columns]
        sheet = _sheet(book, selection)
        for number, row in enumerate(selection.rows(), start=1):
            if number > 1 and number % SHEET_ROWS == 1:
                sheet = _sheet(book, selection)
            sheet.append([safe(get(row)) for get in getters])
            watch.at(number)
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
        book.save(file)
        file.seek(0)
        whole = True
    finally:
        if not whole:
            _throw_away(book)
        watch.end(number, whole=whole)
    return file


def _throw_away(book: Any) -> None:
    """Remove the temporary files of sheets that nobody wants: the library would when the process ends."""
    for sheet in book.worksheets:
        sheet.close()
        sheet._writer.cleanup()


def _sheet(book: Any, selection: RowSet) -> Any:
    sheet = book.create_sheet(selection.name)
    sheet.append([label for label, _ in selection.columns])
    return sheet
