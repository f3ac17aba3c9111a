"""Checks the audit: says which rows were altered, removed or reordered, and whether its end was cut off; and of the
values beside, which were altered or added, and which are missing though no erasure says so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone

from campaigns.models.audit import audit_values
from campaigns.models.audit.entries import AuditEntry

from . import chain as audit_chain
from .chain import ERASED, START, canonical, link_text, signed
from .retention import PURGED

PATIENCE = timedelta(minutes=10)  # a row is sealed within seconds; the sweeper comes every few


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong. `position`: where in the chain, 0 if nowhere."""

    position: int
    words: str


@dataclass
class Proof:
    """What was read, and what was found wrong."""

    findings: list[Finding] = field(default_factory=list)
    first: int = 0
    checked: int = 0
    head: tuple[int, str] = (0, START)
    waiting: int = 0
    values: int = 0  # beside, that fit
    erased: int = 0  # missing, as an erasure says
    missing: dict[int, set[str]] = field(default_factory=dict)  # paths, by the entry's key
    erasures: dict[int, set[str]] = field(default_factory=dict)  # the same, of what signed entries say is erased

    def say(self, position: int, words: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(position, words))


def verify(heads: Iterable[tuple[int, str]] = ()) -> Proof:
    """Read the whole audit. In: heads that were noted elsewhere, as (position, chain value)."""
    proof = Proof()
    wanted = _noted(heads)
    purges: dict[int, str] = {}
    previous: AuditEntry | None = None
    for row in audit_chain.rows(beside=True):
        _check(proof, row, previous)
        if wanted.pop(row.position or 0, {row.chain}) != {row.chain}:
            proof.say(row.position or 0, f"entry {row.position} is not the one whose head was noted")
        if row.act == PURGED:
            purges[int(row.told.get("through", 0))] = str(row.told.get("chain", ""))
        previous = row
    if previous is not None:
        proof.head = (previous.position or 0, previous.chain)
    _beginning(proof, purges)
    _end(proof, wanted)
    _waiting(proof)
    _missing(proof)
    return proof


def _noted(heads: Iterable[tuple[int, str]]) -> dict[int, set[str]]:
    """Chain values by position. Whoever cuts the end off and goes on gets the same positions noted anew: both count."""
    found: dict[int, set[str]] = {}
    for position, chain in heads:
        found.setdefault(position, set()).add(chain)
    return found


def _check(proof: Proof, row: AuditEntry, previous: AuditEntry | None) -> None:
    position = row.position or 0
    proof.checked += 1
    if not signed(canonical(row), row.digest):
        proof.say(position, f"entry {position} ({row.act}, {row.at:%Y-%m-%d %H:%M:%S} UTC) was altered")
    else:
        _values(proof, row)
    if previous is None:
        proof.first = position
        before = START if position == 1 else None
    else:
        last = previous.position or 0
        before = previous.chain if position == last + 1 else None
        if before is None:
            missing = f"entry {last + 1} was" if position == last + 2 else f"entries {last + 1} to {position - 1} were"
            proof.say(last + 1, f"{missing} removed")
    if before is not None and not signed(link_text(position, before, row.digest), row.chain):
        proof.say(
            position, f"entry {position} does not follow entry {position - 1}: reordered, or its chain was altered"
        )


def _values(proof: Proof, row: AuditEntry) -> None:
    """The values beside a row whose own words are genuine."""
    wanted, name = dict(row.digests), f"entry {row.position}" if row.position else f"row {row.pk}"
    for value in row.beside.all():
        _sides, own = wanted.pop(value.path, ("", ""))
        if not own:
            proof.say(row.position or 0, f"{name}: a value ({value.path}) was added beside it")
        elif not audit_values.fits(value, own):
            proof.say(row.position or 0, f"{name}: the value beside it ({value.path}) was altered")
        else:
            proof.values += 1
    if wanted:
        proof.missing[row.pk] = set(wanted)
    if row.act == ERASED:
        for key, paths in row.signed_content["told"].get("entries", {}).items():
            proof.erasures.setdefault(int(key), set()).update(paths)


def _missing(proof: Proof) -> None:
    for key, paths in proof.missing.items():
        said = paths & proof.erasures.get(key, set())
        proof.erased += len(said)
        if rest := sorted(paths - said):
            row = AuditEntry.objects.get(pk=key)
            name = f"entry {row.position}" if row.position else f"row {row.pk}"
            proof.say(
                row.position or 0, f"{name}: values beside it are gone ({', '.join(rest)}), and no erasure says so"
            )


def _beginning(proof: Proof, purges: dict[int, str]) -> None:
    """Rows before the first are gone: a row of the chain must say that their time was over."""
    if proof.first <= 1:
        return
    through = max((last for last in purges if last >= proof.first - 1), default=None)
    if through is None:
        proof.say(1, f"entries 1 to {proof.first - 1} were removed")
        return
    if through == proof.first - 1:
        row = AuditEntry.objects.get(position=proof.first)
        if not signed(link_text(proof.first, purges[through], row.digest), row.chain):
            proof.say(proof.first, f"entry {proof.first} does not follow what was deleted when its time was over")


def _end(proof: Proof, left: Iterable[int]) -> None:
    """Heads that were noted and that the chain does not reach any more."""
    beyond = max((position for position in left if position > proof.head[0]), default=0)
    if beyond:
        words = f"the end was cut off: entry {beyond} was sealed once, and the audit ends with entry {proof.head[0]}"
        proof.say(beyond, words)


def _waiting(proof: Proof) -> None:
    for row in audit_chain.unsealed():
        proof.waiting += 1
        if not signed(canonical(row), row.digest):
            proof.say(0, f"row {row.pk} ({row.act}), which waits for its position, was altered")
            continue
        _values(proof, row)
        if row.at < timezone.now() - PATIENCE:
            proof.say(0, f"row {row.pk} ({row.act}) has waited for its position since {row.at:%Y-%m-%d %H:%M} UTC")
