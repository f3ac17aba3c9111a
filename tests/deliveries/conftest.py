"""What the tests of deliveries share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.smtp_server import Server

from .unconfirmed_people import around, somebody, world  # noqa: F401 - fixtures


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
