"""Opting out by a letter's link: of the mailbox (campaigns.consent), on the sending log, and as an event, in one
transaction; and taking it back.

The link of a proof is there to be looked at: it is noted on the proof's own log alone.
"""

from __future__ import annotations

import time

from django.db import transaction
from django.utils import timezone

from campaigns.consent import changes
from campaigns.consent.changes import ReceivedMessage, Way
from deliveries.models import SendingLog
from reporting.models import TrackingType

from . import ingest
from .buffer import Event
from .collect import Visit


def is_proof(log: SendingLog) -> bool:
    """True if the message was a proof."""
    return log.delivery.proof_id is not None


def is_out(log: SendingLog) -> bool:
    """True if the address gets no more e-mail, whoever's profile has it; of a proof: if its button was pressed."""
    return log.opted_out_at is not None if is_proof(log) else changes.mailbox_is_out(_letter(log))


def may_undo(log: SendingLog) -> bool:
    """True if there is something that this message's link did."""
    return log.opted_out_at is not None if is_proof(log) else changes.may_undo(_letter(log))


def opt_out(log: SendingLog, seen: Visit, *, way: Way = Way.LINK) -> None:
    """Take the mailbox out of e-mail. Again changes nothing: mail programs repeat their requests."""
    with transaction.atomic():
        if not is_proof(log):
            changes.opt_out_mailbox(_letter(log), way)
        first = SendingLog.objects.filter(pk=log.pk, opted_out_at=None).update(opted_out_at=timezone.now())
        if first:
            at = time.time_ns() // 1_000_000
            ingest.store([Event(at, log.pk, TrackingType.OPT_OUT, -1, seen.head, seen.network, seen.agent)])


def undo(log: SendingLog) -> None:
    """Take back what was done from this message; what was said elsewhere stays. The event stays."""
    with transaction.atomic():
        if not is_proof(log):
            changes.undo(_letter(log))
        SendingLog.objects.filter(pk=log.pk, opted_out_at__isnull=False).update(opted_out_at=None)


def _letter(log: SendingLog) -> ReceivedMessage:
    return ReceivedMessage(log.pk, log.delivery_id, log.address, log.profile_id)
