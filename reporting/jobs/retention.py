"""What is deleted when (configuration.md, How long things are kept). Figures outlive the logs they were counted from.

A delivery's logs go some months after its end: its counters stand on its batches and on itself, and stay. After two
years the delivery goes with all that belongs to it, but for executions aggregated by month or year. Rows go some
thousands a transaction, so that nobody waits; where the logs are split (partitions.py) a whole partition goes at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import OperationalError, transaction
from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from campaigns.core.kept_text import keep as _
from campaigns.core.web.slow_statements import unhurried
from deliveries.feedback import retention
from deliveries.ledger.events import log_event
from deliveries.lifecycle import deletion
from deliveries.models import Delivery, ExclusionLog, SendingLog
from deliveries.models.states import ENDED
from deliveries.models.storage import partitions
from reporting.figures import export_progress, kept_figures
from reporting.models import Figures, TrackingBuffer, TrackingLog

logger = logging.getLogger("reporting.jobs.retention")

ROWS = 2000  # deleted in a transaction
TRIES = 5  # to get hold of a partition
WAIT = timedelta(days=14)  # so long logs wait for their whole partition to be over its time; then they go by rows


class OutOfTime(Exception):
    """There is more to delete; it goes on the next time."""


def purge(seconds: float) -> bool:
    """Delete all that is over its time. Out: False if the time ran out first. Safe to kill and to repeat."""
    until = time.monotonic() + seconds
    now = timezone.now()
    try:
        limit = now - timedelta(days=settings.KEEP_LOGS_DAYS)
        purge_partitions(limit, until)
        split = partitions.ranges()
        for delivery in _ended_before(limit).filter(_has_logs()):
            if not _waits(delivery, limit, split):
                purge_logs(delivery, until)
        old = _ended_before(now - timedelta(days=settings.KEEP_DELIVERIES_DAYS))
        for delivery in old.exclude(period__regex=f"^({deletion.NEVER_DELETED.pattern})$"):
            purge_logs(delivery, until)
            logger.info("%s is deleted: it ended on %s", delivery, delivery.finished_at)
            with transaction.atomic(), unhurried():
                deletion.keep_figures(delivery)
                delivery.delete()
        purge_reports(now, until)
    except OutOfTime:
        return False
    TrackingBuffer.objects.filter(folded_at__lt=now - timedelta(days=30)).delete()
    export_progress.forget(now - timedelta(days=7))  # temporary data
    return True


def _ended_before(limit: datetime) -> QuerySet[Delivery]:
    """Drafts and whatever was never confirmed stay."""
    ended = Delivery.everything.filter(state__in=ENDED, confirmed_at__isnull=False)
    return ended.annotate(ended_at=Coalesce("finished_at", "confirmed_at")).filter(ended_at__lt=limit).order_by("pk")


def _has_logs() -> Q:
    return Q(figures_of=None) | Q(figures_of__purged_at=None)


def purge_logs(delivery: Delivery, until: float) -> None:
    """Delete a delivery's sending, exclusion and tracking logs, after a last count of its figures. Raises OutOfTime."""
    _close(delivery)
    removed = {model.__name__: _remove(model, delivery, until) for model in (TrackingLog, SendingLog, ExclusionLog)}
    _tell(delivery, removed)


def _waits(delivery: Delivery, limit: datetime, split: list[partitions.Range]) -> bool:
    """For its partition, which is still there, to be dropped as a whole."""
    ended = delivery.finished_at or delivery.confirmed_at
    return ended is not None and ended >= limit - WAIT and any(delivery.pk in one for one in split)


def purge_partitions(limit: datetime, until: float) -> None:
    """Drop the partitions whose deliveries all ended before `limit`; drafts without logs do not keep one. Raises
    OutOfTime."""
    newest = Delivery.everything.aggregate(newest=Max("pk"))["newest"] or 0
    for part in partitions.ranges():
        if part.high <= newest:  # no delivery will be added to it
            _purge_partition(part, limit, until)


def _purge_partition(part: partitions.Range, limit: datetime, until: float) -> None:
    inside = Q(pk__gte=part.low, pk__lt=part.high)
    over = _ended_before(limit).filter(inside)
    sparing = list(Delivery.everything.filter(inside).exclude(pk__in=over.values("pk")).values_list("pk", flat=True))
    left = list(over.filter(_has_logs()))
    if (sparing and not left) or SendingLog.objects.filter(delivery_id__in=sparing).exists():
        return
    for delivery in left:
        if time.monotonic() > until:
            raise OutOfTime
        _close(delivery)
    if _emptied(part, sparing):
        logger.info("the logs of deliveries %s to %s are gone, with their partitions", part.low, part.high - 1)
        for delivery in left:
            _tell(delivery, {"partition": part.low, ExclusionLog.__name__: _remove(ExclusionLog, delivery, until)})


def _emptied(part: partitions.Range, sparing: list[int]) -> bool:
    """False if it holds rows of those to spare by now, or others never let go of it: then another night."""
    for left in reversed(range(TRIES)):
        try:
            return partitions.empty(part, sparing)
        except OperationalError:
            logger.info("the partitions of deliveries from %s on are in use; %s tries are left", part.low, left)
            time.sleep(min(left, 1))
    return False


def _close(delivery: Delivery) -> None:
    """Count its figures for the last time."""
    fresh, _made = Figures.objects.get_or_create(delivery=delivery)
    if fresh.purging_at is None:
        kept_figures.refresh(delivery)
        Figures.objects.filter(delivery=delivery).update(purging_at=timezone.now())  # from here on nothing is recounted


def _tell(delivery: Delivery, removed: dict[str, Any]) -> None:
    """Say in its log that the logs are gone, once."""
    with transaction.atomic():
        if Figures.objects.filter(delivery=delivery, purged_at=None).update(purged_at=timezone.now()):
            words = _("The logs were deleted when their time was over; the figures stay.")
            log_event(delivery, "purged", words, **removed)


def purge_reports(now: datetime, until: float) -> None:
    """Delete reports: with the logs that they are about, or after KEEP_EVENTS_DAYS if they are about none. Raises
    OutOfTime."""
    kept, unmatched = settings.KEEP_LOGS_DAYS, settings.KEEP_EVENTS_DAYS
    for reports in retention.old_reports(now - timedelta(days=kept), now - timedelta(days=unmatched)):
        if time.monotonic() > until:
            raise OutOfTime
        reports._raw_delete(using="default")


def _remove(model: Any, delivery: Delivery, until: float) -> int:
    total = 0
    for ids in _some(model.objects.filter(delivery=delivery)):
        if time.monotonic() > until:
            raise OutOfTime
        # Not the collector's delete(): it would read every row to ask what hangs on it.
        total += model.objects.filter(pk__in=ids)._raw_delete(using="default")
    return total


def _some(rows: QuerySet[Any]) -> Iterator[list[int]]:
    while ids := list(rows.order_by().values_list("pk", flat=True)[:ROWS]):
        yield ids
