"""Old logs go, figures stay, drafts and running deliveries are left alone."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from deliveries.feedback import apply_events
from deliveries.ledger.counters import counters, series_counters
from deliveries.lifecycle.commands import Refused
from deliveries.models import Delivery, ExclusionLog, FeedbackEvent, SendingLog
from deliveries.models.states import Reason, State
from reporting.figures import kept_figures
from reporting.jobs import retention
from reporting.models import Figures, TrackingBuffer, TrackingLog
from tests.deliveries.reported import event

pytestmark = pytest.mark.django_db


def long_ago(days: int) -> dict[str, Any]:
    past = timezone.now() - timedelta(days=days)
    return {"finished_at": past, "confirmed_at": past, "contact_date": past}


def test_logs_go_after_half_a_year_and_figures_stay(sent: Any, preparer: Any) -> None:
    delivery = sent(5, **long_ago(200))
    log = delivery.sending_logs.all()[0]
    TrackingLog.objects.create(delivery=delivery, sending_log=log, type=1, at=timezone.now())
    assert retention.purge(60)
    delivery.refresh_from_db()
    assert not delivery.sending_logs.exists()
    assert not delivery.tracking_logs.exists()
    assert (counters(delivery).sent, delivery.opens, delivery.clicks) == (5, 1, 1)
    with pytest.raises(Refused, match="retention"):
        kept_figures.compute_stats(delivery, preparer)


def test_a_purge_that_runs_out_of_time_goes_on_later(sent: Any, monkeypatch: Any) -> None:
    delivery = sent(9, **long_ago(200))
    monkeypatch.setattr(retention, "ROWS", 2)
    monkeypatch.setattr(kept_figures, "refresh", lambda d: None)
    with pytest.raises(retention.OutOfTime):
        retention.purge_logs(delivery, time.monotonic() - 1)
    assert SendingLog.objects.exists()
    assert retention.purge(60)
    assert not SendingLog.objects.exists()
    assert delivery.events.filter(code="purged").count() == 1
    assert retention.purge(60)
    assert delivery.events.filter(code="purged").count() == 1


def test_after_two_years_a_delivery_goes_with_all_that_is_its(sent: Any) -> None:
    sent(2, **long_ago(800))
    assert retention.purge(60)
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("changed", [{"state": State.IN_PROGRESS}, {"state": State.EDITING, "confirmed_at": None}])
def test_what_has_not_ended_stays(sent: Any, changed: dict[str, Any]) -> None:
    delivery = sent(2, **(long_ago(800) | changed))
    assert retention.purge(60)
    assert delivery.sending_logs.count() == 2


@pytest.mark.parametrize(
    "what, days, matched, kept",
    [
        ("delivered", 200, True, False),
        ("delivered", 100, True, True),
        ("hard", 200, True, True),
        ("soft", 200, True, True),
        ("hard", 40, False, False),
        ("hard", 20, False, True),
    ],
)
def test_reports_go_with_their_logs_but_for_those_against_an_address(
    sent: Any, what: str, days: int, matched: bool, kept: bool
) -> None:
    log = sent(1).sending_logs.get()
    apply_events.apply([event(log, what, **({} if matched else {"log_id": None}))])
    FeedbackEvent.objects.update(received_at=timezone.now() - timedelta(days=days))
    assert retention.purge(60)
    assert FeedbackEvent.objects.exists() == kept


@pytest.mark.parametrize(("days", "stay"), [(182, True), (184, False)])
def test_logs_stay_as_long_as_they_are_to_be_kept(sent: Any, days: int, stay: bool) -> None:
    delivery = sent(1, **long_ago(days))
    assert retention.purge(60)
    assert delivery.sending_logs.exists() is stay


def test_figures_are_counted_a_last_time_and_then_never_again(sent: Any) -> None:
    delivery = sent(3, **long_ago(200))
    TrackingLog.objects.create(delivery=delivery, sending_log=delivery.sending_logs.all()[0], type=2, at=timezone.now())
    assert retention.purge(60)
    Delivery.objects.update(contact_date=timezone.now(), stats_at=None)
    assert kept_figures.refresh_all(60)
    page = Delivery.objects.get()
    assert (page.opens, Figures.objects.get().all_opens) == (1, 1)
    assert page.events.filter(code="purged").count() == 1


def test_who_was_left_out_is_forgotten_with_the_logs(sent: Any) -> None:
    delivery = sent(1, **long_ago(200))
    ExclusionLog.objects.create(
        delivery=delivery, address="a@example.com", cause=Reason.DENYLISTED, date=timezone.now()
    )
    assert retention.purge(60)
    assert not ExclusionLog.objects.exists()


@pytest.mark.parametrize(("period", "stays"), [("", False), ("2024-01-05", False), ("2024-01", True), ("2024", True)])
def test_executions_by_month_or_year_are_never_deleted(sent: Any, period: str, stays: bool) -> None:
    sent(1, **long_ago(800), period=period)
    assert retention.purge(60)
    assert Delivery.objects.exists() is stays


def test_a_series_keeps_the_figures_of_the_executions_that_are_over_their_time(sent: Any) -> None:
    series = sent(0)
    sent(4, **long_ago(800), parent=series)
    before = series_counters(series)
    assert before.sent == 4
    assert retention.purge(60)
    series.refresh_from_db()
    assert series_counters(series) == before


def test_places_in_buffers_that_are_long_gone_are_forgotten(sent: Any) -> None:
    for days in (29, 31):
        TrackingBuffer.objects.create(name=f"{days}")
        TrackingBuffer.objects.filter(name=f"{days}").update(folded_at=timezone.now() - timedelta(days=days))
    assert retention.purge(60)
    assert [place.name for place in TrackingBuffer.objects.all()] == ["29"]
