"""An address with a NUL leads nowhere, on other apps' admin pages as well as on ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.postgres import running_postgres

pytestmark = pytest.mark.django_db
PAGES = ("auth/group", "auth/user", "campaigns/message")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("key", ["%00", "a%00b", "_00", "1_00"])
def test_a_key_with_a_nul_is_not_found(client: Client, admin_user: Any, page: str, key: str) -> None:
    client.force_login(admin_user)
    for end in ("change", "delete", "history"):
        assert client.get(f"/admin/{page}/{key}/{end}/").status_code in (302, 404)


@pytest.mark.parametrize("page", PAGES)
def test_a_search_with_a_nul_is_a_bad_request(client: Client, admin_user: Any, page: str) -> None:
    client.force_login(admin_user)
    assert client.get(f"/admin/{page}/?q=%00").status_code == 400


@pytest.mark.slow
@pytest.mark.postgres
def test_nul_on_postgresql(service: Callable[[str], str]) -> None:
    with running_postgres(service("postgres")) as url:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--create-db", __file__]
        environment = os.environ | {"DATABASE_URL": f"{url}postgres"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
