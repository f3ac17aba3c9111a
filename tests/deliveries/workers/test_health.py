"""/healthz says what fails and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from deliveries.models.host import heartbeat
from deliveries.models.host.heartbeat import Heartbeat
from deliveries.workers import health, tasks

pytestmark = pytest.mark.django_db


def beating(age: float = 0.0) -> None:
    at = timezone.now() - timedelta(seconds=age)
    Heartbeat.objects.update_or_create(host="one", defaults={"beat_at": at, "swept_at": at})


def test_all_well_is_200(client: Client) -> None:
    beating()
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["status"], answer.json()["failing"]) == (200, "ok", [])


def test_workers_that_are_silent_are_named(client: Client, settings: Any) -> None:
    assert client.get("/healthz").json()["failing"] == ["heartbeat", "sweeper"]  # never started
    beating(2 * settings.GUARD_STALE_SECONDS + 5)
    answer = client.get("/healthz")
    assert answer.status_code == 503 and answer.json()["failing"] == ["heartbeat", "sweeper"]


def test_one_host_of_two_is_enough(client: Client) -> None:
    beating(10_000)
    Heartbeat.objects.create(host="two", beat_at=timezone.now(), swept_at=timezone.now())
    assert client.get("/healthz").status_code == 200


def test_a_sweeper_that_hangs_while_tasks_run_is_named(client: Client) -> None:
    Heartbeat.objects.create(host="one", beat_at=timezone.now(), swept_at=timezone.now() - timedelta(hours=1))
    assert client.get("/healthz").json()["failing"] == ["sweeper"]


def test_a_lost_database_is_503_and_tells_no_secret(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise DatabaseError("password=secret host=db.internal")

    monkeypatch.setitem(health.PARTS, "database", gone)
    answer = client.get("/healthz")
    assert answer.status_code == 503 and answer.json()["failing"] == ["database"]
    assert "secret" not in answer.text and "internal" not in answer.text


def test_a_lost_broker_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise ConnectionError

    beating()
    monkeypatch.setattr(health, "get_broker", gone)
    assert client.get("/healthz").json()["failing"] == ["broker"]


def test_a_web_host_may_ask_for_its_own_parts_alone(client: Client) -> None:
    assert client.get("/healthz?parts=database,broker").status_code == 200
    assert client.get("/healthz?parts=nonsense").status_code == 503  # that is all of them


def test_it_is_asked_without_tls_on_the_loopback(client: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    beating()
    assert client.get("/healthz").status_code == 200


def test_a_tick_says_that_the_sweeper_has_run(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_beaten_at", -10.0)
    tasks.tick(settings.HOST_ID, 0.0)
    assert Heartbeat.objects.get(host=settings.HOST_ID).swept_at
