"""The audit's chain: keyed digests, positions, anchors, and the proof that nothing was altered, removed or reordered.

A row is added with a digest of its content, HMAC-SHA-256 under AUDIT_KEY: whoever can write to the table but has not
the key cannot make one. Sealing then numbers committed rows without a gap and gives each a chain value over its
position, its predecessor's chain value and its own digest. Adding takes no lock, so nobody who confirms or sends ever
waits for the chain; sealing takes one, in a short transaction of its own, right after the commit, and the sweeper seals
what a kill left.

What the table itself cannot tell, that rows are cut off at its end, the anchors tell: each sealing writes the head's
position and chain value to the log and to a file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from campaigns.core.web.paging import walk
from campaigns.models.audit.entries import AuditEntry

logger = logging.getLogger("campaigns.audit.chain")

ROWS = 500  # sealed or read at once
ROWS_WITH_VALUES = 100
START = "0" * 64  # the chain value before the first row
ERASED = "audit.erased"
_LOCK = 0x61756469  # PostgreSQL's advisory lock of the sealer
_SIGNED = (
    "act",
    "outcome",
    "actor_id",
    "old_actor",
    "old_address",
    "old_agent",
    "channel",
    "subject_type",
    "subject_id",
    "old_subject",
    "content",
)


def _keys() -> list[bytes]:
    """The present key first; older ones only prove what they signed."""
    return [hashlib.sha256(b"audit:" + key.encode()).digest() for key in settings.AUDIT_KEYS]


def sign(text: str) -> str:
    """The keyed digest of a text, 64 hexadecimal digits."""
    return _sign(_keys()[0], text)


def _sign(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def signed(text: str, digest: str) -> bool:
    """True if one of our keys made `digest` over `text`."""
    return any(hmac.compare_digest(_sign(key, text).encode(), digest.encode()) for key in _keys())


def canonical(entry: Any) -> str:
    """All that a row says, as one text: JSON of its version (from 2 on), of the date in UTC to the microsecond, and of
    its columns in order. What stands beside is not in it, but for its digests in the content."""
    at = entry.at.astimezone(UTC).isoformat(timespec="microseconds")
    version = [entry.version] if entry.version > 1 else []
    return json.dumps([*version, at, *(getattr(entry, name) for name in _SIGNED)], separators=(",", ":"))


def digest(entry: Any) -> str:
    """The keyed digest of a row's content."""
    return sign(canonical(entry))


def link_text(position: int, previous: str, own: str) -> str:
    """What the chain value at `position` signs."""
    return f"{position}:{previous}:{own}"


def head() -> tuple[int, str]:
    """Position and chain value of the last sealed row; (0, START) before the first."""
    last = AuditEntry.objects.exclude(position=None).order_by("-position").values_list("position", "chain").first()
    return (last[0] or 0, last[1]) if last else (0, START)


def seal() -> int:
    """Give every committed row that has none its position and chain value. Out: how many. Safe at any time, at once."""
    total = 0
    while AuditEntry.objects.filter(position=None).exists():
        with transaction.atomic():
            sealed = _seal_some()
        total += sealed
        if sealed < ROWS:
            break
    return total


def _seal_some() -> int:
    if connection.vendor == "postgresql":  # SQLite's transaction holds the one lock there is
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    rows = list(AuditEntry.objects.filter(position=None).order_by("pk").values_list("pk", "digest")[:ROWS])
    position, previous = head()
    sealing = []
    for pk, own in rows:
        position += 1
        previous = sign(link_text(position, previous, own))
        sealing.append((position, previous, pk))
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(AuditEntry._meta.db_table)
        cursor.executemany(f"UPDATE {table} SET position = %s, chain = %s WHERE id = %s AND position IS NULL", sealing)
    if rows:
        transaction.on_commit(lambda: anchor(position, previous), robust=True)
    return len(rows)


# --- Anchors: what a cut at the end cannot take along ----------------------------------------------


def anchor_folder() -> Path:
    """Where this host keeps the heads that it sealed."""
    return Path(settings.DATA_DIR) / "audit"


def anchor(position: int, chain: str) -> None:
    """Note the head in the log and in this host's file."""
    logger.info("audit head %s %s", position, chain)
    with suppress(OSError):
        anchor_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        with (anchor_folder() / f"heads.{settings.HOST_ID}").open("a") as file:
            file.write(f"{position} {chain} {timezone.now().isoformat(timespec='seconds')}\n")


def anchors() -> Iterator[tuple[int, str]]:
    """The heads in this host's files. A torn line is left out."""
    for file in sorted(anchor_folder().glob("heads.*")):
        for line in file.read_text(errors="replace").splitlines():
            found = read_anchor(line)
            if found:
                yield found


def read_anchor(line: str) -> tuple[int, str] | None:
    """Position and chain value of a noted head, from a file's line or from the log's, or None."""
    words = line.rpartition("audit head ")[2].replace(":", " ").split()
    if len(words) >= 2 and words[0].isdecimal() and len(words[0]) < 19 and len(words[1]) == 64:
        return int(words[0]), words[1]
    return None


# --- Deleting what is over its time -----------------------------------------------------------------


def rows(after: int = 0, *, beside: bool = False) -> Iterator[AuditEntry]:
    """Sealed rows in the chain's order, read some at a time; `beside`: with the values beside them, so fewer."""
    some, most = AuditEntry.objects.all(), ROWS
    if beside:
        some, most = some.prefetch_related("beside"), ROWS_WITH_VALUES
    for found in walk(some, most, key="position", after=after):
        yield from found


def unsealed() -> Iterable[AuditEntry]:
    """Rows that wait for their position, with the values beside them."""
    return AuditEntry.objects.filter(position=None).prefetch_related("beside").order_by("pk").iterator(ROWS_WITH_VALUES)
