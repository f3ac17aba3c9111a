"""Judges tracking logs again when the rules about machines have changed. Raw events stay as they came."""

from __future__ import annotations

from django.db import transaction

from deliveries.models import Delivery, SendingLog
from reporting.figures import kept_figures
from reporting.models import TrackingLog
from reporting.tracking import bot_detection, ingest, tracked_urls

RECIPIENTS = 500  # in a transaction


def judge_again(delivery_id: int | None = None) -> int:
    """Judge the logs of older rules by the present ones and refresh the figures of their deliveries. Out: rows changed.

    Safe to stop and to repeat: what is judged by the present rules is not looked at again.
    """
    old = TrackingLog.objects.exclude(version=bot_detection.VERSION)
    scope = old.filter(delivery=delivery_id) if delivery_id else old
    changed = 0
    for pk in list(scope.order_by("delivery").values_list("delivery", flat=True).distinct()):
        changed += judge_delivery(pk)
        kept_figures.refresh(Delivery.everything.get(pk=pk))
    return changed


def judge_delivery(delivery_id: int) -> int:
    """Judge all of a delivery's tracking logs, some recipients at a time. Out: rows that changed."""
    links = tracked_urls.numbers_of([delivery_id])
    logs = TrackingLog.objects.filter(delivery=delivery_id).order_by("sending_log")
    last, total = 0, 0
    while some := list(logs.filter(sending_log__gt=last).values_list("sending_log", flat=True).distinct()[:RECIPIENTS]):
        with transaction.atomic():
            found = SendingLog.objects.filter(pk__in=some).values_list("pk", *ingest.Recipient._fields)
            recipients = {pk: ingest.Recipient(*rest) for pk, *rest in found}
            rows = TrackingLog.objects.filter(sending_log__in=recipients)
            changed = ingest.judge_rows(rows, recipients, links)
            ingest.update_verdicts(changed)
        last, total = some[-1], total + len(changed)
    return total
