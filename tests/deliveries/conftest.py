"""What the tests of deliveries share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import time
from typing import Any

import pytest
import time_machine

from tests.deliveries.unconfirmed.people import around, somebody, world  # noqa: F401 - fixtures
from tests.fakes.smtp_server import Server


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """serve(says, offers, …) starts a scripted SMTP server (tests/fakes), which the end of the test stops."""
    servers: list[Server] = []

    def start(*args: Any, **options: Any) -> Server:
        servers.append(Server(*args, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def eve() -> Iterator[Any]:
    """It is eight in Paris, on the Friday of changing.NINE."""
    from tests.deliveries.preparation.changing import HOUR, NINE

    with time_machine.travel(NINE - HOUR, tick=False) as clock:
        yield clock


@pytest.fixture
def make_series(message: Any, routing: Any, starter: Any) -> Callable[..., Any]:
    """make_series(frequency=…, …) gives a series of every day at nine in Paris, switched on by the starter."""
    from campaigns.models import Profile, Recurrence
    from deliveries.lifecycle import commands
    from deliveries.lifecycle.recurrence import executions

    Profile.objects.create(email="a@example.com")

    def make(by: Any = starter, **fields: Any) -> Any:
        values = {"frequency": "daily", "at": time(9), "time_zone": "Europe/Paris", "request_confirmation": False}
        Recurrence.objects.create(message=message, **(values | fields))
        series = commands.create_delivery(message, by)
        executions.start_series(series, by)
        return series

    return make
