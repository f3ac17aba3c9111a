"""The seal: a digest for each thing that recipients will see, or that decides who gets it and when.

Pure. Preparation stores the seal of what it prepared; confirming compares it with the seal of what stands now, and
names the parts that differ (architecture.md, The life of a delivery).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

Seal = dict[str, str]


def seal(parts: Mapping[str, object]) -> Seal:
    """Digest each part. In: {part: JSON-like value, dates and numbers included}. Out: {part: 32 hex digits}."""
    return {name: _digest(value) for name, value in parts.items()}


def changed_parts(sealed: Seal, now: Seal) -> list[str]:
    """The parts that differ, in the order of `now`; a part that only one side knows differs."""
    names = [*now, *(name for name in sealed if name not in now)]
    return [name for name in names if sealed.get(name) != now.get(name)]


def word(sealed: Seal) -> str:
    """A seal as one word, for forms and If-Match: the digests in the order of their parts' names."""
    return "-".join(sealed[part] for part in sorted(sealed))


def changed_since_seen(seen: str, now: Seal) -> list[str]:
    """The parts that differ from those of the seal whose `word` somebody saw, by name; all where it is the word of no
    such seal.

    Whole digests are compared: who writes both texts could find two that share the beginning of one.
    """
    digests = seen.split("-")
    known = dict(zip(sorted(now), digests, strict=True)) if len(digests) == len(now) else {}
    return by_name(known, now)


def by_name(sealed: Seal, now: Seal) -> list[str]:
    """The parts that differ, by name: seals that were kept have lost their order (PostgreSQL's jsonb has none)."""
    return sorted(changed_parts(sealed, now), key=str.lower)


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
