"""Mails that came to the return address: kept before they are acknowledged, then read and applied in batches.

keep() is called by each door for mail (smtp_server.py, bounce_pipe, imap.py); drain() by whoever has kept something,
and by the sweeper for what a dead process left. Draining twice at once costs time and changes nothing: events are
unique.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b

from django.utils import timezone

from deliveries.mail.bounces.message import parse_date, read_headers
from deliveries.mail.bounces.parser import AUTO_REPLY, BOUNCE, COMPLAINT, DELAYED, DELIVERED, Report, parse
from deliveries.mail.qualification.engine import REASONS
from deliveries.models.feedback import FeedbackEvent, RawReport
from deliveries.models.states import FailureType, Reason

from . import active_rules, apply_events, matching
from .apply_events import Event

logger = logging.getLogger("deliveries.feedback.raw_mail")

KEPT = 256 * 1024  # bytes of a mail that are kept: a report says what it has to say in its first pages
BATCH = 100  # mails that are read at once
LEFT_BEHIND = timedelta(seconds=15)  # after that the sweeper takes a mail up that its door did not
FORGOTTEN = timedelta(days=30)  # after that an applied mail is deleted
_HEADER_LINES = 500

_KINDS = {
    DELIVERED: FeedbackEvent.Kind.DELIVERED,
    DELAYED: FeedbackEvent.Kind.DELAYED,
    BOUNCE: FeedbackEvent.Kind.BOUNCE,
    COMPLAINT: FeedbackEvent.Kind.COMPLAINT,
    AUTO_REPLY: FeedbackEvent.Kind.AUTO_REPLY,
}


def keep(raw: bytes, source: int, recipient: str = "") -> None:
    """Store a mail, at most KEPT bytes of it. `recipient`: of the envelope, if the door knows it. Raises DatabaseError;
    without one the mail is safe and may be acknowledged."""
    keep_all([(raw, recipient)], source)


def keep_all(mails: Iterable[tuple[bytes, str]], source: int) -> None:
    """Store mails, each with its recipient, all or none: one commit costs much more than one row."""
    RawReport.objects.bulk_create(
        RawReport(raw=raw[:KEPT], source=source, recipient=apply_events.clean(recipient, 320))
        for raw, recipient in mails
    )


def drain(most: int = 2000, *, left_behind: bool = False) -> int:
    """Apply up to `most` mails that wait, oldest first. `left_behind`: only what its own door seems to have forgotten.

    Out: how many mails. Raises DatabaseError; what was not applied then waits.
    """
    done = 0
    while done < most:
        waiting = RawReport.objects.filter(applied_at=None).order_by("pk")
        if left_behind:
            waiting = waiting.filter(received_at__lt=timezone.now() - LEFT_BEHIND)
        mails = list(waiting[:BATCH])
        if not mails:
            break
        apply_events.apply([event for mail in mails for event in events_of(mail)])
        RawReport.objects.filter(pk__in=[mail.pk for mail in mails]).update(applied_at=timezone.now())
        done += len(mails)
    return done


def clean_up() -> int:
    """Delete mails that were applied long ago. Out: how many."""
    return RawReport.objects.filter(applied_at__lt=timezone.now() - FORGOTTEN).delete()[0]


def events_of(mail: RawReport) -> list[Event]:
    """What a kept mail reports. Never raises: a mail that cannot be read is an event that says nothing."""
    raw = bytes(mail.raw)
    try:
        return _events(raw, mail.source, mail.recipient, mail.received_at, parse(raw, rules=active_rules.rules()))
    except Exception:  # whatever a stranger writes must not stop the mails behind it
        logger.exception("mail %s cannot be read", mail.pk)
        said_nothing = FeedbackEvent.Kind.NONE
        return [Event(mail.source, _key(raw), said_nothing, mail.received_at, text="This mail cannot be read.")]


def _events(raw: bytes, source: int, recipient: str, received: datetime, reports: Sequence[Report]) -> list[Event]:
    name, written = _identity(raw)
    at = min(written or received, received)
    return [
        _event(report, source, f"{name}.{number}", at, matching.log_of(report, recipient))
        for number, report in enumerate(reports)
    ]


def _event(report: Report, source: int, key: str, at: datetime, log_id: int | None) -> Event:
    failed = report.kind in (BOUNCE, DELAYED)
    return Event(
        source,
        key,
        _KINDS.get(report.kind, FeedbackEvent.Kind.NONE),
        report.last_attempt_date or at,
        type=active_rules.TYPES[report.type] if failed else FailureType.NONE,
        reason=REASONS.get(report.reason, Reason.NOT_DEFINED) if failed else Reason.NOT_DEFINED,
        detail=report.detail,
        code=report.code,
        status=report.status,
        text=report.text,
        rule=report.rule,
        address=report.recipient,
        log_id=log_id,
    )


def _identity(raw: bytes) -> tuple[str, datetime | None]:
    """What names a mail however often it is handed over, and when it was written.

    Servers put trace fields on top of each copy: the Message-ID and the Date are the same in all of them, as is the
    text below the header.
    """
    lines = [line.rstrip(b"\r") for line in raw[:KEPT].split(b"\n", _HEADER_LINES)[:_HEADER_LINES]]
    headers, after = read_headers(lines, 0)
    body = raw.split(b"\n", after)[-1] if after < len(lines) else raw
    name = "\n".join([headers.get("message-id"), headers.get("date"), headers.get("to")])
    return _key(name.encode(errors="replace") + b"\n" + body), parse_date(headers.get("date"))


def _key(content: bytes) -> str:
    return blake2b(content, digest_size=20).hexdigest()
