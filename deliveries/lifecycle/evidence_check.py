"""Checks an evidence pack: every file, the seal, the entries' signatures, the chain, and the content's fingerprint."""

from __future__ import annotations

import hashlib
import json
import zipfile
from typing import IO, Any

from campaigns.audit import chain as audit_chain
from campaigns.audit.chain import START, link_text, signed
from campaigns.content.fingerprint import seal
from campaigns.models.audit import audit_values
from campaigns.models.audit.entries import AuditEntry

from .evidence import DECIDING, Beside, told

LARGEST = 512 * 1024 * 1024  # bytes of all files together: more is no pack of ours
_BROKEN = (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, EOFError, NotImplementedError)
_BESIDE = {"manifest.json", "SEAL"}
_PARTS = {"content/subject.txt": "subject", "content/message.html": "HTML", "content/message.txt": "text"}


def verify(source: IO[bytes], *, here: bool = True) -> tuple[dict[str, Any], list[str]]:
    """In: a pack; `here`: compare with this database's audit, too. Out: its manifest, and what is wrong, in words."""
    try:
        with zipfile.ZipFile(source) as file:
            if sum(part.file_size for part in file.infolist()) > LARGEST:
                return {}, ["this is no evidence pack: it is too large"]
            parts = {part.filename: file.read(part) for part in file.infolist()}
        manifest = json.loads(parts["manifest.json"])
        wrong = _seal(parts) + _files(parts, manifest["files"])
        rows = _rows(parts["chain.csv"])
        entries = [json.loads(line) for line in parts["audit.jsonl"].splitlines()]
        wrong += _chain(rows, tuple(manifest["head"])) + _entries(entries, {p: (d, c) for p, d, c in rows})
        wrong += _content(parts, entries) + _decisions(parts, entries)
        return manifest, wrong + (_database(rows) if here else [])
    except _BROKEN as error:
        return {}, [f"this is no whole evidence pack: {type(error).__name__} {error}"]


def _seal(parts: dict[str, bytes]) -> list[str]:
    if signed(parts["manifest.json"].decode(), parts["SEAL"].decode().strip()):
        return []
    return ["the seal does not fit the manifest: it was altered, or packed by another installation"]


def _files(parts: dict[str, bytes], digests: dict[str, str]) -> list[str]:
    wrong = [f"{name} is missing" for name in digests if name not in parts]
    wrong += [f"{name} is not in the manifest" for name in parts if name not in digests and name not in _BESIDE]
    named = [name for name in digests if name in parts]
    return wrong + [f"{name} was altered" for name in named if hashlib.sha256(parts[name]).hexdigest() != digests[name]]


def _rows(text: bytes) -> list[tuple[int, str, str]]:
    lines = [line.split(",") for line in text.decode().splitlines()[1:]]
    return [(int(position), digest, chain) for position, digest, chain in lines]


def _chain(rows: list[tuple[int, str, str]], head: Any) -> list[str]:
    wrong = []
    before = (0, START) if rows and rows[0][0] == 1 else None
    for position, digest, chain in rows:
        if before is not None and position != before[0] + 1:
            wrong.append(f"the chain has a gap before {position}")
        elif before is not None and not signed(link_text(position, before[1], digest), chain):
            wrong.append(f"the chain is broken at {position}")
        before = (position, chain)
    if before != head and not (before is None and head == (0, START)):
        wrong.append("the chain does not end at the manifest's head")
    return wrong


def _entries(entries: list[dict[str, Any]], chain: dict[int, tuple[str, str]]) -> list[str]:
    wrong = []
    for entry in entries:
        position = entry["position"]
        if not signed(entry["signed"], entry["digest"]):
            wrong.append(f"entry {position} was altered")
        if chain.get(position) != (entry["digest"], entry["chain"]):
            wrong.append(f"entry {position} is not the one at its place in the chain")
        digests = _signed(entry)[1].get("digests", {})
        for value in _beside(entry):
            if not audit_values.fits(value, digests.get(value.path, ("", ""))[1]):
                wrong.append(f"entry {position}: the value beside it ({value.path}) is not the one that was signed")
    return wrong


def _signed(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(act, content) of a signed text. It begins with its version, and in version 1 with the date."""
    fields = json.loads(entry["signed"])
    return fields[1 if isinstance(fields[0], str) else 2], json.loads(fields[-1])


def _beside(entry: dict[str, Any]) -> list[Beside]:
    return [Beside(**value) for value in entry.get("beside", ())]


def _told(entry: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(act, what was told) of an entry in a pack."""
    act, content = _signed(entry)
    return act, told(content, _beside(entry))


def _actor(entry: dict[str, Any]) -> str:
    """The name of whoever acted."""
    fields = json.loads(entry["signed"])
    if isinstance(fields[0], str):
        return str(fields[4])
    return audit_values.one(_signed(entry)[1].get("digests", {}), _beside(entry), "actor")


def _content(parts: dict[str, bytes], entries: list[dict[str, Any]]) -> list[str]:
    """The content must be the one that the last preparation, and the confirmation after it, sealed."""
    sealed: dict[str, str] = {}
    for act, what in map(_told, entries):
        if act in ("delivery.preparation_finished", "delivery.confirmed"):
            sealed = what["after"]["fingerprint"]
    now = {part: seal({part: parts[name].decode()})[part] for name, part in _PARTS.items()}
    return [
        f"{name} is not what was confirmed" for name, part in _PARTS.items() if sealed and sealed[part] != now[part]
    ]


def _decisions(parts: dict[str, bytes], entries: list[dict[str, Any]]) -> list[str]:
    """What the files of decisions tell must be what the signed entries tell."""
    signed_ones = {entry["position"]: (*_told(entry), _actor(entry)) for entry in entries}
    wrong = []
    for name, acts in DECIDING.items():
        shown = {item["position"]: (item["act"], item["told"], item["actor"]) for item in json.loads(parts[name])}
        if shown != {position: what for position, what in signed_ones.items() if what[0].startswith(acts)}:
            wrong.append(f"{name} does not tell what the audit's entries tell")
    return wrong


def _database(rows: list[tuple[int, str, str]]) -> list[str]:
    """Rows that are still here must be the same; those whose time was over are gone."""
    first = AuditEntry.objects.exclude(position=None).order_by("position").values_list("position", flat=True).first()
    here = {row.position: row.chain for row in audit_chain.rows(after=rows[0][0] - 1)} if rows else {}
    differs = [p for p, _, chain in rows if here.get(p, chain if p < (first or 0) else None) != chain]
    return [f"this database's audit has another entry {differs[0]}, or none"] if differs else []
