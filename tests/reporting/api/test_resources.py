"""Compute stats and figures for programs."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from deliveries.models.states import State
from reporting.models import TrackingLog

pytestmark = pytest.mark.django_db


def test_a_program_computes_stats_and_reads_them(sent: Any, preparer: Any, client: Client) -> None:
    delivery = sent(2)
    TrackingLog.objects.create(delivery=delivery, sending_log=delivery.sending_logs.all()[0], type=1, at=timezone.now())
    client.force_login(preparer)
    url = reverse("delivery-stats", args=[delivery.pk])
    assert client.get(url).status_code == 404
    found = client.post(url).json()
    assert (found["opens"], found["clicks"], found["people_clicks"]) == (1, 1, 1)
    assert client.get(url).json() == found


def test_a_program_is_refused_as_people_are(sent: Any, preparer: Any, make_user: Any, client: Client) -> None:
    draft = reverse("delivery-stats", args=[sent(state=State.READY, confirmed_at=None).pk])
    assert client.post(draft).status_code == 401
    client.force_login(preparer)
    assert client.post(draft).status_code == 409
    client.force_login(make_user("stranger"))
    assert client.post(draft).status_code == 404


def test_tracking_logs_and_links_for_programs(sent: Any, starter: Any, client: Client) -> None:
    delivery, now = sent(2), timezone.now()
    first, second = delivery.sending_logs.order_by("pk")
    for log, kind, machine in ((first, 2, False), (first, 1, False), (second, 1, True)):
        link = 0 if kind == 1 else None
        TrackingLog.objects.create(delivery=delivery, sending_log=log, type=kind, at=now, link=link, machine=machine)
    client.force_login(starter)
    url = reverse("api-tracking-logs", args=[delivery.pk])
    rows = client.get(url).json()["results"]
    assert [(row["type"], row["address"]) for row in rows] == [
        (1, second.address),
        (1, first.address),
        (2, first.address),
    ]
    assert [row["id"] for row in client.get(f"{url}?type=1&who=people").json()["results"]] == [rows[1]["id"]]
    links = client.get(reverse("api-tracked-urls", args=[delivery.pk])).json()
    assert (links[0]["url"], links[0]["events"], links[0]["people"]) == ("https://example.com/news", 2, 1)


def test_a_profiles_history_for_programs(sent: Any, starter: Any, client: Client) -> None:
    from campaigns.models import Profile

    delivery = sent(1)
    profile = Profile.objects.create(email="ann@example.com")
    delivery.sending_logs.update(profile=profile)
    client.force_login(starter)
    told = client.get(reverse("api-profile-history", args=[profile.pk])).json()
    assert [(event["category"], event["delivery"]) for event in told["events"]] == [("sent", delivery.pk)]
    assert told["touchpoints"] == 1
