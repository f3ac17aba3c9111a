"""`python -m tests.bench.prepare_speed [PROFILES] [postgres]`: seconds to prepare a delivery to everybody, twice.

Of the profiles 1 % each have no address, a malformed, a quarantined and an opted-out one; 2 % share another's.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time

import tests.environment  # noqa: F401 - before the settings are read

_SEED = """
    INSERT INTO campaigns_profile (email, first_name, last_name, gender, mobile, city, country, language, time_zone,
        email_format, opt_out, opt_out_email, attributes, created_at, modified_at)
    SELECT CASE n %% 100 WHEN 0 THEN '' WHEN 1 THEN 'no address' WHEN 2 THEN 'p' || (n - n %% 100 + 3) || '@example.com'
               WHEN 4 THEN 'p' || (n - n %% 100 + 5) || '@example.com' ELSE 'p' || n || '@example.com' END,
           'First' || n, 'Last', 0, '', 'Oslo', 'NO', 'nb', '', 0, n %% 100 = 6, n %% 100 = 7, '{{"plan": "gold"}}',
           CURRENT_TIMESTAMP, CURRENT_TIMESTAMP
    FROM {series}"""
_SERIES = {
    "postgresql": "generate_series(1, %s) AS n",
    "sqlite": "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %s) SELECT n FROM s)",
}


def main() -> None:
    """Print a JSON line of the figures; with `postgres` on a server made for it."""
    if "postgres" not in sys.argv:
        measure()
        return
    from tests.conftest import find_program
    from tests.postgres import running_postgres

    with running_postgres(find_program("postgres") or "", durable=True) as url:
        os.environ["DATABASE_URL"] = f"{url}postgres"
        measure()


def measure() -> None:
    """Seed, prepare, prepare again, fail and clear."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    figures: dict[str, object] = {"database": connection.vendor, "profiles": number}
    _seed(number)
    delivery, user = _delivery()
    figures["seconds_prepare"] = _timed(lambda: _prepare(delivery, user))
    figures |= {"targeted": delivery.targeted, "excluded": delivery.excluded, "to_deliver": delivery.to_deliver}
    figures["causes"] = {str(c.get_cause_display()): c.volume for c in delivery.exclusion_causes.all()}
    figures["seconds_again"] = _timed(lambda: _prepare(delivery, user))
    figures["seconds_clear"] = _timed(lambda: _clear(delivery, user))
    figures["mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(figures))
    connection.close()


def _timed(act) -> float:  # type: ignore[no-untyped-def]
    began = time.perf_counter()
    act()
    return round(time.perf_counter() - began, 2)


def _seed(number: int) -> None:
    from django.db import connection

    from deliveries.models import QuarantinedAddress

    with connection.cursor() as cursor:
        cursor.execute(_SEED.format(series=_SERIES[connection.vendor]), [number])
        cursor.execute("ANALYZE")
    QuarantinedAddress.objects.bulk_create(
        QuarantinedAddress(address=f"p{n}@example.com") for n in range(8, number, 100)
    )


def _delivery():  # type: ignore[no-untyped-def]
    from django.contrib.auth.models import User

    from campaigns.models import Audience, Brand, Campaign, Message
    from deliveries.lifecycle import commands
    from deliveries.models import Routing

    Routing.objects.create(label="Loopback", is_default=True, security="none")
    brand = Brand.objects.create(
        label="B", sender_name="B", sender_address="b@example.com", sender_domains="example.com"
    )
    message = Message.objects.create(
        label="Speed",
        campaign=Campaign.objects.create(label="C"),
        brand=brand,
        subject="Hello {{ first_name }}",
        audience=Audience.objects.create(label="All", kind="all"),
        html='<p>Hi {{ first_name }}</p><a href="{{ unsubscribe_url }}">Unsubscribe</a>',
    )
    user = User.objects.create_superuser("bench")
    return commands.create_delivery(message, user), user


def _prepare(delivery, user) -> None:  # type: ignore[no-untyped-def]
    from deliveries.lifecycle import commands
    from deliveries.models.states import State
    from deliveries.preparation import prepare

    commands.prepare(delivery, user)
    prepare.run(delivery.pk)
    delivery.refresh_from_db()
    if delivery.state != State.READY:
        raise SystemExit("\n".join(map(str, delivery.events.all())))


def _clear(delivery, user) -> None:  # type: ignore[no-untyped-def]
    from deliveries.lifecycle import commands
    from deliveries.preparation import prepare

    commands.prepare(delivery, user)
    commands.stop_preparation(delivery, user)
    prepare.clear(delivery.pk)


if __name__ == "__main__":
    main()
