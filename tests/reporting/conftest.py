"""What the tests of reporting share: a delivery that was sent, and a buffer of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from deliveries.models import Batch, Delivery, SendingLog
from deliveries.models.states import LogStatus, State
from tests.deliveries.sending.sending_rows import CONTENT, sending_delivery

HTML = (
    '<p>Dear {{ first_name }}, <a href="https://example.com/news" data-label="News">our news</a>, '
    '<a href="https://example.com/for/{{ first_name }}">yours</a>, <a href="https://example.com/shop">shop</a>, '
    '<a href="{{ mirror_url }}">see it on the web</a>, <a href="{{ unsubscribe_url }}">unsubscribe</a>.</p>'
)
LINKED = CONTENT | {"html": HTML, "text": "Hello", "website": "https://www.example.com/"}


@pytest.fixture
def sent(message: Any, routing: Any) -> Callable[..., Delivery]:
    """sent(4) is a finished delivery of four Sent rows, handed over an hour ago."""

    def make(recipients: int = 3, **changed: Any) -> Delivery:
        values = {"state": State.FINISHED, "content": LINKED, "finished_at": timezone.now()} | changed
        delivery = sending_delivery(message, routing, recipients, **values)
        hour_ago = timezone.now().replace(microsecond=0) - timedelta(hours=1)
        delivery.sending_logs.update(status=LogStatus.SENT, due_at=None, relayed_at=hour_ago, date=hour_ago, attempts=1)
        for batch in delivery.batches.all():
            Batch.objects.filter(pk=batch.pk).update(pending=0, sent=batch.total, relayed=batch.total, next_due_at=None)
        return delivery

    return make


@pytest.fixture
def tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """The endpoints write to a buffer of this test's own; calling it folds what they wrote."""
    from reporting.tracking import collect, ingest
    from reporting.tracking.buffer import Buffer

    buffer = Buffer(tmp_path / "tracking", "here")
    monkeypatch.setattr(collect, "buffer", buffer)
    yield lambda: ingest.fold(buffer.folder)
    buffer.close()


def first_log(delivery: Delivery) -> SendingLog:
    """The delivery's first sending log."""
    return delivery.sending_logs.order_by("pk")[0]


def later(log: SendingLog, seconds: float) -> datetime:
    """So long after the row was handed over."""
    assert log.relayed_at
    return log.relayed_at + timedelta(seconds=seconds)
