"""Settings under which something could be lost, mailed twice or forged are refused by name."""

import pytest
from django.core.checks import run_checks


def ids():
    return {message.id for message in run_checks()}


@pytest.mark.parametrize("key, value", [
    ("timeout", 10), ("retry", 100), ("queue_limit", 50), ("max_attempts", 3), ("catch_up", True),
])  # fmt: skip
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
