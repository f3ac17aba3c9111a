"""Settings under which something could be lost, mailed twice or forged are refused by name."""

import pytest
from django.core.checks import run_checks


def ids():
    return {message.id for message in run_checks()}


@pytest.mark.parametrize(
    "key, value",
    [
        ("timeout", 10),
        ("retry", 100),
        ("queue_limit", 50),
        ("max_attempts", 3),
        ("catch_up", True),
    ],
)
def test_an_unsafe_cluster_is_refused(settings, key, value):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, key: value}
    assert "deliveries.E001" in ids()


def test_deferred_sqlite_transactions_are_refused(settings):
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {}}
    settings.DATABASES = {"default": sqlite}
    assert "deliveries.E002" in ids()


def test_a_missing_secret_key_is_refused(settings):
    settings.SECRET_KEY_IS_MISSING = True
    assert "deliveries.E003" in ids()


def test_the_settings_as_shipped_pass():
    assert not {found for found in ids() if found and found.startswith("deliveries.E")}


@pytest.mark.parametrize(
    "key, value",
    [
        ("ALLOWED_HOSTS", ["localhost", "office.example"]),
        ("ALLOWED_HOSTS", ["*"]),
        ("ALLOWED_HOSTS", ["0.0.0.0"]),
        ("PUBLIC_URL", "http://192.0.2.1:8000"),
        ("BEHIND_PROXY", True),
    ],
)
def test_a_demo_that_other_machines_are_to_reach_is_refused(settings, key, value):
    settings.DEMO, settings.ALLOWED_HOSTS = True, ["localhost", "127.0.0.1", "[::1]"]
    assert "deliveries.E004" not in ids()
    setattr(settings, key, value)
    assert "deliveries.E004" in ids()
    settings.DEMO = False
    assert "deliveries.E004" not in ids()
