"""Logs in partitions: nothing is lost, hot statements open one, a purge drops them. On SQLite only what needs none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deliveries.ledger.change import Change
from deliveries.models import Delivery, SendingLog
from deliveries.models.states import LogMove, State
from deliveries.models.storage import partition_lookup, partitions
from deliveries.models.storage.partitions import Range, missing
from deliveries.sending import leases, results
from reporting.jobs import retention
from reporting.models import Figures, TrackingLog
from tests.deliveries.sending.sending_rows import figures, sending_delivery
from tests.deliveries.whole_life import FIGURES, age, live, start
from tests.pooler import SESSIONS, pgbouncer
from tests.postgres import running_postgres

ROOT = Path(__file__).resolve().parents[4]
on_postgres = pytest.mark.skipif(connection.vendor != "postgresql", reason="run by test_on_a_real_postgresql")


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Other tests took their partitions back."""
    partition_lookup.forget()
    yield
    partition_lookup.forget()


@pytest.mark.parametrize(
    "there, delivery, width, made",
    [
        ([], 0, None, [(1, 51)]),
        ([(0, 8)], 7, 5, [(8, 13)]),
        ([(0, 8), (8, 13)], 7, None, []),
        ([(0, 8), (8, 13)], 8, None, [(13, 18)]),
        ([(0, 8), (8, 13)], 12, 3, [(13, 16)]),
        ([(0, 8), (8, 13)], 99, None, [(13, 100), (100, 105)]),
        ([(0, 8), (13, 18)], 9, None, [(8, 13)]),
        ([(8, 13), (13, 18)], 3, None, [(0, 8)]),
    ],
)
def test_a_delivery_has_its_partition_and_those_after_it_as_well(there, delivery, width, made):
    assert missing([Range(*ends) for ends in there], delivery, width) == [Range(*ends) for ends in made]


@pytest.mark.skipif(connection.vendor == "postgresql", reason="of other databases")
@pytest.mark.django_db
def test_other_databases_are_left_as_they_are():
    with pytest.raises(CommandError, match="Only PostgreSQL"):
        call_command("partition_logs")
    assert partitions.make_room(7) == []
    assert partition_lookup.of_batch(7) == "deliveries_sendinglog"


def _described() -> dict[str, Any]:
    """What both tables are to those who use them."""
    found = {}
    with connection.cursor() as cursor:
        for table in ("deliveries_sendinglog", "reporting_trackinglog"):
            names = connection.introspection.get_constraints(cursor, table)
            for name, its in list(names.items()):
                its["options"] = None  # of storage, which each partition has for itself, like the primary key
                if its["primary_key"]:
                    del names[name]
            fields = connection.introspection.get_table_description(cursor, table)
            found[table] = (names, [field[:7] for field in fields])
    return found


@on_postgres
@pytest.mark.django_db
def test_the_rows_that_are_there_stay_and_ids_go_on(message, routing):
    delivery = sending_delivery(message, routing, 5, state=State.FINISHED)
    TrackingLog.objects.create(delivery=delivery, sending_log=delivery.sending_logs.all()[0], type=2, at=timezone.now())
    before, rows, last = _described(), list(SendingLog.objects.order_by("pk").values()), SendingLog.objects.latest("pk")
    partitions.split(10)
    assert _described() == before
    assert list(SendingLog.objects.order_by("pk").values()) == rows
    assert TrackingLog.objects.count() == 1
    added = SendingLog.objects.create(delivery=delivery, address="new@example.net", date=timezone.now())
    assert added.pk > last.pk
    assert partitions.ranges() == [Range(0, delivery.pk + 1), Range(delivery.pk + 1, delivery.pk + 11)]
    with connection.cursor() as cursor:  # pages are filled as they were
        cursor.execute(
            "SELECT DISTINCT reloptions FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
            "WHERE inhparent = 'deliveries_sendinglog'::regclass"
        )
        assert len(cursor.fetchall()) == 1


@on_postgres
@pytest.mark.django_db
def test_split_again_it_changes_nothing_and_an_empty_database_can_be_split(message, routing, capsys):
    call_command("partition_logs", deliveries=3)
    there = partitions.ranges()
    call_command("partition_logs", deliveries=3)
    assert partitions.ranges() == there
    assert "made" not in capsys.readouterr().out.splitlines()[-1]
    assert sending_delivery(message, routing).sending_logs.count() == 3


@on_postgres
@pytest.mark.django_db
@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.COUNTING])
def test_nothing_is_split_while_a_delivery_is_sent_or_prepared(message, routing, state):
    sending_delivery(message, routing, state=state)
    with pytest.raises(CommandError, match="Still sending or preparing: Spring"):
        call_command("partition_logs")
    assert partitions.ranges() == []


@on_postgres
@pytest.mark.django_db
def test_each_new_delivery_sees_to_the_partition_after_its_own(message, routing):
    partitions.split(2)
    for _ in range(5):
        delivery = sending_delivery(message, routing)
        assert any(delivery.pk + 1 in one for one in partitions.ranges())
    assert len(partitions.ranges()) >= 4


@on_postgres
@pytest.mark.django_db(transaction=True)
def test_a_partition_is_made_while_a_sender_holds_the_table(unsplit, message, routing):
    partitions.split(1)
    delivery = sending_delivery(message, routing)
    with psycopg.connect(**_own_parameters()) as sender:
        sender.execute("UPDATE deliveries_sendinglog SET claims = 1 WHERE delivery_id = %s", [delivery.pk])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '2s'")
            assert len(partitions.make_room(delivery.pk + 5)) == 4
            cursor.execute("RESET lock_timeout")


def _own_parameters() -> dict[str, Any]:
    wanted = {"host", "port", "user", "password", "dbname"}
    return {name: value for name, value in connection.get_connection_params().items() if name in wanted}


@on_postgres
@pytest.mark.django_db
def test_what_sends_a_batch_opens_its_partition_alone(message, routing):
    partitions.split(1)
    sending_delivery(message, routing)
    delivery = sending_delivery(message, routing)
    partition_lookup.of_batch(delivery.batches.get().pk)  # looks at the catalogue once
    with CaptureQueriesContext(connection) as seen:
        lease = leases.take(delivery.batches.get().pk)
        rows = leases.claim(lease, 2)
        results.record(lease, [Change(row.log_id, LogMove.ACCEPT, 0) for row in rows])
        leases.release(lease)
    asked = [query["sql"] for query in seen if "deliveries_sendinglog" in query["sql"]]
    own = f"deliveries_sendinglog_{delivery.pk}_{delivery.pk}"
    assert len(asked) >= 5
    assert [sql for sql in asked if own not in sql] == []
    assert figures(delivery) == {"total": 3, "pending": 1, "sent": 2, "relayed": 2}


@pytest.fixture
def unsplit(transactional_db: None) -> Iterator[None]:
    """Both tables as the migrations make them, at the end."""
    yield
    partition_lookup.forget()
    with connection.schema_editor() as editor:
        for model in partitions.models():
            editor.delete_model(model)
            editor.create_model(model)


@on_postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("width", [None, 1, 50])
def test_a_delivery_counts_the_same_in_partitions_and_without(unsplit, width, tmp_path):
    message, by = start()
    if width:
        partitions.split(width)
    delivery, counted = live(message, by, tmp_path)
    assert counted == FIGURES
    age(delivery)
    for number in range(2):
        Delivery.objects.create(message=message, campaign=message.campaign, label=f"Later {number}")
    tables = {one for one in partitions.ranges() if delivery.pk in one}
    assert retention.purge(60)
    assert not delivery.sending_logs.exists()
    assert not delivery.tracking_logs.exists()
    assert {one for one in partitions.ranges() if delivery.pk in one} == (set() if width == 1 else tables)
    delivery.refresh_from_db()
    assert (delivery.opens, delivery.clicks, figures(delivery)["sent"]) == (2, 1, 27)
    assert delivery.events.filter(code="purged").count() == 1


def ended(message: Any, routing: Any, days: int) -> Delivery:
    delivery = sending_delivery(message, routing, state=State.FINISHED)
    age(delivery, days=days)
    return delivery


def first_of_a_partition(message: Any, routing: Any, days: int) -> Delivery:
    """Ids go on from test to test, so it may take some."""
    while True:
        delivery = ended(message, routing, days)
        if any(one.low == delivery.pk for one in partitions.ranges()):
            return delivery


def hold(delivery: Delivery) -> tuple[int, bool]:
    """How many rows it has, and whether its partition is there."""
    return delivery.sending_logs.count(), any(delivery.pk in one for one in partitions.ranges())


@on_postgres
@pytest.mark.django_db
@pytest.mark.parametrize(
    "days, neighbour, left",
    [
        (190, 185, (0, False)),  # both are over their time
        (190, 100, (3, True)),  # waits for its neighbour
        (200, 100, (0, True)),  # waited for a fortnight
    ],
)
def test_logs_go_with_their_partition_or_alone_a_fortnight_later(message, routing, days, neighbour, left):
    partitions.split(2)
    first = first_of_a_partition(message, routing, days)
    second = ended(message, routing, neighbour)
    ended(message, routing, 1)
    assert retention.purge(60)
    assert hold(first) == left
    assert hold(second)[0] == (0 if neighbour > 183 else 3)


@on_postgres
@pytest.mark.django_db
def test_a_draft_keeps_a_place_for_its_rows_when_its_neighbours_are_purged(message, routing):
    partitions.split(3)
    old = first_of_a_partition(message, routing, 400)
    draft = Delivery.objects.create(message=message, campaign=message.campaign, label="Draft")
    ended(message, routing, 400)
    ended(message, routing, 1)
    assert retention.purge(60)
    assert hold(old) == (0, True)
    assert Figures.objects.get(delivery=old).purged_at
    SendingLog.objects.create(delivery=draft, address="a@example.net", date=timezone.now())


@on_postgres
@pytest.mark.django_db
def test_a_partition_with_rows_of_others_is_spared(message, routing):
    partitions.split(1)
    delivery = sending_delivery(message, routing)
    one = next(one for one in partitions.ranges() if delivery.pk in one)
    assert not partitions.empty(one, [delivery.pk])
    assert hold(delivery) == (3, True)


@on_postgres
@pytest.mark.django_db
def test_a_purge_that_died_after_the_drop_is_ended_the_next_night(message, routing, monkeypatch):
    partitions.split(1)
    delivery = first_of_a_partition(message, routing, 190)
    ended(message, routing, 1)
    monkeypatch.setattr(retention, "_tell", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        retention.purge(60)
    monkeypatch.undo()
    assert hold(delivery) == (0, False)
    assert retention.purge(60)
    assert Figures.objects.get(delivery=delivery).purged_at


@on_postgres
@pytest.mark.django_db
def test_behind_a_pooler_a_role_without_limits_is_told_of(settings):
    settings.DATABASE_IS_POOLED = True
    assert [found.id for found in run_checks(databases=["default"])] == ["deliveries.W001"]
    with connection.cursor() as cursor:
        cursor.execute("ALTER ROLE CURRENT_USER SET statement_timeout = '55s'")
    assert run_checks(databases=["default"]) == []


def _run(*command: str, **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-3000:]
    return ran.stdout


PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--create-db", "--maxfail=5", "-m", "slow or not slow")
ROOMS = ("deliveries/feedback/test_quarantine", "reporting/tracking/test_ingest")


@pytest.mark.slow
@pytest.mark.postgres
def test_on_a_real_postgresql(service):
    """This file, and rooms that write logs, in partitions of three deliveries."""
    with running_postgres(service("postgres")) as url:
        environment = {"DATABASE_URL": f"{url}postgres"}
        _run(*PYTEST, __file__, "-k", "not on_a_real and not pgbouncer", **environment)
        _run(
            *PYTEST,
            "-p",
            "tests.deliveries.models.storage.partitioned",
            *(f"tests/{room}.py" for room in ROOMS),
            **environment,
        )


_LEFT = """
    SELECT (SELECT COUNT(*) FROM pg_class WHERE relpersistence = 't'),
           (SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'),
           (SELECT COUNT(*) FROM pg_stat_activity WHERE state LIKE 'idle in%')"""


@pytest.mark.slow
@pytest.mark.postgres
def test_a_delivery_lives_behind_pgbouncer_and_leaves_nothing_in_its_sessions(service, tmp_path):
    program = service("pgbouncer")
    with running_postgres(service("postgres")) as url:
        server = f"{url}postgres"
        past = {"DATABASE_SESSION_URL": server}
        with psycopg.connect(server.replace("postgres:", "postgresql:", 1), autocommit=True) as direct:
            direct.execute("ALTER ROLE tests SET statement_timeout = '55s'")
            with pgbouncer(program, url) as pooled:
                _run("manage.py", "migrate", "-v", "0", DATABASE_URL=pooled, **past)
                _run("manage.py", "partition_logs", DATABASE_URL=pooled, **past)
                life = ("-m", "tests.deliveries.whole_life", str(tmp_path))
                assert json.loads(_run(*life, DATABASE_URL=pooled, **past)) == FIGURES
                assert direct.execute(_LEFT).fetchone() == (0, 0, 0)
                _look_at_each_session(pooled)


def _look_at_each_session(pooled: str) -> None:
    with psycopg.connect(pooled.replace("postgres:", "postgresql:", 1), prepare_threshold=None) as client:
        for _ in range(2 * SESSIONS):
            assert client.execute("SHOW statement_timeout").fetchone() == ("55s",)
            assert client.execute("SELECT COUNT(*) FROM pg_prepared_statements").fetchone() == (0,)
            client.commit()
