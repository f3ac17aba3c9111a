"""A delivery's rows about people, as one reader may see them: all roads to such rows lead through here.

The functions change rows that were read for showing, in place, and mark each one that they masked as `hidden`; nobody
saves them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from campaigns.accounts import masking
from campaigns.accounts.masking import MARK, Sight
from campaigns.core.actors import Actor
from deliveries.models import Delivery, DeliveryEvent, ExclusionLog, SendingLog
from deliveries.models.proofs import Proof, ProofRecipient, Verdict

_ADDRESS = re.compile(r"[^\s@<>()\[\]\",;:“”]{1,64}@[^\s@<>()\[\]\",;:“”]{1,253}")


def sight(user: Actor, delivery: Delivery) -> Sight:
    """What `user` sees of the people in this delivery's rows."""
    return masking.sight(user, delivery.campaign)


def mask_logs(rows: Collection[SendingLog], seen: Sight) -> None:
    """Hide address, profile and the server's words, which quote the address. At most three queries for all rows."""
    if seen.all or not rows:
        return
    people = seen.hidden(row.profile_id for row in rows)
    tests = seen.hidden_tests(row.address for row in rows if row.test_profile)
    others = [row for row in rows if row.profile_id is None and not row.test_profile]
    proofs = _hidden_proofs(others, seen) if others else set()
    for row in rows:
        if row.profile_id in people or (row.test_profile and row.address in tests) or row.pk in proofs:
            _hide(row)


def _hidden_proofs(rows: Iterable[SendingLog], seen: Sight) -> set[int]:
    """Of rows that name nobody those that are masked: a proof's recipient tells whose data the letter showed."""
    keys = {row.pk for row in rows}
    found = list(ProofRecipient.objects.filter(sending_log__in=keys).select_related("test_profile"))
    masked = {reader.sending_log_id for reader in _hidden_readers(found, seen) if reader.sending_log_id}
    unknown = set() if seen.own else keys - {reader.sending_log_id for reader in found if reader.sending_log_id}
    return masked | unknown


def _hide(row: SendingLog) -> None:
    row.hidden = True  # type: ignore[attr-defined]
    row.address, row.profile_id, row.reply = str(MARK), None, ""


def mask_exclusions(rows: Collection[ExclusionLog], seen: Sight) -> None:
    """Hide address and profile of those who were left out. One query."""
    if seen.all:
        return
    people = seen.hidden(row.profile_id for row in rows)
    for row in rows:
        nobody = row.profile_id is None and bool(row.address) and not seen.own
        if row.profile_id in people or nobody:
            row.hidden = True  # type: ignore[attr-defined]
            row.address, row.profile_id = str(MARK), None


def mask_events(rows: Collection[Any], seen: Sight) -> None:
    """Of tracking logs, each with its `sending_log` loaded: hide who did it, with which program and from where."""
    if seen.all:
        return
    mask_logs([row.sending_log for row in rows], seen)
    for row in rows:
        if getattr(row.sending_log, "hidden", False):
            row.hidden, row.agent, row.network = True, "", ""


def _hidden_readers(readers: Iterable[ProofRecipient], seen: Sight) -> list[ProofRecipient]:
    rows = list(readers)
    people = seen.hidden(row.profile_id for row in rows)
    return [
        row
        for row in rows
        if row.profile_id in people or (row.profile_id is None and seen.hides_test(row.test_profile))
    ]


def mask_proofs(proofs: Iterable[Proof], seen: Sight) -> None:
    """Hide to whom a proof went, or as whom it was written, in proofs that are loaded with recipients and verdicts."""
    if seen.all:
        return
    for proof in proofs:
        masked = _hidden_readers(proof.recipients.all(), seen)
        _mask_verdicts(proof.verdicts.all(), {row.address for row in masked})
        for row in masked:
            row.hidden = True  # type: ignore[attr-defined]
            row.address, row.profile_id, row.test_profile = str(MARK), None, None
            if row.sending_log is not None:
                row.sending_log.reply = ""


def mask_verdicts(verdicts: Collection[Verdict], seen: Sight) -> None:
    """Hide the reader of a proof who judged by the link in the mail. Two queries."""
    if seen.all:
        return
    by_link = [verdict for verdict in verdicts if verdict.address]
    found = ProofRecipient.objects.filter(proof__in={verdict.proof_id for verdict in by_link})
    masked = {(row.proof_id, row.address) for row in _hidden_readers(found.select_related("test_profile"), seen)}
    for verdict in by_link:
        _mask_verdicts([verdict], {address for proof, address in masked if proof == verdict.proof_id})


def _mask_verdicts(verdicts: Iterable[Verdict], addresses: Collection[str]) -> None:
    for verdict in verdicts:
        if verdict.address in addresses:
            verdict.address = str(MARK)


def mask_words(events: Iterable[DeliveryEvent], seen: Sight) -> None:
    """Take addresses, and what somebody looked for in an export, out of log lines of what lies above the reader."""
    if seen.own:
        return
    for event in events:
        sought = str((event.details.get("filters") or {}).get("q", ""))
        event.details, event.message = _without(event.details, sought), _without(event.message, sought)


def _without(value: Any, sought: str) -> Any:
    """The same without addresses, in whatever texts it holds."""
    if isinstance(value, str):
        return _ADDRESS.sub(str(MARK), value.replace(sought, "…") if sought else value)
    if isinstance(value, list):
        return [_without(one, sought) for one in value]
    return {name: _without(one, sought) for name, one in value.items()} if isinstance(value, dict) else value
