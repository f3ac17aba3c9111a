"""/metrics: Prometheus' text format, for those who may see it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from deliveries.models import RawReport
from deliveries.models.host.heartbeat import Heartbeat
from deliveries.models.states import State
from reporting.figures import prometheus
from reporting.tracking import collect

pytestmark = pytest.mark.django_db
TOKEN = "scrape-me-" + "x" * 20
_LINE = re.compile(r'[a-z_0-9]+(\{[a-z_]+="(\\.|[^"\\])*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+-]+')


def values() -> dict[str, float]:
    lines = [line for line in prometheus.text().splitlines() if not line.startswith("#")]
    assert all(_LINE.fullmatch(line) for line in lines), lines
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_without_a_setting_there_is_no_such_page(client: Client) -> None:
    assert client.get("/metrics").status_code == 404


@override_settings(METRICS_TOKEN=TOKEN)
def test_the_token_opens_it_and_a_wrong_one_does_not(client: Client) -> None:
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN[:-1]}").status_code == 404
    answer = client.get("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}")
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/plain; version=0.0.4")


@override_settings(METRICS_ALLOW=[ip_network("10.0.0.0/8")])
def test_an_address_of_the_list_opens_it(client: Client) -> None:
    assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR="10.1.2.3").status_code == 404


def test_every_metric_is_explained_once_and_every_line_is_well_formed() -> None:
    names = re.findall(r"^# TYPE (\S+) (?:gauge|counter)$", prometheus.text(), re.M)
    assert len(names) == len(set(names)) and {name.split("{")[0] for name in values()} <= set(names)


def test_deliveries_messages_and_relayed_are_counted(sent: Callable[..., Any]) -> None:
    sent(4)
    seen = values()
    assert seen['office_deliveries{state="finished"}'] == 1
    assert (seen['office_messages{outcome="sent"}'], seen["office_messages_relayed_total"]) == (4, 4)
    assert len([name for name in seen if name.startswith("office_deliveries{")]) == len(State)


def test_due_rows_leases_hosts_and_backlogs_are_told(message: Any, routing: Any) -> None:
    from tests.deliveries.sending.sending_rows import sending_delivery

    delivery = sending_delivery(message, routing, 3)
    delivery.batches.update(lease_until=timezone.now() - timedelta(seconds=90))
    Heartbeat.objects.create(host='o"ne', beat_at=timezone.now(), swept_at=timezone.now())
    RawReport.objects.create(source=1, raw=b"")
    seen = values()
    assert (seen["office_messages_due"], seen["office_feedback_waiting"]) == (3, 1)
    assert 89 < seen["office_lease_overdue_seconds"] < 120
    assert seen['office_heartbeat_age_seconds{host="o\\"ne"}'] < 60 and seen['office_up{part="sweeper"}'] == 1


def test_what_waits_in_the_tracking_buffer_is_told(tmp_path: Any, settings: Any) -> None:
    settings.TRACKING_DIR = tmp_path
    kept = collect.Buffer(tmp_path, "here")
    kept.append(collect.Event(1, 1, 1, -1, False, "", ""))
    assert values()["office_tracking_buffer_bytes"] > 5
    kept.close()


def test_a_lost_database_leaves_the_rest_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise OSError

    monkeypatch.setitem(prometheus.health.PARTS, "database", gone)
    assert set(values().values()) == {0.0}
