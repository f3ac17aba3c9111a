"""Opting out: on the profile, on the sending log, and as an event, in one transaction; and taking it back."""

from __future__ import annotations

import time

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from campaigns.models import Profile
from deliveries.models import SendingLog

from . import folding
from .buffer import Event
from .models import TrackingType
from .tracking import Visit


def _profile(log: SendingLog) -> QuerySet[Profile]:
    return Profile.objects.filter(pk__in=[log.profile_id] if log.profile_id else [])


def is_out(log: SendingLog) -> bool:
    """True if the recipient gets no more e-mail: by this message's opt-out, or by his profile."""
    profile = _profile(log).values_list("opt_out_email", "opt_out").first()
    return any(profile) if profile else log.opted_out_at is not None


def opt_out(log: SendingLog, seen: Visit) -> None:
    """Take the recipient out of e-mail. Again changes nothing: mail programs repeat their requests."""
    with transaction.atomic():
        first = SendingLog.objects.filter(pk=log.pk, opted_out_at=None).update(opted_out_at=timezone.now())
        _profile(log).filter(opt_out_email=False).update(opt_out_email=True, modified_at=timezone.now())
        if first:
            at = time.time_ns() // 1_000_000
            folding.store([Event(at, log.pk, TrackingType.OPT_OUT, -1, seen.head, seen.network, seen.agent)])


def undo(log: SendingLog) -> None:
    """Take back an opt-out that was made from this message; one that was made elsewhere stays. The event stays."""
    with transaction.atomic():
        mine = SendingLog.objects.filter(pk=log.pk, opted_out_at__isnull=False).update(opted_out_at=None)
        if mine:
            _profile(log).update(opt_out_email=False, modified_at=timezone.now())
