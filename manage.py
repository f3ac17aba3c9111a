#!/usr/bin/env python3
"""Django's command line. `up` and `test` need nothing but Python: config/bootstrap.py makes the rest."""

import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - said here, before anything that an older Python cannot read
    sys.exit("Python 3.11 or newer is needed; this is Python " + sys.version.split()[0] + ".")


def main() -> None:
    """Run the command in `sys.argv`, inside .venv where there is one."""
    from config import bootstrap

    bootstrap.enter(sys.argv)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        import django
        from django.core.management import execute_from_command_line, load_command_class
    except ImportError as error:
        sys.exit(f"Django cannot be imported ({error}). Run `python3 manage.py up` once: it builds .venv.")
    if sys.argv[1:2] == ["version"]:  # Django says its own version before it looks for a command of that name
        django.setup()
        load_command_class("config", "version").run_from_argv(sys.argv)
    else:
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
