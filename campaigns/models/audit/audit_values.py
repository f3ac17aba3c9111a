"""What of an entry stands in the chain, and what beside it. Pure.

What is signed can never be taken back. So it holds references, field names, numbers and dates, the product's own words
(WORDS), and of every other value a digest: HMAC-SHA-256 of the value with a random salt of its own as the key. Value
and salt stand beside; with both erased the digest tells nothing, not even to whoever holds AUDIT_KEY and a list of all
addresses, and the chain still holds. Texts stand beside whatever they say, so that no list of personal fields can be
out of date; of recipients (profiles, test profiles, quarantine) everything that changed does.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol

VERSION = 2  # of the signed text; 1 had all values in it
LONGEST = 200_000  # characters of a text that are kept; of a longer one its beginning, length and fingerprint
LONGEST_PATH = 210
ERASED = "(erased)"
CHANGES = "before+after"  # no name of a detail
WHO = ("actor", "address", "agent", "subject")
# Names whose texts are the product's own: codes of refusals, states, digests of contents, methods, models.
WORDS = frozenset({"code", "state", "fingerprint", "method", "chain", "other"})
_WORD = re.compile(r"[\w.:-]{0,64}")  # no address, and nothing that anybody could have written as a sentence
_SIDES = ("before", "after")


class Kind(Enum):
    """Of whom a value tells."""

    RECIPIENT = "recipient"
    STAFF = "staff"
    OTHER = "other"  # of a thing; it may name anybody


class Row(Protocol):
    """A value as it stands beside: its path, of whom it tells, JSON for each side that there is, and its salt."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def before(self) -> str | None: ...
    @property
    def after(self) -> str | None: ...
    @property
    def salt(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Value:
    """A value that is to stand beside: JSON for each side that there is."""

    path: str
    kind: str
    before: str | None
    after: str | None
    salt: str


def split(
    told: Mapping[str, Any],
    who: Mapping[str, tuple[str, Kind]],
    *,
    about: Kind = Kind.OTHER,
    plain: Collection[str] = (),
) -> tuple[str, list[Value]]:
    """In: what is told (`before`, `after`, details), and who and what by WHO's names, each with its kind; `about`: of
    whom the rest tells; `plain`: further names whose values are no personal ones. Out: the content to sign, and the
    values to keep beside."""
    sides = {side: told[side] for side in _SIDES if isinstance(told.get(side), Mapping)}
    signed: dict[str, Any] = {}
    found = [_value(name, kind, _NONE, text) for name, (text, kind) in who.items() if text]
    for key in dict.fromkeys(key for side in sides.values() for key in side):
        held = {side: values[key] for side, values in sides.items() if key in values}
        if about is not Kind.RECIPIENT and all(_is_plain(key, value, plain) for value in held.values()):
            for side, value in held.items():
                signed.setdefault(side, {})[name_of(key)] = plainly(value)
        else:
            found.append(_value(f"{CHANGES}/{name_of(key)}", about, *(held.get(side, _NONE) for side in _SIDES)))
    for path, value in _flat({name: value for name, value in told.items() if name not in sides}, plain):
        if _is_plain(path[-1], value, plain):
            _put(signed, path, plainly(value))
        else:
            found.append(_value("/".join(path), about, _NONE, value))
    beside = {value.path: value for value in found}
    digests = {path: [_sides(value), digest(value)] for path, value in beside.items()}
    return compact({"told": signed, "digests": digests}), list(beside.values())


def digest(row: Row) -> str:
    """The keyed digest of a value: only whoever has its salt can tell of which."""
    text = compact([row.path, row.kind, row.before, row.after])
    return hmac.new(bytes.fromhex(row.salt), text.encode(), hashlib.sha256).hexdigest()


def fits(row: Row, own: str) -> bool:
    """True if the value is the one that was signed. A salt that is none never fits."""
    try:
        return hmac.compare_digest(digest(row), own)
    except ValueError:
        return False


def merged(content: Mapping[str, Any], rows: Iterable[Row], gone: str = ERASED) -> dict[str, Any]:
    """What was told, from what is signed and what stands beside; `gone` in place of what does not stand there."""
    told: dict[str, Any] = json.loads(json.dumps(content.get("told", {})))
    found = {row.path: row for row in rows}
    for path, (sides, _own) in content.get("digests", {}).items():
        if path in WHO:
            continue
        row, parts = found.get(path), path.split("/", 1)
        for side in _SIDES:
            if side[0] not in sides:
                continue
            text = getattr(row, side) if row else None
            place = (side, parts[1]) if parts[0] == CHANGES and len(parts) == 2 else tuple(parts)
            _put(told, place, json.loads(text) if text is not None else gone)
    return told


def one(digests: Mapping[str, Any], rows: Iterable[Row], path: str) -> str:
    """The value at a path that has only an `after`; '' if there never was one."""
    if path not in digests:
        return ""
    found = next((row.after for row in rows if row.path == path), None)
    return str(json.loads(found)) if found is not None else ERASED


# --- plain and not ----------------------------------------------------------------------------------


def _is_plain(name: str, value: Any, plain: Collection[str]) -> bool:
    """Numbers, dates and lists of references are no personal values by themselves; texts may be, but for our words."""
    if name in plain or value is None or isinstance(value, bool | int | float | Decimal | date | time | timedelta):
        return True
    if name in WORDS:
        texts = value.values() if isinstance(value, Mapping) else [value]
        return all(isinstance(text, str) and _WORD.fullmatch(text) for text in texts)
    if isinstance(value, list | tuple | set | frozenset):
        return all(isinstance(inner, int) for inner in value)
    return False


def plainly(value: Any) -> Any:
    """The value in what JSON and both databases take."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {name_of(key): plainly(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plainly(inner) for inner in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    text = str(value).encode("utf-8", "replace").decode()
    if len(text) <= LONGEST:
        return text
    mark = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[:LONGEST]}… ({len(text)} characters, SHA-256 {mark})"


def name_of(key: Any) -> str:
    """A key as part of a path: one line, 100 characters at most."""
    return line(key, 100)


def line(value: Any, most: int) -> str:
    """One line that every database takes."""
    text = str(value).encode("utf-8", "replace").decode()[: most * 2]
    return "".join(c if c.isprintable() else " " for c in text)[:most]


def compact(value: Any) -> str:
    """JSON without blanks, keys in order."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _flat(told: Mapping[str, Any], plain: Collection[str]) -> Iterable[tuple[tuple[str, ...], Any]]:
    """Details by their paths, with what a detail holds by name one level down."""
    for name, value in told.items():
        if isinstance(value, Mapping) and name not in WORDS and name not in plain:
            yield from (((name_of(name), name_of(key)), inner) for key, inner in value.items())
        else:
            yield (name_of(name),), value


def _put(told: dict[str, Any], path: tuple[str, ...] | list[str], value: Any) -> None:
    inner = told
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
    inner[path[-1]] = value


_NONE = object()  # no such side


def _value(path: str, kind: Kind, before: Any, after: Any) -> Value:
    was, now = (None if value is _NONE else _json(value) for value in (before, after))
    return Value(path[:LONGEST_PATH], kind.value, was, now, secrets.token_hex(32))


def _json(value: Any) -> str:
    return json.dumps(plainly(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _sides(value: Value) -> str:
    return "".join(side[0] for side in _SIDES if getattr(value, side) is not None)
