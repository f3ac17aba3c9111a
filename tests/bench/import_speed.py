"""`python -m tests.bench.import_speed [LINES]`: seconds to import a CSV of profiles, first as new, then as updates."""

from __future__ import annotations

import json
import os
import sys
import time

import tests.environment  # noqa: F401 - before the settings are read


def main() -> None:
    """Print a JSON line of the figures."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from django.core.management import call_command

    from campaigns.targeting import import_profiles

    call_command("migrate", verbosity=0)
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rows = (f"p{n}@example.com,First{n},Last{n},Oslo,gold\n" for n in range(lines))
    data = ("email,first_name,last_name,city,attributes.plan\n" + "".join(rows)).encode()
    figures: dict[str, float] = {"lines": lines}
    for name in ("new", "update"):
        held = import_profiles.start(data, "bench.csv", by=None)
        began = time.perf_counter()
        import_profiles.run(held.pk)
        figures[f"seconds_{name}"] = round(time.perf_counter() - began, 2)
        held.refresh_from_db()
        figures[f"{name}_created"], figures[f"{name}_updated"] = held.created, held.updated
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
