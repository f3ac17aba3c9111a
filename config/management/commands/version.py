"""`manage.py version`: what a report of a fault must say, and what to look at before and after an upgrade."""

from __future__ import annotations

import json
import platform
from typing import Any

import django
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from config.version import VERSION

NAMED = 5  # pending migrations that the lines name; JSON names all


class Command(BaseCommand):
    """Changes nothing, and answers where nothing is set up yet, too."""

    help = "Print the versions of the product, Python, Django and the database, and the pending migrations."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Lines for people, or JSON for programs."""
        parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")

    def handle(self, *args: Any, **options: Any) -> None:
        """Say it; a database that does not answer is said, not raised."""
        found = versions()
        self.stdout.write(json.dumps(found) if options["json"] else "\n".join(_lines(found)))


def versions() -> dict[str, Any]:
    """{"product", "python", "django", "database", "database_version", "pending_migrations"}; the last two are None
    where the database does not answer, and then "problem" says why."""
    found: dict[str, Any] = {
        "product": VERSION,
        "python": platform.python_version(),
        "django": django.get_version(),
        "database": connection.vendor,
    }
    try:
        number = ".".join(map(str, connection.get_database_version()))
        return found | {"database_version": number, "pending_migrations": _pending()}
    except DatabaseError as error:
        return found | {"database_version": None, "pending_migrations": None, "problem": str(error).strip()}


def _pending() -> list[str]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _backwards in plan]


def _lines(found: dict[str, Any]) -> list[str]:
    pending = found["pending_migrations"]
    if pending is None:
        migrations = f"unknown, since the database does not answer: {found['problem']}"
    else:
        named = ", ".join(pending[:NAMED]) + (", …" if len(pending) > NAMED else "")
        migrations = f"{len(pending)} pending ({named}); run `manage.py migrate`" if pending else "none pending"
    return [
        f"Deliveries back office {found['product']}",
        f"Python {found['python']}",
        f"Django {found['django']}",
        f"Database {found['database']} {found['database_version'] or ''}".rstrip(),
        f"Migrations: {migrations}",
    ]
