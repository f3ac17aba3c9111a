"""The admin's first page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from guardian.shortcuts import assign_perm

from campaigns.models import Campaign
from deliveries.models import Batch, Delivery
from deliveries.models.states import State
from deliveries.preparation.sealing import current_seal
from reporting.admin.home import home

pytestmark = pytest.mark.django_db


def ready(message: Any, routing: Any, **changed: Any) -> Delivery:
    values = {"state": State.READY, "to_deliver": 7, "fingerprint": current_seal(message)} | changed
    return Delivery.objects.create(
        message=message, campaign=message.campaign, routing=routing, label=message.label, **values
    )


def test_awaiting_holds_what_the_user_may_start(message: Any, routing: Any, starter: Any, preparer: Any) -> None:
    delivery = ready(message, routing)
    assert [(line.delivery, line.words) for line in home(starter).awaiting] == [(delivery, "7 messages")]
    assert home(preparer).awaiting == []


def test_a_changed_delivery_says_that_it_must_be_prepared_again(message: Any, routing: Any, starter: Any) -> None:
    ready(message, routing, fingerprint={})
    assert "prepare again" in home(starter).awaiting[0].words


def test_four_eyes_do_not_await_those_who_prepared(message: Any, routing: Any, starter: Any, make_user: Any) -> None:
    Campaign.objects.update(four_eyes=True)
    ready(message, routing, prepared_by=starter)
    assert home(starter).awaiting == []
    assert len(home(make_user("other", "Start deliveries")).awaiting) == 1


def test_what_cannot_be_confirmed_any_more_awaits_nobody(message: Any, routing: Any, starter: Any) -> None:
    now = timezone.now()
    ready(message, routing, expires_at=now - timedelta(minutes=1))
    assert home(starter).awaiting == []
    ready(message, routing, expires_at=now + timedelta(hours=1))
    assert "7 messages, to be confirmed until" in home(starter).awaiting[0].words


def test_a_grant_on_one_campaign_shows_that_one_alone(sent: Any, message: Any, routing: Any, make_user: Any) -> None:
    user, other = make_user("guest"), Campaign.objects.create(label="Other")
    sent(3)
    assert home(user).week is None
    assign_perm("campaigns.view_campaign", user, other)
    assert home(user).week is None
    assign_perm("campaigns.view_campaign", user, message.campaign)
    week = home(user).week
    assert week and week.number == 1


def test_the_week_sums_counters_and_leaves_older_deliveries_out(sent: Any, starter: Any) -> None:
    delivery, old = sent(4), sent(1, label="old", contact_date=timezone.now() - timedelta(days=8))
    Batch.objects.filter(delivery=delivery).update(sent=3, failed=1)
    week = home(starter).week
    assert week and [line.delivery for line in week.newest] == [delivery] and old not in week.newest
    assert (week.figures.delivered_percent, week.figures.bounces_percent) == ("75 %", "25 %")
    assert [day[1:] for day in week.days if any(day[1:])] == [(3, 1)]


def test_running_shows_how_far_it_is(sent: Any, starter: Any) -> None:
    delivery = sent(10, state=State.IN_PROGRESS, finished_at=None)
    Batch.objects.filter(delivery=delivery).update(sent=4, relayed=4, pending=6)
    (line,) = home(starter).running
    assert (line.percent, line.words) == (40, "4 of 10")


def test_what_went_wrong_stands_first(sent: Any, starter: Any) -> None:
    bouncing = sent(100)
    Batch.objects.filter(delivery=bouncing).update(sent=90, failed=10, hard=10)
    held = sent(1, label="held", state=State.IN_PROGRESS, hindrance="the server is down")
    found = [(alert.delivery, alert.what, alert.words) for alert in home(starter).alerts]
    assert found == [
        (held, "Held up", "the server is down"),
        (bouncing, "Many hard bounces", "10 of 100 processed: 10.00 %"),
    ]


@pytest.mark.parametrize("everywhere", [True, False])
def test_the_first_page_costs_few_queries_and_never_counts_logs(
    client: Client,
    sent: Any,
    message: Any,
    routing: Any,
    make_user: Any,
    everywhere: bool,
    django_assert_max_num_queries: Any,
) -> None:
    user = make_user("somebody", *(["Start deliveries"] if everywhere else []))
    assign_perm("campaigns.start_deliveries", user, message.campaign)
    for number in range(4):
        sent(2, label=f"sent {number}")
    ready(message, routing)
    client.force_login(user)
    client.get("/admin/")  # content types are remembered
    with django_assert_max_num_queries(15) as seen:  # typology, rules, never tracked: three for each that waits
        page = client.get("/admin/").content.decode()
    assert "Awaiting my confirmation" in page and "sent 3" in page
    assert not any("sendinglog" in query["sql"] or "trackinglog" in query["sql"] for query in seen.captured_queries)
