"""What pip, build and uv find when they ask for a package of this project: that there is none, and what to do instead.

pyproject.toml names this module as its build backend (PEP 517, in the tree), so that nothing is fetched before it is
said. Only the standard library may be imported here.
"""

import sys
from typing import NoReturn

WORDS = """\
Deliveries back office is an application; there is no package of it to install. Start it from its own folder:

    python3 manage.py up      builds .venv from config/run.lock and starts the demo
    python3 manage.py test    builds .venv from config/test.lock and runs the tests

Into an environment of your own: pip install --require-hashes -r config/run.lock
For a deployment read config/docs/operations.md.
"""


def _refuse(*args: object, **kwargs: object) -> NoReturn:
    """Every hook of a build backend ends here, without a traceback."""
    sys.exit(WORDS)


get_requires_for_build_wheel = build_wheel = prepare_metadata_for_build_wheel = _refuse
get_requires_for_build_editable = build_editable = prepare_metadata_for_build_editable = _refuse
get_requires_for_build_sdist = build_sdist = _refuse
