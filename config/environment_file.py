"""Reads the environment from a file as systemd does, for whoever is not started by it: Postfix's pipe, cron, a person.

A shell that sourced the file would carry out what stands in it: `$(…)`, backquotes, `;`. Here a value is text, as in
systemd.exec(5), EnvironmentFile=: `NAME=value` a line; lines that begin with # or ; are comments; quotes group, a
backslash takes the next character as it is (in double quotes only before \\, ", ` and $, in single quotes never), and
at the end of a line it joins the next one. Nothing is expanded.
"""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from pathlib import Path

VARIABLE = "ENVIRONMENT_FILE"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PIECE = re.compile(
    r"""
    '(?P<single>[^']*)'
    | "(?P<double>(?:[^"\\]|\\.)*)"
    | \\(?P<escaped>.)
    | (?P<plain>[^'"\\]+)
    """,
    re.VERBOSE | re.DOTALL,
)


class CannotRead(Exception):
    """One line: which file, or which line of it, and what to do."""


def load(environ: MutableMapping[str, str] = os.environ) -> None:
    """Add what the file named by ENVIRONMENT_FILE says; a variable that is set already stays as it is.

    Raises CannotRead where the file cannot be read or a line is none of the above.
    """
    name = environ.get(VARIABLE, "")
    if not name:
        return
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise CannotRead(f"{VARIABLE} names {name}, which cannot be read: {reason}.") from error
    for key, value in parse(text, name).items():
        environ.setdefault(key, value)


def parse(text: str, name: str = "the environment file") -> dict[str, str]:
    """{variable: value} of such a file; of several lines with one name the last counts. Raises CannotRead."""
    found = {}
    for number, line in _lines(text):
        key, equals, rest = line.partition("=")
        if not equals or not _NAME.fullmatch(key.strip()):
            raise CannotRead(f"{name}, line {number}: write NAME=value, or begin a comment with #.")
        found[key.strip()] = _value(rest, f"{name}, line {number}")
    return found


def _lines(text: str) -> list[tuple[int, str]]:
    """The lines that say something, each with its number; those that a backslash joins are one."""
    found: list[tuple[int, str]] = []
    going_on = False
    for number, line in enumerate(text.split("\n"), start=1):
        if not going_on and (not line.strip() or line.lstrip()[0] in "#;"):
            continue
        ends_open = len(line) - len(line.rstrip("\\"))
        piece = line[:-1] if ends_open % 2 else line
        if going_on:
            found[-1] = (found[-1][0], found[-1][1] + piece)
        else:
            found.append((number, piece))
        going_on = bool(ends_open % 2)
    return found


def _value(text: str, where: str) -> str:
    """Blanks around the value do not count, unless they are quoted."""
    pieces, at, text = [], 0, text.lstrip()
    while at < len(text):
        match = _PIECE.match(text, at)
        if match is None:
            raise CannotRead(f"{where}: a quote or a backslash has no end.")
        at = match.end()
        plain = match["plain"]
        pieces.append(_unquoted(match) if plain is None else plain.rstrip() if at == len(text) else plain)
    return "".join(pieces)


def _unquoted(match: re.Match[str]) -> str:
    if match["double"] is not None:
        return re.sub(r'\\([\\"`$])', r"\1", match["double"])
    return match["escaped"] if match["single"] is None else match["single"]
