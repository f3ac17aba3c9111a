"""The cluster runs the functions of the product's own list, whatever a row, a message or an option names."""

from __future__ import annotations

import ast
import os
from datetime import timedelta
from importlib import import_module
from multiprocessing import Value
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.core.management import call_command, get_commands
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.models import Task as Result
from django_q.signing import SignedPackage
from django_q.tasks import async_chain, async_iter, async_task

from campaigns.core.queue import Task
from deliveries.workers import cluster, periodic_jobs, task_list, tasks

ROOT = Path(settings.BASE_DIR)
LISTED = "deliveries.workers.tasks.send_batch"


def test_all_that_the_product_enqueues_is_on_the_list() -> None:
    assert {task.value for task in Task} <= task_list.names()


def test_only_the_queue_room_names_tasks_and_queues_them() -> None:
    names, callers = set(), set()
    for room in ("campaigns", "deliveries", "reporting"):
        for path in (ROOT / room).rglob("*.py"):
            if "migrations" in path.parts or path.name == "task_list.py":
                continue
            text = path.read_text()
            texts = {n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)}
            names |= {path.name} if texts & set(task_list.names()) else set()
            callers |= {path.name} if "async_task(" in text else set()
    assert (names, callers) == ({"queue.py"}, {"queue.py"})


@pytest.mark.django_db
def test_all_that_the_product_schedules_is_on_the_list_and_is_restored() -> None:
    scheduled = set(Schedule.objects.values_list("func", flat=True))
    assert len(scheduled) == 6 and scheduled <= task_list.names()
    Schedule.objects.all().delete()
    call_command("migrate", verbosity=0)
    assert set(Schedule.objects.values_list("func", flat=True)) == scheduled


FORMER = ("deliveries.tasks.fetch", "deliveries.upkeep.fetch")


@pytest.mark.django_db
@pytest.mark.parametrize("former", FORMER)
def test_a_schedule_under_its_former_name_is_carried_on(former: str) -> None:
    """By migrate; and by the scheduler, where a backup of before is restored."""
    known = Schedule.objects.filter(func="deliveries.workers.tasks.fetch")
    for carry_on in (renamed, cluster.scheduler):
        known.update(func=former, next_run=timezone.now() - timedelta(hours=1))
        carry_on()
        assert known.count() == 1 and not Schedule.objects.filter(func=former).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("former", FORMER)
def test_a_schedule_under_both_names_is_one(former: str) -> None:
    """As after a migration back and forth: migrate enters what seems to be missing."""
    present = Schedule.objects.get(func="deliveries.workers.tasks.fetch")
    Schedule.objects.create(name=present.name, func=former, schedule_type=Schedule.MINUTES, minutes=5)
    renamed()
    assert [row.pk for row in Schedule.objects.filter(name=present.name)] == [present.pk]


def renamed() -> None:
    migration = import_module("deliveries.migrations.0008_task_rooms").Migration.operations[0]
    migration.code(apps, SimpleNamespace(connection=connection))
    periodic_jobs.ensure_schedules()


def test_the_list_holds_functions_of_the_task_rooms_alone() -> None:
    assert {name.rpartition(".")[0] for name in task_list.names()} == set(settings.TASK_ROOMS)
    assert (
        not {
            "deliveries.workers.tasks.own_session",
            "deliveries.workers.tasks.about",
            "deliveries.workers.tasks._begin",
        }
        & task_list.names()
    )


FOREIGN = [
    {"func": "os.system", "args": ("true",)},
    {"func": os.system, "args": ("true",)},
    {"func": None},
    {},
    {"func": "deliveries.workers.tasks._begin"},
    {"func": "deliveries.workers.tasks.time.sleep", "args": (1,)},
    {"func": LISTED + " "},
    {"func": LISTED.upper()},
    {"func": LISTED, "args": (1,), "hook": "os.system"},
    {"func": LISTED, "args": (1,), "chain": [("os.system",)]},
    {"func": LISTED, "args": (1,), "iter_count": 1},
    {"func": LISTED, "args": (1,), "cached": True},
    {"func": LISTED, "args": (1,), "sync": True},
    {"func": LISTED, "args": (1,), "save": True},
    {"func": LISTED, "args": (os.system,)},
    {"func": LISTED, "kwargs": {"batch_id": 1}},
]


@pytest.mark.parametrize("task", FOREIGN, ids=str)
def test_a_foreign_task_is_neither_queued_nor_run(task: dict[str, Any], monkeypatch: Any, caplog: Any) -> None:
    ran: list[int] = []
    monkeypatch.setattr(tasks, "send_batch", ran.append)
    monkeypatch.setattr(os, "system", ran.append)
    with pytest.raises(task_list.Unlisted):
        task_list.check(task)
    whole = {"id": "1", "name": "x", "args": (), "kwargs": {}, "ack_id": 7} | task
    assert work(whole) == [{"ack_id": 7, "success": True}] and not ran
    assert "a task was refused" in caplog.text


def work(*queued: dict[str, Any]) -> list[dict[str, Any]]:
    """A worker's round over these tasks. Out: what the monitor gets."""
    waiting, results = Queue[Any](), Queue[Any]()
    for task in (*queued, "STOP"):
        waiting.put(task)
    cluster.worker(waiting, results, Value("f", -1))
    return [results.get() for _ in range(results.qsize())]


@pytest.mark.django_db(transaction=True)
def test_a_task_that_was_queued_before_its_room_moved_is_run(monkeypatch: Any) -> None:
    ran: list[int] = []
    monkeypatch.setattr(tasks, "send_batch", ran.append)
    results = work({"id": "1", "name": "x", "func": "deliveries.tasks.send_batch", "args": (5,), "kwargs": {}})
    assert ran == [5] and [result["success"] for result in results] == [True]


@pytest.mark.django_db(transaction=True)
def test_a_task_of_the_list_is_run_behind_a_foreign_one(monkeypatch: Any) -> None:
    ran: list[int] = []
    monkeypatch.setattr(tasks, "send_batch", ran.append)
    own = {"id": "1", "name": "x", "func": LISTED, "args": (5,), "kwargs": {}}
    results = work({"func": "os.system", "ack_id": 1}, own)
    assert ran == [5] and [result["success"] for result in results] == [True, True]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "put",
    [
        lambda: async_task("os.system", "true"),
        lambda: async_task(LISTED, 1, hook="os.system"),
        lambda: async_task(LISTED, 1, q_options={"sync": True}),
        lambda: async_chain([("os.system", ("true",))]),
        lambda: async_iter("os.system", [("true",)]),
    ],
)
def test_nothing_else_gets_into_the_queue(put: Any) -> None:
    with pytest.raises(task_list.Unlisted):
        put()
    assert not OrmQ.objects.exists()


def forged(**values: Any) -> Schedule:
    row = {
        "name": "Forged",
        "func": "os.system",
        "next_run": timezone.now() - timedelta(minutes=1),
        "repeats": -1,
        "schedule_type": Schedule.HOURLY,
    } | values
    made = Schedule.objects.create(**{k: v for k, v in row.items() if k != "schedule_type"})
    Schedule.objects.filter(pk=made.pk).update(schedule_type=row["schedule_type"])  # past its model, which would count
    return made


FORGED = [
    {"args": "'true'"},
    {"args": "(" * 5000},
    {"func": LISTED, "args": "1"},
    {"func": LISTED, "hook": "os.system"},
    {"func": LISTED, "kwargs": "q_options={'sync': True}"},
    {"func": "deliveries.workers.tasks.fetch", "kwargs": "{'q_options': {'hook': 'os.system'}}"},
    {"func": "deliveries.workers.tasks.fetch", "cluster": "other"},
    {"func": "deliveries.workers.tasks.fetch", "intended_date_kwarg": "at"},
    {"func": "deliveries.workers.tasks.fetch", "schedule_type": Schedule.CRON, "cron": "* * * * *"},
    {"func": "deliveries.workers.tasks.fetch", "schedule_type": Schedule.ONCE},
]


@pytest.mark.django_db
@pytest.mark.parametrize("values", FORGED, ids=str)
def test_a_forged_schedule_is_switched_off_and_stops_no_other(values: Any, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setattr(os, "system", lambda command: pytest.fail(command))
    Schedule.objects.all().delete()
    row, own = forged(**values), forged(name="Own", func="deliveries.workers.tasks.fetch")
    cluster.scheduler()
    row.refresh_from_db(), own.refresh_from_db()
    assert (row.repeats, row.task) == (0, None) and f"the schedule #{row.pk}" in caplog.text
    assert own.next_run > timezone.now() and own.task
    [queued] = OrmQ.objects.all()
    assert SignedPackage.loads(queued.payload)["func"] == "deliveries.workers.tasks.fetch"
    cluster.scheduler()
    assert OrmQ.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "values",
    [
        {"schedule_type": Schedule.MINUTES, "minutes": 10**9},
        {"schedule_type": Schedule.MINUTES, "minutes": 1},
        {"next_run": timezone.now().replace(year=2)},
    ],
)
def test_a_date_that_no_calendar_has_holds_nobody(values: Any) -> None:
    if connection.vendor == "postgresql" and values.get("minutes") == 10**9:
        pytest.skip("PostgreSQL has no room for it")
    row = forged(**{"func": "deliveries.workers.tasks.fetch", "next_run": timezone.now().replace(year=1990)} | values)
    cluster.scheduler()
    row.refresh_from_db()
    assert row.next_run > timezone.now()


@pytest.mark.django_db
def test_results_are_acknowledged_told_when_they_failed_and_kept_nowhere(caplog: Any) -> None:
    done: list[int] = []
    results = Queue[Any]()
    for result in (
        {"ack_id": 1, "success": True},
        {"func": LISTED, "success": False, "result": "No", "ack_id": 2, "id": "1", "name": "x", "hook": "os.system"},
        "STOP",
    ):
        results.put(result)
    cluster.monitor(results, type("Broker", (), {"acknowledge": staticmethod(done.append)}))
    assert done == [1, 2] and f"the task {LISTED} failed: No" in caplog.text
    assert not Result.objects.exists()


def test_the_command_that_the_watchdog_runs_is_ours() -> None:
    assert get_commands()["qcluster"] == "deliveries"


@pytest.mark.django_db
def test_a_superuser_finds_no_page_of_the_scheduler(admin_client: Any) -> None:
    assert not [model for model in admin.site._registry if model._meta.app_label == "django_q"]
    for model in ("schedule", "success", "failure", "ormq"):
        assert admin_client.get(f"/admin/django_q/{model}/").status_code == 404
        assert admin_client.post(f"/admin/django_q/{model}/add/", {"func": "os.system"}).status_code == 404
    assert admin_client.get("/admin/django_q/").status_code == 404
