"""A plugin of pytest: the tests that follow find their logs split into partitions of three deliveries."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def _split(django_db_setup: None, django_db_blocker: Any) -> None:
    from deliveries.models.storage import partitions

    with django_db_blocker.unblock():
        partitions.split(3)


@pytest.fixture(autouse=True)
def _forget() -> None:
    """Partitions that a test made were taken back with it."""
    from deliveries.models.storage import partition_lookup

    partition_lookup.forget()
