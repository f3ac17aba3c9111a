"""How long the audit keeps its entries."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from campaigns.models.audit.entries import AuditEntry, AuditValue

from .chain import ROWS, head, seal

logger = logging.getLogger("campaigns.audit.retention")


PURGED = "audit.purged"


def purge(before: datetime) -> int:
    """Delete the oldest rows, up to the first that is not older than `before`. Out: how many are gone.

    A row that says so, with the chain value where it stopped, is sealed first: from there the rest is proved.
    """
    seal()
    last = _last_before(before)
    gone = AuditEntry.objects.filter(position__lte=last)
    number = gone.count()
    if not number:
        return 0
    from .trail import record

    chain = AuditEntry.objects.values_list("chain", flat=True).get(position=last)
    entry = record(PURGED, subject_id=str(last), through=last, chain=chain, number=number, limit=before)
    logger.info("audit rows up to %s are deleted, as entry %s says", last, entry.pk)
    seal()
    while ids := list(gone.order_by("position").values_list("pk", flat=True)[:ROWS]):
        with transaction.atomic():
            AuditValue.objects.filter(entry__in=ids)._raw_delete(using="default")
            AuditEntry.objects.filter(pk__in=ids)._raw_delete(using="default")
    return number


def _last_before(before: datetime) -> int:
    kept = AuditEntry.objects.filter(at__gte=before).aggregate(first=Min("position"))["first"]
    return (kept - 1) if kept is not None else head()[0]


def clean_up() -> None:
    """Once a day: rows older than KEEP_AUDIT_DAYS go."""
    purge(timezone.now() - timedelta(days=settings.KEEP_AUDIT_DAYS))
