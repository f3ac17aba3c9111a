"""The evidence pack: one zip that tells who sent what, and proves it by the audit's chain.

It holds no recipient. evidence_check.py checks it; whoever has the file alone can compare its fingerprints, and whoever
has the key (this installation) can prove that nothing in it was made up afterwards.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from typing import IO, Any

from django.core.exceptions import PermissionDenied
from django.utils import timezone

from campaigns.accounts import permissions
from campaigns.audit import chain
from campaigns.core.account_names import name_of
from campaigns.core.actors import Actor, Person
from campaigns.core.kept_text import keep as _
from campaigns.models.audit import audit_values
from campaigns.models.audit.entries import AuditEntry
from deliveries.ledger import masked_rows
from deliveries.ledger.counters import counters
from deliveries.ledger.events import log_event
from deliveries.models import Delivery, DeliveryEvent, ExclusionCause
from deliveries.models.states import Reason, State

DECIDING = {  # files of decisions: the acts that they tell of, by the beginning of their names
    "confirmation.json": ("delivery.confirm", "delivery.undo"),
    "approvals.json": ("delivery.approv", "delivery.refuse", "delivery.proof", "delivery.send_proof"),
}
CONTENT = {"content/subject.txt": "subject", "content/message.html": "html", "content/message.txt": "text"}
ABSENT = "(not in this pack)"  # what tells of recipients, or was erased
Beside = audit_values.Value
_DATES = ("created_at", "prepared_at", "confirmed_at", "contact_date", "started_at", "finished_at", "validity_end")
README = """Evidence pack of the delivery {code}, “{label}”
Made on {now} by {by}.

delivery.json        the delivery: state, dates, people, fingerprint, mail server
counts.json          targeted, excluded by cause, and what became of the messages
content/             the content that was prepared, exactly as it was frozen for sending
confirmation.json    who confirmed (or tried, or took it back), when, from where
approvals.json       who approved, where the campaign asks for it
events.json          the delivery's log
audit.jsonl          every entry of the audit about this delivery: the signed text, its digest, position and chain
                     value, and the values whose digests it holds, with their salts
chain.csv            the audit's chain from before the first of these entries to its head
manifest.json        the SHA-256 of each file, who made the pack and when, and the head of the chain
SEAL                 HMAC-SHA-256 of manifest.json under the installation's audit key

To check it where it was made:      manage.py verify_evidence FILE
To compare its files by hand:       sha256sum, against manifest.json

That proves: the files are as they were packed; each entry was written by this installation with just these words, at
its place in a chain without a gap; and the content is the one whose fingerprint was confirmed. The head at the end of
chain.csv can be compared with the heads in kept logs (lines “audit head …”). Recipients are not in this pack.
"""


def require(by: Actor, delivery: Delivery) -> None:
    """Ask for the role: Export where the delivery may be read, or Administration. Raises PermissionDenied."""
    if not (permissions.may_administer(by, delivery.campaign) and permissions.may_read(by, delivery.campaign)):
        permissions.require_export(by, delivery.campaign)


def may_take(by: Actor, delivery: Delivery) -> bool:
    """True if `require` lets `by` take it."""
    try:
        require(by, delivery)
    except PermissionDenied:
        return False
    return True


def file_name(delivery: Delivery) -> str:
    """Like evidence_DM12_20260501_134500.zip."""
    return f"evidence_{delivery.code}_{timezone.localtime():%Y%m%d_%H%M%S}.zip"


def pack(delivery: Delivery, by: Person, out: IO[bytes]) -> None:
    """Write the pack into `out`. Raises PermissionDenied. That it was taken stands in the audit, and so in the pack."""
    require(by, delivery)
    log_event(delivery, "evidence", _("%(by)s took the evidence pack.", by=by), user=by)
    chain.seal()
    digests: dict[str, str] = {}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, lines in _files(delivery, by):
            digests[name] = _write(file, name, lines)
        manifest = _json(
            {
                "delivery": delivery.code,
                "made_at": timezone.now(),
                "made_by": str(by),
                "files": digests,
                "head": chain.head(),
            }
        )
        file.writestr("manifest.json", manifest)
        file.writestr("SEAL", chain.sign(manifest) + "\n")


def _write(file: zipfile.ZipFile, name: str, lines: Iterator[str]) -> str:
    digest = hashlib.sha256()
    with file.open(name, "w", force_zip64=True) as part:
        for line in lines:
            data = line.encode("utf-8", "replace")
            digest.update(data)
            part.write(data)
    return digest.hexdigest()


def _files(delivery: Delivery, by: Person) -> Iterator[tuple[str, Iterator[str]]]:
    entries = list(
        AuditEntry.objects.filter(subject_type="deliveries.delivery", subject_id=str(delivery.pk))
        .exclude(position=None)
        .prefetch_related("beside")
        .order_by("position")
    )
    now = f"{timezone.now():%Y-%m-%d %H:%M:%S} UTC"
    yield "README.txt", iter([README.format(code=delivery.code, label=delivery.label, now=now, by=by)])
    yield "delivery.json", iter([_json(_about(delivery))])
    yield "counts.json", iter([_json(_counts(delivery))])
    for name, part in CONTENT.items():
        yield name, iter([str(delivery.content.get(part, ""))])
    for name, acts in DECIDING.items():
        yield name, iter([_json([_decision(entry) for entry in entries if entry.act.startswith(acts)])])
    events = list(delivery.events.select_related("user").order_by("pk"))
    masked_rows.mask_words(events, masked_rows.sight(by, delivery))
    yield "events.json", iter([_json([_event(event) for event in events])])
    yield "audit.jsonl", (_line(entry) for entry in entries)
    yield "chain.csv", _chain((entries[0].position or 1) if entries else 1)


def _about(delivery: Delivery) -> dict[str, Any]:
    people = {name: name_of(delivery, name) for name in ("created_by", "prepared_by", "confirmed_by")}
    routing = delivery.routing
    return {
        "code": delivery.code,
        "label": delivery.label,
        "message": delivery.message_id,
        "campaign": [delivery.campaign_id, str(delivery.campaign)],
        "state": State(delivery.state).name.lower(),
        **people,
        **{name: getattr(delivery, name) for name in _DATES},
        "fingerprint": delivery.fingerprint,
        "mail_server": routing and [routing.label, routing.host, routing.port],
        "sender": {name: delivery.content.get(name, "") for name in ("sender_name", "sender_address", "reply_to")},
    }


def _counts(delivery: Delivery) -> dict[str, Any]:
    causes = {_cause(row): row.volume for row in delivery.exclusion_causes.all()}
    return {
        "targeted": delivery.targeted,
        "excluded": delivery.excluded,
        "excluded_by_cause": causes,
        "messages": asdict(counters(delivery)),
    }


def _cause(row: ExclusionCause) -> str:
    name = Reason(row.cause).name.lower()
    return f"{name}_RL{row.rule}" if row.rule else name


def _decision(entry: AuditEntry) -> dict[str, Any]:
    names = ("position", "at", "act", "outcome", "actor", "address", "agent", "channel")
    return {**{name: getattr(entry, name) for name in names}, "told": told(entry.signed_content, _beside(entry))}


def told(content: dict[str, Any], beside: list[Beside]) -> dict[str, Any]:
    """What an entry tells in a pack. In: its signed content and the values that the pack holds of it."""
    return audit_values.merged(content, beside, ABSENT) if "digests" in content else content


def _beside(entry: AuditEntry) -> list[Beside]:
    """The values beside an entry that do not tell of recipients."""
    rows = [row for row in entry.beside.all() if row.kind != audit_values.Kind.RECIPIENT.value]
    return [Beside(row.path, row.kind, row.before, row.after, row.salt) for row in rows]


def _event(event: DeliveryEvent) -> dict[str, Any]:
    """A line of the log, without the address by which somebody narrowed an export."""
    who, message = str(event.user) if event.user else "", event.message
    for name, sought in dict(event.details.get("filters") or {}).items():
        message = message.replace(f"{name}: {sought}", f"{name}: …")
    return {"at": event.at, "code": event.code, "severity": event.severity, "message": message, "user": who}


def _line(entry: AuditEntry) -> str:
    line = {
        "position": entry.position,
        "signed": chain.canonical(entry),
        "digest": entry.digest,
        "chain": entry.chain,
        "beside": [asdict(value) for value in _beside(entry)],
    }
    return json.dumps(line) + "\n"


def _chain(first: int) -> Iterator[str]:
    yield "position,digest,chain\n"
    for row in chain.rows(after=max(0, first - 2)):  # with the one before, whose chain value the first follows
        yield f"{row.position},{row.digest},{row.chain}\n"


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=_iso) + "\n"


def _iso(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
