"""Times in the zone of whoever reads them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from deliveries.models import Delivery

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader(client: Client, starter: Any) -> Any:
    client.force_login(starter)
    yield client
    timezone.deactivate()


def choose(client: Client, zone: str) -> str:
    return client.post("/admin/my-time-zone/", {"zone": zone}, follow=True).content.decode()


def test_pages_show_times_in_the_zone_that_was_chosen(reader: Client, message: Any, starter: Any) -> None:
    from deliveries.lifecycle import commands

    delivery = commands.create_delivery(message, starter)
    Delivery.objects.filter(pk=delivery.pk).update(created_at="2026-03-28T08:00:00Z")
    address = f"/admin/deliveries/delivery/{delivery.pk}/change/"
    assert "2026-03-28 08:00" in reader.get(address).content.decode()
    assert "time zone Asia/Tokyo" in choose(reader, "Asia/Tokyo")
    assert "2026-03-28 17:00" in reader.get(address).content.decode()
    assert "server&#x27;s time zone, UTC" in choose(reader, "")
    assert "2026-03-28 08:00" in reader.get(address).content.decode()


def test_what_is_no_zone_is_refused_and_a_forged_cookie_ignored(reader: Client) -> None:
    assert "Mars/Base is no IANA time zone" in choose(reader, "Mars/Base")
    reader.cookies["time_zone"] = "../etc/passwd"
    assert reader.get("/admin/my-notices/").status_code == 200
    assert timezone.get_current_timezone_name() == "UTC"


def test_the_api_speaks_utc_whatever_the_cookie_says(reader: Client, message: Any, starter: Any) -> None:
    reader.cookies["time_zone"] = "Asia/Tokyo"
    assert reader.get(f"/api/messages/{message.pk}/").json()["created_at"].endswith("Z")
