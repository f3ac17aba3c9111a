"""Traps: test profiles that get a real send together with its target (proofs-and-tracking.md, Traps).

They count in Targeted and To deliver, and their sending logs are marked as those of test profiles.
They belong to no profile, so whatever asks about people does not know them: fatigue rules, control groups, histories.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from campaigns.core import mailboxes
from campaigns.models import Message, Profile
from campaigns.models.people.consent import AddressOptOut
from campaigns.models.people.seeds import TestProfile
from deliveries.models import Batch, QuarantinedAddress, SendingLog

from .target import room
from .target_table import TARGET, rows


def reachable(message: Message) -> tuple[list[TestProfile], list[TestProfile]]:
    """The message's traps: (those that mail may be sent to, those whose address is quarantined, on the denylist, or
    opted out by a letter)."""
    status = QuarantinedAddress.Status
    chosen = sorted((one for one in message.traps.all() if one.trap), key=lambda one: one.pk)  # those that were sealed
    mine = [trap.email for trap in chosen]
    if not chosen:
        return [], []
    refused = QuarantinedAddress.objects.filter(address__in=mine, status__in=(status.QUARANTINE, status.DENYLIST))
    opted_out = AddressOptOut.objects.filter(address__in=map(mailboxes.canonical, mine), undone_at=None)
    addresses = {*refused.values_list("address", flat=True), *opted_out.values_list("address", flat=True)}
    out = {one.pk for one in chosen if not addresses.isdisjoint((one.email, mailboxes.canonical(one.email)))}
    return [one for one in chosen if one.pk not in out], [one for one in chosen if one.pk in out]


def write(delivery_id: int, traps: Iterable[TestProfile], due_at: datetime, batch_size: int) -> int:
    """Write their sending logs with their batches, before any others, so that they leave with the first wave.

    Out: how many; an address that the target has gets the message once, as the target's. To be called in a transaction,
    while the target's table is there.
    """
    wanted = _not_in_target(list(dict.fromkeys(trap.email for trap in traps)))
    first, _filled = room(delivery_id, len(wanted), due_at, batch_size, 0)
    batches = dict(Batch.objects.filter(delivery=delivery_id).values_list("number", "pk"))
    SendingLog.objects.bulk_create(
        SendingLog(
            delivery_id=delivery_id,
            batch_id=batches[first + place // batch_size],
            address=address,
            date=timezone.now(),
            due_at=due_at,
            test_profile=True,
        )
        for place, address in enumerate(wanted)
    )
    return len(wanted)


def _not_in_target(addresses: Sequence[str]) -> list[str]:
    if not addresses:
        return []
    places = ", ".join(["%s"] * len(addresses))
    there = {
        found for (found,) in rows(f"SELECT address FROM {TARGET} WHERE cause = 0 AND address IN ({places})", addresses)
    }
    return [address for address in addresses if address not in there]


def frozen(message: Message) -> list[dict[str, object]]:
    """What messages may quote of each of the message's traps, for Delivery.content: whoever edits or deletes a test
    profile after the confirmation changes no message that was confirmed."""
    return [trap.frozen() for trap in sorted(message.traps.all(), key=lambda one: one.pk)]


def people(content: Mapping[str, Any]) -> list[Profile]:
    """The traps of a delivery's content, as profiles that are not saved. Content of before 1.0 names them by their ids;
    then they are as they are now."""
    held = content.get("traps", ())
    kept = [Profile(**each) for each in held if isinstance(each, dict)]
    ids = [each for each in held if isinstance(each, int)]
    return kept + [trap.as_profile() for trap in TestProfile.objects.filter(pk__in=ids)] if ids else kept
