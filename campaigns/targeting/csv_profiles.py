"""Reads profiles from CSV: columns, cells and their errors. Knows no database.

The first line names the columns: Profile's fields (spaces and capitals do not matter) or `attributes.<name>`. UTF-8,
separated by comma, semicolon or tab.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from campaigns.core.kept_text import keep as _
from campaigns.core.one_line import BREAKING
from campaigns.core.time_zones import available_zones
from campaigns.core.translate_kept import translated
from campaigns.models import Profile
from campaigns.models.people.profile import PERSONAL_FIELDS

_READ_APART = ("email", "gender", "birth_date", "time_zone")
_COLUMN: Any = Profile._meta.get_field
TEXTS: dict[str, int] = {  # {column: its greatest length}
    name: _COLUMN(name).max_length for name in PERSONAL_FIELDS if name not in _READ_APART
}
WORDS = {
    "gender": {"unknown": 0, "male": 1, "m": 1, "female": 2, "f": 2, "0": 0, "1": 1, "2": 2},
    "email_format": {"unknown": 0, "text": 1, "html": 2, "0": 0, "1": 1, "2": 2},
}
YES_NO = {
    "1": True,
    "true": True,
    "yes": True,
    "y": True,
    "0": False,
    "false": False,
    "no": False,
    "n": False,
}
SWITCHES = ("opt_out", "opt_out_email")
COLUMNS = ("email", *TEXTS, *WORDS, "birth_date", "time_zone", *SWITCHES)
DEFAULTS: dict[str, object] = {
    "email": "",
    **dict.fromkeys(TEXTS, ""),
    **dict.fromkeys(WORDS, 0),
    "birth_date": None,
    "time_zone": "",
    **dict.fromkeys(SWITCHES, False),
}
MAX_CELL = 10_000
MAX_COLUMNS = 1_000
MAX_ATTRIBUTE = 1000  # characters
_ATTRIBUTE = re.compile(r"attributes\.([a-z][a-z0-9_]{0,63})")


class FileError(ValueError):
    """The file as a whole cannot be read; the text says why and what to do. `line` is where, 0 if everywhere."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.message, self.line = message, line


@dataclass(slots=True)
class Line:
    """A line of the file: its number, its values by column, and what is wrong with it as (column, message).

    An empty cell is None among the values, and '' among the attributes: what that means, whoever imports decides.
    """

    number: int
    values: dict[str, object] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)


class ProfileFile:
    """A CSV file of profiles. In: its bytes. Raises FileError if it is no such file."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.StringIO(_decode(data), newline="")
        self.size = len(self._stream.getvalue()) or 1
        self._rows = csv.reader(self._stream, delimiter=_delimiter(self._stream), strict=True)
        csv.field_size_limit(MAX_CELL)
        self.columns = _columns(self._next() or [])

    @property
    def progress(self) -> int:
        """Percent of the file that was read."""
        return min(100, 100 * self._stream.tell() // self.size)

    def lines(self) -> Iterator[Line]:
        """Each line with content, with its values or its problems. Raises FileError where the file breaks off."""
        while True:
            start = self._rows.line_num + 1
            row = self._next()
            if row is None:
                return
            if row:
                yield self._line(start, row)

    def _next(self) -> list[str] | None:
        try:
            return next(self._rows, None)
        except csv.Error as error:
            raise FileError(
                _("The file cannot be read on: %(why)s. Is a quotation mark left open?", why=error), self._rows.line_num
            ) from error

    def _line(self, number: int, row: list[str]) -> Line:
        line = Line(number)
        if len(row) != len(self.columns):
            line.problems.append(("", _wrong_width(len(row), len(self.columns))))
            return line
        for column, cell in zip(self.columns, row, strict=True):
            _read_cell(line, column, cell.strip())
        return line


def read_values(number: int, values: Mapping[str, object]) -> Line:
    """The same checks for a row that is no text: {column: value}, attributes as {"attributes": {name: text}}."""
    line = Line(number)
    if "email" not in values:
        line.problems.append(("email", _("No e-mail address.")))
    read_fields(line, values)
    return line


def as_text(value: object) -> str:
    """A value of JSON as attributes and fields hold it, which are texts alone: true, 3, 2.5; null is empty.

    Messages, filters and files read texts; a number beside them would compare and print by other rules in each.
    """
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_attributes(values: object, known: Collection[str] = ()) -> dict[str, str]:
    """Attributes from JSON as texts. In: {name: text, number, true or false}; `known`: names that need not be checked,
    since the profile has them. Raises ValidationError, with a sentence for each that cannot be kept."""
    line = Line(0)
    given = dict(values) if isinstance(values, Mapping) else values
    kept = {str(name): given.pop(name) for name in known if isinstance(given, dict) and name in given}
    read_fields(line, {"attributes": given or {}})
    problems = [*line.problems]
    for name, value in kept.items():
        try:
            line.attributes[name] = _attribute(value)
        except ValueError as error:
            problems.append((f"attributes.{name}", error.args[0]))
    if problems:
        raise ValidationError([f"{column}: {translated(words)}" for column, words in problems])
    return line.attributes


def _attribute(value: object) -> str:
    if isinstance(value, Mapping | list):
        raise ValueError(_("Write a text."))
    return _text(as_text(value).strip(), MAX_ATTRIBUTE)


def read_fields(line: Line, values: Mapping[str, object]) -> None:
    """Put the values of {column: value} into `line`, and what is wrong with them."""
    attributes = values.get("attributes") or {}
    if not isinstance(attributes, Mapping):
        line.problems.append(("attributes", _("Write attributes as an object of names and texts.")))
        attributes = {}
    cells = {name: value for name, value in values.items() if name != "attributes"}
    cells.update({f"attributes.{name}": value for name, value in attributes.items()})
    for column, value in cells.items():
        if isinstance(value, Mapping | list):
            line.problems.append((column, _("Write a text.")))
        elif column in COLUMNS or _ATTRIBUTE.fullmatch(column):
            _read_cell(line, column, as_text(value).strip())
        else:
            line.problems.append((column, _("There is no such field.")))


@lru_cache(maxsize=64)  # a file that is no CSV has the same fault in each of its lines
def _wrong_width(values: int, columns: int) -> str:
    return _("%(n)s values where the first line names %(columns)s columns.", n=values, columns=columns)


def _read_cell(line: Line, column: str, cell: str) -> None:
    attribute = _ATTRIBUTE.fullmatch(column)
    try:
        if attribute:
            line.attributes[attribute[1]] = _text(cell, MAX_ATTRIBUTE)
        else:
            line.values[column] = _value(column, cell) if cell or column == "email" else None
    except ValueError as error:
        line.problems.append((column, error.args[0]))


def _value(column: str, cell: str) -> object:
    if column == "email":
        return _email(cell)
    if column in TEXTS:
        return _text(cell, TEXTS[column])
    if column in WORDS:
        return _word(cell, WORDS[column])
    if column in SWITCHES:
        return _word(cell, YES_NO)
    return _date(cell) if column == "birth_date" else _zone(cell)


def _email(cell: str) -> str:
    address = cell.lower()
    if not address:
        raise ValueError(_("No e-mail address."))
    if len(address) > 254 or not address.isascii():
        raise ValueError(
            _("%(cell)s is no e-mail address that can be mailed: at most 254 ASCII characters.", cell=_short(cell))
        )
    try:
        validate_email(address)
    except ValidationError:
        raise ValueError(_("%(cell)s is no e-mail address.", cell=_short(cell))) from None
    return address


def _text(cell: str, limit: int) -> str:
    if len(cell) > limit:
        raise ValueError(_("%(n)s characters; at most %(most)s fit.", n=len(cell), most=limit))
    if BREAKING.search(cell):
        raise ValueError(_("Contains a line break or another control character."))
    return cell


def _word(cell: str, words: dict[str, object] | dict[str, int] | dict[str, bool]) -> object:
    if cell.lower() not in words:
        raise ValueError(_("%(cell)s is none of %(words)s.", cell=_short(cell), words=", ".join(words)))
    return words[cell.lower()]


def _date(cell: str) -> date:
    try:
        return date.fromisoformat(cell)
    except ValueError:
        raise ValueError(_("%(cell)s is no date; write it like 1990-12-31.", cell=_short(cell))) from None


def _zone(cell: str) -> str:
    if cell not in available_zones():
        raise ValueError(_("%(cell)s is no IANA time zone; write one like Europe/Paris.", cell=_short(cell)))
    return cell


def _short(cell: str) -> str:
    return repr(cell if len(cell) <= 60 else cell[:57] + "…")


def _decode(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        words = _("Line %(line)s is not UTF-8. Save the file as “CSV UTF-8” and upload it again.", line=str(line))
        raise FileError(words, line) from error
    if "\0" in text:
        words = _("The file contains NUL bytes: it is no CSV file.")
        raise FileError(words, text.count("\n", 0, text.index("\0")) + 1)
    return text


def _delimiter(stream: io.StringIO) -> str:
    header = stream.readline()
    stream.seek(0)
    return max(",;\t", key=header.count)


def _columns(header: list[str]) -> list[str]:
    if len(header) > MAX_COLUMNS:
        raise FileError(
            _("The first line names %(n)s columns; at most %(most)s are read.", n=len(header), most=MAX_COLUMNS), 1
        )
    names = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in header]
    names = ["email" if name in ("e_mail", "email_address", "e_mail_address") else name for name in names]
    unknown = [name for name in names if name not in COLUMNS and not _ATTRIBUTE.fullmatch(name)]
    if "email" not in names:
        raise FileError(_("The first line must name the columns, and one of them must be email."), 1)
    if unknown:
        raise FileError(
            _(
                "Unknown column %(names)s. Known are %(known)s and attributes.<name>.",
                names=", ".join(map(_short, unknown[:5])),
                known=", ".join(COLUMNS),
            ),
            1,
        )
    if len(set(names)) != len(names):
        raise FileError(_("The first line names a column twice."), 1)
    return names
