"""`python -m tests.bench.scale.typology [--profiles 1000000] [--logs 10]`: two fatigue rules over ten million logs.

Each profile has a log of each of `--logs` past deliveries, three days apart, one in four of which failed. A delivery
with a contact date is prepared without a typology, then with two fatigue rules (at most two a week; at most each
profile's own number within 15 days). Prints a JSON line: seconds of each, by the clock and of processor time (ours and
the server's, which a busy machine does not stretch), and how many each rule left out. On a PostgreSQL made for it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import tests.environment  # noqa: F401 - before the settings are read

_LOGS = """
    INSERT INTO deliveries_sendinglog (delivery_id, batch_id, profile_id, address, status, failure_type, reason, reply,
        date, test_profile, claims, attempts, relayed_at, last_event_rank, retry_state)
    SELECT %s, NULL, id, email, CASE (id + %s) %% 4 WHEN 0 THEN 2 ELSE 1 END, 0, 0, '', %s, false, 0, 1, %s, 0, 0
    FROM campaigns_profile ORDER BY id"""
_PROFILES = """
    INSERT INTO campaigns_profile (email, first_name, last_name, gender, mobile, city, country, language, time_zone,
        email_format, opt_out, opt_out_email, attributes, created_at, modified_at, unit_id)
    SELECT 'p' || n || '@example.com', 'First', 'Last', 0, '', 'Oslo', 'NO', 'nb', '', 0, false, false,
           jsonb_build_object('most', (n %% 9)::text), CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, %s
    FROM generate_series(1, %s) AS n"""


def main() -> None:
    """Print the figures as a JSON line."""
    from tests.conftest import find_program
    from tests.postgres import running_postgres

    options = argparse.ArgumentParser()
    options.add_argument("--profiles", type=int, default=1_000_000)
    options.add_argument("--logs", type=int, default=10)
    asked = options.parse_args()
    with running_postgres(find_program("postgres") or "", durable=True) as url:
        os.environ["DATABASE_URL"] = f"{url}postgres"
        measure(asked.profiles, asked.logs)


def measure(profiles: int, logs: int) -> None:
    """Seed, then prepare without rules and with them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from tests.bench.prepare_speed import _delivery, _prepare, _timed

    call_command("migrate", verbosity=0)
    delivery, user = _delivery()
    figures: dict[str, object] = {"profiles": profiles, "logs": profiles * logs}
    figures["seconds_seeding"] = _timed(lambda: _seed(delivery, profiles, logs))
    for name in ("without_rules", "with_two_rules"):
        if name == "with_two_rules":
            _rules()
        before = _processor()
        figures[f"seconds_{name}"] = _timed(lambda: _prepare(delivery, user))
        figures[f"processor_{name}"] = round(_processor() - before, 2)
    figures["left_out"] = {cause.words: cause.volume for cause in delivery.exclusion_causes.exclude(rule=0)}
    figures["to_deliver"] = delivery.to_deliver
    figures["events"] = _steps(delivery)
    print(json.dumps(figures))
    connection.close()


def _processor() -> float:
    """Seconds of processor time that this process and the whole server have used, processes that ended included."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        server = _stat(cursor.fetchone()[0])[1]
    living = (_stat(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdecimal())
    ticks = sum(stat[11] + stat[12] for stat in living if stat[1] == server)
    return time.process_time() + (ticks + sum(_stat(server)[11:15])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[int]:
    """The numbers of /proc/<pid>/stat: 1 the parent, from 11 on user and system time, and those of ended children."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:  # it has just ended
        return [0] * 15
    return [0, *map(int, text.rpartition(")")[2].split()[1:15])]


def _seed(delivery, profiles: int, logs: int) -> None:  # type: ignore[no-untyped-def]
    from datetime import timedelta

    from django.db import connection
    from django.utils import timezone

    from campaigns.models import Schedule
    from campaigns.models.units import ROOT

    now = timezone.now()
    Schedule.objects.create(message=delivery.message, mode="at_date", contact_date=now + timedelta(days=1))
    with connection.cursor() as cursor:
        cursor.execute(_PROFILES, [ROOT, profiles])
        again = _without_indexes(cursor)
        for number in range(logs):
            at = now - timedelta(days=3 * number + 1)
            cursor.execute(_LOGS, [_past(delivery, at).pk, number, at, at])
        for sql in again:
            cursor.execute(sql)
        cursor.execute("VACUUM ANALYZE")


def _without_indexes(cursor) -> list[str]:  # type: ignore[no-untyped-def]
    """Drop the logs' indexes, but for those of constraints. Out: the statements that make them again."""
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'deliveries_sendinglog' "
        "AND indexname NOT IN (SELECT conname FROM pg_constraint)"
    )
    found = cursor.fetchall()
    for name, _sql in found:
        cursor.execute(f'DROP INDEX "{name}"')
    return [sql for _name, sql in found]


def _past(delivery, at):  # type: ignore[no-untyped-def]
    from datetime import timedelta

    from deliveries.models import Delivery
    from deliveries.models.states import State

    return Delivery.objects.create(
        message=delivery.message,
        campaign=delivery.campaign,
        label="Past",
        state=State.FINISHED,
        confirmed_at=at,
        contact_date=at,
        first_due_at=at,
        last_due_at=at,
        finished_at=at + timedelta(hours=1),
    )


def _rules() -> None:
    from campaigns.models import Typology, TypologyRule

    typology = Typology.objects.create(label="Default", is_default=True)
    rules = [
        TypologyRule(label="Two a week", kind="fatigue", threshold=2, period=7, unit="days", order=10),
        TypologyRule(
            label="Own number", kind="fatigue", threshold=5, threshold_field="attributes.most", period=15, order=20
        ),
    ]
    for rule in rules:
        rule.full_clean()
        rule.save()
        typology.rules.add(rule)


def _steps(delivery) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Seconds from the preparation's start to each line of its log."""
    events = list(delivery.events.order_by("pk"))
    start = next(event.at for event in reversed(events) if event.code == "preparation_started")
    return {event.code: round((event.at - start).total_seconds(), 1) for event in events if event.at >= start}


if __name__ == "__main__":
    main()
