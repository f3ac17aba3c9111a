"""Opens and clicks from the logs, and counters against rows."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import Schedule

from campaigns.core import queue
from deliveries.ledger import recount
from deliveries.ledger.counters import counters
from deliveries.lifecycle.commands import Refused
from deliveries.models import Batch, DeliveryEvent, SendingLog
from deliveries.models.counters import COUNTERS
from deliveries.models.states import LogStatus
from reporting.figures import id_ranges, kept_figures
from reporting.jobs import periodic_jobs, reclassify, tasks
from reporting.models import CLICKING, OPENING, Figures, TrackingLog
from reporting.tracking import bot_detection
from tests.deliveries.sending.sending_rows import figures, true_figures

pytestmark = pytest.mark.django_db


def add(log: SendingLog, kind: int, machine: bool = False) -> None:
    TrackingLog.objects.create(
        delivery_id=log.delivery_id,
        sending_log=log,
        type=kind,
        at=timezone.now(),
        machine=machine,
        version=bot_detection.VERSION,
        agent="Mozilla/5.0 (X11)",
        rule="burst" if machine else "",
    )


def test_opens_and_clicks_count_distinct_sent_rows(sent: Any) -> None:
    delivery = sent(5)
    a, b, c, d, e = delivery.sending_logs.order_by("pk")
    for log, kind in ((a, 2), (a, 2), (a, 1), (a, 1), (b, 6), (c, 3), (d, 2)):
        add(log, kind, machine=log == d)
    add(e, 1)
    SendingLog.objects.filter(pk=e.pk).update(status=2)
    found = kept_figures.measure(delivery.pk)
    assert found == kept_figures.Measured(
        opens=4, clicks=1, people_opens=3, people_clicks=1, mirrors=1, opt_outs=1, all_opens=5, all_clicks=2
    )


@pytest.mark.parametrize("seed", range(3))
def test_figures_agree_with_the_rows_for_random_histories(sent: Any, seed: int) -> None:
    chance, delivery = random.Random(seed), sent(40)
    kinds: dict[int, set[int]] = {}
    for log in delivery.sending_logs.all():
        kinds[log.pk] = {chance.choice((1, 2, 3, 6)) for _ in range(chance.randrange(4))}
        for kind in kinds[log.pk]:
            add(log, kind)
    found = kept_figures.measure(delivery.pk)
    assert found.opens == sum(bool(k & set(OPENING)) for k in kinds.values())
    assert found.clicks == sum(bool(k & set(CLICKING)) for k in kinds.values())


def test_the_hourly_refresh_counts_only_what_changed_and_says_when(sent: Any, monkeypatch: Any) -> None:
    delivery = sent(2)
    add(delivery.sending_logs.all()[0], 2)
    tasks.refresh_figures()
    delivery.refresh_from_db()
    assert (delivery.opens, delivery.clicks) == (1, 0)
    old = timezone.now() - timedelta(hours=1)
    type(delivery).objects.update(stats_at=old)
    monkeypatch.setattr(kept_figures, "measure", lambda pk: pytest.fail("nothing changed"))
    tasks.refresh_figures()
    delivery.refresh_from_db()
    assert delivery.stats_at > old


def stood_still(delivery: Any) -> bool:
    """Whether the hourly refresh sees no reason to count."""
    return kept_figures.refresh(delivery, only_if_changed=True) is None


def test_a_new_event_another_sent_row_and_new_rules_are_each_a_reason_to_count(sent: Any, monkeypatch: Any) -> None:
    delivery = sent(3)
    a, b, _ = delivery.sending_logs.order_by("pk")
    add(a, 2)
    assert [stood_still(delivery), stood_still(delivery)] == [False, True]
    add(b, 2)
    assert [stood_still(delivery), stood_still(delivery)] == [False, True]
    SendingLog.objects.filter(pk=b.pk).update(status=2)
    Batch.objects.update(sent=2, failed=1)
    assert [stood_still(delivery), stood_still(delivery)] == [False, True]
    delivery.refresh_from_db()
    assert delivery.opens == 1
    monkeypatch.setattr(bot_detection, "VERSION", 99)
    assert not stood_still(delivery)


def test_the_refresh_takes_the_longest_waiting_first_and_leaves_fresh_old_and_purged_ones(
    sent: Any, monkeypatch: Any
) -> None:
    now, hour = timezone.now(), timedelta(hours=1)
    new, older, newer, fresh, ended, purged = (sent(1) for _ in range(6))
    for delivery, at in ((older, 3 * hour), (newer, 2 * hour), (fresh, hour / 60), (purged, 3 * hour)):
        type(delivery).objects.filter(pk=delivery.pk).update(stats_at=now - at)
    type(ended).objects.filter(pk=ended.pk).update(contact_date=now - timedelta(days=100))
    Figures.objects.create(delivery=purged, purging_at=now)
    seen: list[int] = []
    monkeypatch.setattr(kept_figures, "refresh", lambda delivery, only_if_changed: seen.append(delivery.pk))
    assert kept_figures.refresh_all(60)
    assert seen == [new.pk, older.pk, newer.pk]


@pytest.mark.parametrize(
    ("task", "work"), [("refresh_figures", "figures.kept_figures.refresh_all"), ("purge", "jobs.retention.purge")]
)
def test_a_task_that_runs_out_of_time_goes_on_in_another(task: str, work: str, monkeypatch: Any) -> None:
    queued: list[str] = []
    monkeypatch.setattr(queue, "enqueue", queued.append)
    for done in (True, False):
        monkeypatch.setattr(f"reporting.{work}", lambda seconds, done=done: done)
        getattr(tasks, task)()
    assert queued == [f"reporting.jobs.tasks.{task}"]


def test_a_refresh_without_time_says_that_there_is_more(sent: Any) -> None:
    sent(1)
    assert not kept_figures.refresh_all(-1)
    assert kept_figures.refresh_all(60)


def test_recipients_of_all_shares_and_of_this_delivery_alone_are_counted_once(sent: Any, monkeypatch: Any) -> None:
    delivery, other = sent(7), sent(3)
    for log in SendingLog.objects.all():
        add(log, 1)
    for share in (1, 2, 3, 100):
        monkeypatch.setattr(id_ranges, "LEAST", share)
        monkeypatch.setattr(id_ranges, "MOST", share)
        assert (kept_figures.measure(delivery.pk).clicks, kept_figures.measure(other.pk).clicks) == (7, 3)


def test_every_counter_is_compared_with_its_rows(sent: Any) -> None:
    delivery, now, status = sent(13), timezone.now(), LogStatus
    Batch.objects.update(total=0, sent=0, relayed=0)
    waits: dict[str, Any] = {"status": status.PENDING, "relayed_at": None}
    changes: list[dict[str, Any]] = [
        waits | {"due_at": now},
        waits | {"due_at": now, "attempts": 0},
        waits | {"retry_state": 1},
        waits,
        *2 * [{"status": status.IN_DOUBT, "relayed_at": None}],
        *2 * [{"status": status.FAILED, "failure_type": 1}],
        {"status": status.FAILED, "failure_type": 2},
        {"status": status.FAILED},
        {"complained_at": now},
        {"status": status.CANCELLED, "relayed_at": None},
        {},
    ]
    for log, change in zip(delivery.sending_logs.order_by("pk"), changes, strict=True):
        SendingLog.objects.filter(pk=log.pk).update(**{"status": status.SENT} | change)
    found = {d.counter: d.counted for d in recount.drifts(delivery.pk)}
    assert found == true_figures(delivery)
    assert set(found) == set(COUNTERS)


def test_compute_stats_corrects_the_counters_and_reports_the_drift(sent: Any, preparer: Any) -> None:
    delivery = sent(4)
    right = figures(delivery)
    SendingLog.objects.filter(pk=delivery.sending_logs.all()[0].pk).update(status=2, failure_type=2)
    drift = kept_figures.compute_stats(delivery, preparer)
    assert {(d.counter, d.stood, d.counted) for d in drift} == {("sent", 4, 3), ("failed", 0, 1), ("hard", 0, 1)}
    assert figures(delivery) == right | {"sent": 3, "failed": 1, "hard": 1}
    event = DeliveryEvent.objects.get(code="stats_computed")
    assert "sent -1" in event.message
    assert event.user == preparer
    assert kept_figures.compute_stats(delivery, preparer) == []


def test_a_correction_keeps_what_senders_did_after_the_count(sent: Any, monkeypatch: Any) -> None:
    delivery = sent(4)
    Batch.objects.update(relayed=1)
    found = recount.drifts(delivery.pk)
    monkeypatch.setattr(recount, "drifts", lambda pk: found)
    SendingLog.objects.filter(pk=delivery.sending_logs.all()[0].pk).update(relayed_at=None)
    Batch.objects.update(relayed=0)  # as the ledger would have: one less
    recount.correct(delivery.pk)
    monkeypatch.undo()
    assert recount.drifts(delivery.pk) == []


def test_two_computations_at_once_are_refused(sent: Any, preparer: Any) -> None:
    delivery = sent()
    Figures.objects.create(delivery=delivery, counting_until=timezone.now() + timedelta(minutes=1))
    with pytest.raises(Refused, match="already"):
        kept_figures.compute_stats(delivery, preparer)


def test_a_computation_that_died_or_failed_blocks_no_later_one(sent: Any, preparer: Any, monkeypatch: Any) -> None:
    delivery = sent()
    Figures.objects.create(delivery=delivery, counting_until=timezone.now() - timedelta(seconds=1))
    with monkeypatch.context() as broken:
        broken.setattr(recount, "correct", lambda pk: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            kept_figures.compute_stats(delivery, preparer)
    assert kept_figures.compute_stats(delivery, preparer) == []


def test_what_was_never_confirmed_has_no_figures_to_compute(sent: Any, preparer: Any) -> None:
    with pytest.raises(Refused, match="not confirmed"):
        kept_figures.compute_stats(sent(1, confirmed_at=None), preparer)


def test_compute_stats_asks_for_the_role(sent: Any, make_user: Any) -> None:
    delivery = sent()
    with pytest.raises(PermissionDenied):
        kept_figures.compute_stats(delivery, make_user("nobody"))
    assert DeliveryEvent.objects.filter(delivery=delivery, code="denied").exists()


def test_the_button_computes_by_post_alone(sent: Any, preparer: Any, client: Client) -> None:
    delivery = sent()
    client.force_login(preparer)
    url = reverse("delivery-compute-stats", args=[delivery.pk])
    assert client.get(url).status_code == 405
    assert client.post(url).status_code == 302
    delivery.refresh_from_db()
    assert delivery.stats_at is not None


def test_the_nightly_check_tells_the_administrators_and_corrects_nothing(sent: Any, make_user: Any) -> None:
    make_user("admin", "Administrators")
    delivery = sent(2)
    Batch.objects.update(relayed=7)
    tasks.check_drift()
    assert [m.to for m in mail.outbox] == [["admin@example.com"]]
    assert counters(delivery).relayed == 7
    event = DeliveryEvent.objects.get(code="drift")
    assert "in 1 batches" in event.message and "relayed -5" in event.message
    assert event.details["drift"][0]["stood"] == 7


def test_the_nightly_check_looks_as_long_as_bounces_come_and_says_when_it_had_no_time(sent: Any, caplog: Any) -> None:
    now = timezone.now()
    week, longer = sent(1, confirmed_at=now - timedelta(days=7)), sent(1, confirmed_at=now - timedelta(days=9))
    Batch.objects.update(relayed=7)
    assert kept_figures.check_drift(60) == [week]
    sent(1)
    Batch.objects.update(relayed=7)
    assert len(kept_figures.check_drift(-1)) == 1
    assert "ran out of time" in caplog.text
    assert not longer.events.filter(code="drift").exists()


def test_new_rules_judge_old_rows_and_refresh_the_figures(sent: Any, monkeypatch: Any) -> None:
    delivery = sent(2)
    add(delivery.sending_logs.all()[0], 2)
    kept_figures.refresh(delivery)
    monkeypatch.setattr(bot_detection, "VERSION", 2)
    monkeypatch.setattr(bot_detection, "judge", lambda touches, sent_at, links: ["agent"] * len(touches))
    assert reclassify.judge_again() == 1
    assert Figures.objects.get().people_opens == 0
    assert reclassify.judge_again() == 0


def test_the_schedules_are_made_once_and_stay_as_an_administrator_left_them() -> None:
    periodic_jobs.ensure()
    hourly = Schedule.objects.get(func="reporting.jobs.tasks.refresh_figures")
    assert hourly.schedule_type == Schedule.HOURLY
    Schedule.objects.filter(pk=hourly.pk).update(schedule_type=Schedule.DAILY)
    periodic_jobs.ensure()
    assert Schedule.objects.get(func="reporting.jobs.tasks.refresh_figures").schedule_type == Schedule.DAILY


def test_open_rates_may_be_refreshed_more_often(settings: Any) -> None:
    settings.FIGURES_MINUTES = 5
    Schedule.objects.all().delete()
    periodic_jobs.ensure()
    found = Schedule.objects.get(func="reporting.jobs.tasks.refresh_figures")
    assert (found.schedule_type, found.minutes) == (Schedule.MINUTES, 5)
