"""Deletes reports whose time is over, but for those that still count against an address (configuration.md, How long
things are kept).

An address's standing is a function of what was reported of it (quarantine.py). Where that says Valid, the oldest
reports may go and it still says so; of every other address all that was reported stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from campaigns.core.web.paging import walk
from deliveries.models import QuarantinedAddress
from deliveries.models.feedback import FeedbackEvent

ROWS = 2000  # looked at in one statement


def old_reports(matched_before: datetime, unmatched_before: datetime) -> Iterator[QuerySet[FeedbackEvent]]:
    """Reports to delete, some at a time in the order in which they came: those about sending logs received before the
    first time, and those that nothing matched received before the second."""
    over = Q(log_id=None, received_at__lt=unmatched_before) | Q(received_at__lt=matched_before)
    against = QuarantinedAddress.objects.filter(address=OuterRef("address")).exclude(
        status=QuarantinedAddress.Status.VALID
    )
    newest = max(matched_before, unmatched_before)
    for looked_at in walk(FeedbackEvent.objects.only("pk"), ROWS):
        some = FeedbackEvent.objects.filter(pk__in=[event.pk for event in looked_at])
        yield some.filter(over).exclude(Exists(against), log_id__isnull=False)
        if not some.filter(received_at__lt=newest).exists():
            return
