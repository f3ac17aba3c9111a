"""The permission matrix of what starts without anybody being asked: who sets it going, by each kind of people.

Each way is gone as a program would, then the sweeper and the workers do their rounds. Whoever may not start must leave
nothing confirmed, in nobody's name; and the rounds themselves start what a holder confirmed in advance, and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.test import Client
from django.utils import timezone

from campaigns.models import Message, Recurrence, Schedule
from deliveries.lifecycle import auto_start
from deliveries.lifecycle.recurrence import executions
from deliveries.models import Delivery
from deliveries.models.states import PREPARING
from deliveries.preparation import prepare

from .expected import STARTERS
from .reach import RELATED

pytestmark = pytest.mark.django_db
Things = dict[str, Any]
HOLDERS = {*STARTERS, "S-own", "S-above"}  # of the campaign's unit, or above it
NOBODY: set[str] = set()


def rounds() -> None:
    """Of the sweeper and the workers, until the next slot of every series has come."""
    coming = Recurrence.objects.filter(next_at__isnull=False).order_by("-next_at").values_list("next_at", flat=True)
    executions.tick(next(iter(coming), None))
    for pk in Delivery.objects.filter(state__in=PREPARING).values_list("pk", flat=True):
        prepare.run(pk)
    auto_start.start_unasked()


def command(client: Client, delivery: Delivery, method: str) -> None:
    """By the API, with the form that is there now."""
    path = f"/api/deliveries/{delivery.pk}/"
    seen = {"HTTP_IF_MATCH": f'"{form}"'} if (form := client.get(path).json().get("form")) else {}
    client.post(f"{path}commands/", {"method": method}, "application/json", **seen)


def recurring(message: Message, *, asks: bool) -> None:
    coming = (timezone.now() + timedelta(hours=6)).time().replace(second=0, microsecond=0)
    fields = {"frequency": "daily", "at": coming, "time_zone": "UTC", "request_confirmation": asks}
    Recurrence.objects.update_or_create(message=message, defaults=fields)


def a_schedule_that_asks_nobody(client: Client, delivery: Delivery, holder: Any) -> None:
    """Its preparation is asked for."""
    Schedule.objects.create(message=delivery.message, request_confirmation=False)
    command(client, delivery, "prepare")


def a_schedule_of_their_own(client: Client, delivery: Delivery, holder: Any) -> None:
    """A holder has prepared it, asking; then the schedule is changed to ask nobody, without a new preparation."""
    body = {"schedule": {"mode": "immediate", "request_confirmation": False}}
    client.patch(f"/api/messages/{delivery.message_id}/", body, "application/json")


def a_series_that_never_asks(client: Client, delivery: Delivery, holder: Any) -> None:
    recurring(delivery.message, asks=False)
    command(client, delivery, "startSeries")


def a_series_that_asks(client: Client, delivery: Delivery, holder: Any) -> None:
    """… and is told to ask no more once it is on."""
    recurring(delivery.message, asks=True)
    command(client, delivery, "startSeries")
    body = {"recurrence": {"frequency": "daily", "at": "09:00", "time_zone": "UTC", "request_confirmation": False}}
    client.patch(f"/api/messages/{delivery.message_id}/", body, "application/json")


def a_changed_series(client: Client, delivery: Delivery, holder: Any) -> None:
    """A holder's series whose text somebody changed: it is continued."""
    recurring(delivery.message, asks=False)
    executions.start_series(Delivery.objects.get(pk=delivery.pk), holder)
    Message.objects.update(text="Forged {{ unsubscribe_url }}")
    command(client, delivery, "continueSeries")


def a_series_whose_owner_lost_the_role(client: Client, delivery: Delivery, holder: Any) -> None:
    """The slot comes by itself, and it starts in no other's name either."""
    recurring(delivery.message, asks=False)
    executions.start_series(Delivery.objects.get(pk=delivery.pk), holder)
    holder.groups.clear()
    command(client, delivery, "prepare")


WAYS: dict[Callable[[Client, Delivery, Any], None], set[str]] = {
    a_schedule_that_asks_nobody: HOLDERS,
    a_schedule_of_their_own: NOBODY,
    a_series_that_never_asks: HOLDERS,
    a_series_that_asks: NOBODY,
    a_changed_series: HOLDERS,
    a_series_whose_owner_lost_the_role: NOBODY,
}
SLOWER = (pytest.param(kinds, marks=pytest.mark.slow, id=kinds[0][0]) for kinds in (RELATED[:8], RELATED[8:]))


@pytest.mark.parametrize("kinds", [pytest.param(tuple("*EHNPSADVU"), id="roles"), *SLOWER])
def test_nothing_starts_unasked_by_people_without_the_role(world: Things, kinds: Any, caplog: Any) -> None:
    caplog.set_level("CRITICAL")
    started = {way.__name__: {kind for kind in kinds if goes(world, way, kind)} for way in WAYS}
    assert started == {way.__name__: holders & set(kinds) for way, holders in WAYS.items()}


def goes(world: Things, way: Any, kind: str) -> bool:
    """Whether anything started, and if so in the name of whoever set it going."""
    with transaction.atomic():
        client, person = Client(raise_request_exception=False), world["people"][kind]
        if person is not None:
            client.force_login(person)
        holder = get_user_model()._default_manager.get(pk=world["people"]["S"].pk)
        way(client, Delivery.objects.get(pk=world["things"]["delivery"]), holder)
        rounds()
        names = {one.confirmed_by for one in Delivery.objects.filter(confirmed_at__isnull=False)}
        transaction.set_rollback(True)
    assert names <= {person}
    return bool(names)
