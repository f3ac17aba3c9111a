"""A profile's history: what was sent to them and what they did, newest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from campaigns.models import Profile
from deliveries.models import Delivery, SendingLog
from deliveries.models.proofs import ProofRecipient
from deliveries.models.states import LogStatus
from reporting.models import TrackingLog

MOST = 1000  # events in a time-line, the newest
MONTHS = 12  # in the chart


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: when, what kind (sent, bounced, opened …), of which delivery, and what more there is to say."""

    at: datetime
    kind: str
    label: str
    delivery: Delivery | None
    log_id: int
    detail: str = ""
    machine: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """All that a profile's page shows. Touchpoints: messages that reached the person, and what they did with them."""

    entries: Sequence[Entry]
    first: datetime | None
    touchpoints: int
    outbound: int
    inbound: int
    months: Sequence[tuple[str, int, int]] = field(default_factory=tuple)  # (2026-05, outbound, inbound)
    cut: bool = False


def history(profile: Profile, readable: Any) -> History:
    """The profile's history in the deliveries that are `readable` (a queryset of campaigns). Three queries."""
    logs = SendingLog.objects.filter(profile=profile, delivery__campaign__in=readable)
    logs = logs.exclude(status=LogStatus.IGNORED)  # the control group got nothing
    sent = list(logs.filter(delivery__confirmed_at__isnull=False).select_related("delivery").order_by("-date")[:MOST])
    by_id = {log.pk: log for log in sent}
    events = TrackingLog.objects.filter(sending_log__in=list(by_id)).order_by("-at")[:MOST]
    entries = [*_sent(sent), *_did(events, by_id), *_proofs(profile, readable)]
    entries.sort(key=lambda entry: entry.at, reverse=True)
    outbound = [e for e in entries if e.kind == "sent"]
    inbound = [e for e in entries if e.kind not in ("sent", "bounced", "waiting", "proof") and not e.machine]
    touched = [*outbound, *inbound]
    return History(
        entries[:MOST],
        min((e.at for e in touched), default=None),
        len(touched),
        len(outbound),
        len(inbound),
        _by_month(outbound, inbound),
        cut=len(entries) > MOST or len(sent) == MOST,
    )


_KINDS = {LogStatus.SENT: "sent", LogStatus.FAILED: "bounced"}
_DID = {1: "clicked", 2: "opened", 3: "opted-out", 6: "mirror"}


def _sent(logs: Iterable[SendingLog]) -> Iterable[Entry]:
    for log in logs:
        kind = _KINDS.get(LogStatus(log.status), "waiting")
        detail = log.reply or (log.get_reason_display() if log.reason else "")
        at = log.relayed_at or log.date
        if log.relayed_at and kind == "bounced":
            yield Entry(at, "sent", _("Sent"), log.delivery, log.pk)
        yield Entry(
            log.date if kind == "bounced" else at,
            kind,
            log.get_status_display(),
            log.delivery,
            log.pk,
            detail if kind == "bounced" else "",
        )


def _proofs(profile: Profile, readable: Any) -> Iterable[Entry]:
    """Proofs with this profile's data, sent to somebody else: shown, and counted as no touchpoint."""
    found = ProofRecipient.objects.filter(profile=profile, proof__delivery__campaign__in=readable)
    for reader in found.select_related("proof__delivery").order_by("-pk")[:MOST]:
        words = _("Proof %(n)s, to %(address)s") % {"n": reader.proof.number, "address": reader.address}
        yield Entry(reader.proof.sent_at, "proof", words, reader.proof.delivery, reader.sending_log_id or 0)


def _did(events: Iterable[TrackingLog], logs: dict[int, SendingLog]) -> Iterable[Entry]:
    for event in events:
        label, kind = event.get_type_display(), _DID.get(event.type, "clicked")
        log = logs[event.sending_log_id]
        yield Entry(event.at, kind, label, log.delivery, log.pk, event.rule, event.machine)


def _by_month(outbound: Iterable[Entry], inbound: Iterable[Entry]) -> list[tuple[str, int, int]]:
    """The last MONTHS months up to now, with zeros."""
    out, into = (Counter(f"{timezone.localtime(e.at):%Y-%m}" for e in entries) for entries in (outbound, inbound))
    now = timezone.localtime()
    numbers = [now.year * 12 + now.month - 1 - back for back in range(MONTHS - 1, -1, -1)]
    names = [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in numbers]
    return [(name, out[name], into[name]) for name in names]
