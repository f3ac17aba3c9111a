"""What `manage.py up` does to its database before anything serves: migrations, roles and, if asked for, the demo.

One process for all three, since starting Django costs more than any of them. Standard output is what `seed_demo` says
about the accounts and the first clicks; `up` shows it under the address.
"""

import os
import sys

import django
from django.core.management import call_command


def main(demo: bool) -> None:
    """Bring the database of the environment up to date; running it again keeps the data."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    call_command("migrate", interactive=False, stdout=sys.stderr)
    call_command("sync_roles", stdout=sys.stderr)
    if demo:
        call_command("seed_demo")


if __name__ == "__main__":
    main("--demo" in sys.argv[1:])
