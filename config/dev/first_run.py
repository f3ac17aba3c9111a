"""What `manage.py up` does to its database before anything serves: migrations, roles and, if asked for, the demo.

One process for all three, since starting Django costs more than any of them. Standard output is what `seed_demo` says
about the accounts and the first clicks; `up` shows it under the address.
"""

import os
import sys

import django
from django.core.management import call_command

from .up import KNOWN_PASSWORDS


def main(demo: bool, public: bool) -> None:
    """Bring the database of the environment up to date; running it again keeps the data.

    In: `public`, whether other machines will reach it: then it ends with KNOWN_PASSWORDS, and says why, if an earlier
    demo on this data has left accounts whose passwords everybody knows.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    call_command("migrate", interactive=False, stdout=sys.stderr)
    call_command("sync_roles", stdout=sys.stderr)
    if demo:
        call_command("seed_demo")
    elif public:
        _refuse_known_passwords()


def _refuse_known_passwords() -> None:
    from config.dev.demo import deliveries as demo

    if names := demo.open_accounts():
        sys.stdout.write(
            "other machines would reach it, and an earlier demo has left accounts whose passwords everybody knows: "
            f"{', '.join(names)}. Change the passwords (manage.py changepassword), or give another directory by --data."
        )
        sys.stdout.flush()
        sys.exit(KNOWN_PASSWORDS)


if __name__ == "__main__":
    main("--demo" in sys.argv[1:], "--public" in sys.argv[1:])
