"""From 1.0 on migrations only add: whoever upgrades loses no column or table, and the release before still reads them.

What a migration may do is a table of operations; a column may become wider, never narrower. A new column is nullable,
or has a default of the program and of the database: processes of the release before write rows that do not name it.
What was migrated before 1.0 is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState

# The newest migration of each app in the databases from which test_upgrade.py starts.
BEFORE = {"campaigns": 6, "deliveries": 7, "reporting": 2}
ALLOWED = (
    migrations.CreateModel,
    migrations.AddField,
    migrations.AddIndex,
    migrations.AddConstraint,
    migrations.RemoveIndex,
    migrations.RemoveConstraint,
    migrations.RenameIndex,
    migrations.AlterModelOptions,
    migrations.AlterModelManagers,
    migrations.RunPython,
)


def test_migrations_since_add_and_take_nothing_away() -> None:
    loader = MigrationLoader(None)
    since = [key for key in loader.disk_migrations if key[0] in BEFORE and int(key[1][:4]) > BEFORE[key[0]]]
    assert len(since) >= 2
    found = {
        f"{app}.{name}": list(taken_away(loader.disk_migrations[app, name].operations, app, before(loader, app, name)))
        for app, name in since
    }
    assert not {name: wrong for name, wrong in found.items() if wrong}


def before(loader: MigrationLoader, app: str, name: str) -> ProjectState:
    """The models as they are before the migration."""
    return loader.project_state((app, name), at_end=False)  # type: ignore[arg-type]


def taken_away(operations: Iterable[Operation], app: str, state: ProjectState) -> Iterator[str]:
    """What the operations do that is not adding, in words."""
    there = frozenset(state.models)  # a model that the migration itself makes has no rows, and nobody writes it yet
    for operation in operations:
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            yield from taken_away(operation.database_operations, app, state.clone())
            yield from taken_away(operation.state_operations, app, state.clone())
        elif isinstance(operation, migrations.AlterField):
            old = state.models[app, operation.model_name_lower].fields[operation.name]
            yield from narrower(f"{operation.model_name}.{operation.name}", old, operation.field)
        elif isinstance(operation, migrations.AddField) and (app, operation.model_name_lower) in there:
            yield from unfillable(f"{operation.model_name}.{operation.name}", operation.field)
        elif not isinstance(operation, ALLOWED):
            yield operation.describe()
        operation.state_forwards(app, state)


def unfillable(name: str, new: Any) -> Iterator[str]:
    """Why the release before cannot write rows of a table with the new column."""
    if not (new.many_to_many or new.null or (new.has_default() and new.has_db_default())):
        yield f"{name} is neither nullable nor has default and db_default"


def narrower(name: str, old: Any, new: Any) -> Iterator[str]:
    """Why a column takes less than it did."""
    if type(old) is not type(new):
        yield f"{name} gets another type"
    if old.null and not new.null:
        yield f"{name} may be empty no more"
    if new.unique and not old.unique:
        yield f"{name} becomes unique"
    if old.db_column != new.db_column:
        yield f"{name} gets another column"
    if new.max_length is not None and (old.max_length is None or old.max_length > new.max_length):
        yield f"{name} becomes shorter"


# --- of the test itself ----------------------------------------------------------------------------------------------


def some() -> ProjectState:
    """One model: a text of ten letters that may be empty."""
    made = ProjectState()
    key = ("id", models.BigAutoField(primary_key=True))
    made.add_model(ModelState("reporting", "Thing", [key, ("text", models.CharField(max_length=10, null=True))]))
    return made


ADDING = [
    migrations.AddField("thing", "more", models.TextField(default="", db_default="")),
    migrations.AddField("thing", "maybe", models.TextField(null=True)),
    migrations.CreateModel("Other", [("id", models.BigAutoField(primary_key=True))]),
    migrations.AlterField("thing", "text", models.CharField(max_length=20, null=True)),
    migrations.RunPython(migrations.RunPython.noop),
]
TAKING = [
    migrations.AddField("thing", "more", models.TextField(default="")),
    migrations.AddField("thing", "more", models.TextField(db_default="")),
    migrations.RemoveField("thing", "text"),
    migrations.RenameField("thing", "text", "words"),
    migrations.DeleteModel("Thing"),
    migrations.RenameModel("Thing", "Item"),
    migrations.AlterModelTable("thing", "another"),
    migrations.RunSQL("DROP TABLE reporting_thing"),
    migrations.AlterField("thing", "text", models.CharField(max_length=5, null=True)),
    migrations.AlterField("thing", "text", models.CharField(max_length=10)),
    migrations.AlterField("thing", "text", models.CharField(max_length=10, null=True, unique=True)),
    migrations.AlterField("thing", "text", models.CharField(max_length=10, null=True, db_column="words")),
    migrations.AlterField("thing", "text", models.IntegerField(null=True)),
    migrations.SeparateDatabaseAndState(database_operations=[migrations.RemoveField("thing", "text")]),
]


@pytest.mark.parametrize("operation", ADDING, ids=lambda operation: operation.describe())
def test_what_adds_is_let_through(operation: Operation) -> None:
    assert not list(taken_away([operation], "reporting", some()))


@pytest.mark.parametrize("operation", TAKING, ids=lambda operation: operation.describe())
def test_what_takes_away_is_found(operation: Operation) -> None:
    assert list(taken_away([operation], "reporting", some()))
