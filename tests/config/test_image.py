"""The image leaves the demo and the tests out (.dockerignore), and what is left starts: commands, tables, a page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.config.image import build

pytestmark = pytest.mark.slow

LOAD = """
import django
from django.core.management import get_commands, load_command_class
django.setup()
for name, app in sorted(get_commands().items()):
    load_command_class(app, name)
    print(name)
"""
ASK = """
import sys
from wsgiref.util import setup_testing_defaults
from config.wsgi import application
for path in sys.argv[1:]:
    environ = {"PATH_INFO": path, "HTTP_HOST": "a.example", "wsgi.url_scheme": "https", "REMOTE_ADDR": "192.0.2.1"}
    setup_testing_defaults(environ)
    said = []
    body = b"".join(application(environ, lambda status, headers: said.append(status)))
    print(path, said[0], len(body))
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work directory of a container, with its tables made."""
    folder = tmp_path_factory.mktemp("image")
    build(folder)
    done = manage(folder, "migrate", "--verbosity", "0")
    assert done.returncode == 0, done.stderr
    return folder


def python(image: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Python as a container runs it: nothing on its path but the image, no setting but those of a deployment."""
    data = image.parent / f"{image.name}-data"
    environment = {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": "x" * 60,
        "DATA_DIR": str(data),
        "ALLOWED_HOSTS": "a.example",
        "PUBLIC_URL": "https://a.example",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }
    data.mkdir(exist_ok=True)
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=image, env=environment, capture_output=True, text=True, check=False)


def manage(image: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(image, "manage.py", *arguments)


def test_neither_demo_nor_tests_are_there(image: Path) -> None:
    assert {path.name for path in image.iterdir()} == {
        "manage.py",
        "pyproject.toml",
        "campaigns",
        "deliveries",
        "reporting",
        "config",
    }
    assert not (image / "config/dev").exists() and not (image / "config/deploy").exists()


def test_it_finds_nothing_wrong(image: Path) -> None:
    done = manage(image, "check", "--database", "default")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_every_command_that_it_lists_is_there(image: Path) -> None:
    done = python(image, "-c", LOAD)
    assert done.returncode == 0, done.stderr
    listed = set(done.stdout.split())
    assert {"guard", "health", "prepare", "fold_tracking", "sync_roles", "version"} <= listed
    assert not listed & {"seed_demo", "simulator"}


def test_it_serves_the_log_in_a_style_sheet_and_says_that_it_is_well(image: Path) -> None:
    done = python(image, "-c", ASK, "/admin/login/", "/static/deliveries/dashboard.css", "/api/schema/")
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["200", "200", "200"], done.stdout


@pytest.mark.parametrize("command", ["up", "test"])
def test_what_needs_the_source_says_so(image: Path, command: str) -> None:
    done = manage(image, command)
    assert done.returncode == 1 and "run it from the source" in done.stderr


def test_a_demo_is_refused_in_a_sentence(image: Path) -> None:
    here = {"DEMO": "1", "ALLOWED_HOSTS": "127.0.0.1", "PUBLIC_URL": "http://127.0.0.1:8000"}
    done = python(image, "-c", "import config.wsgi", **here)
    assert done.returncode == 1 and "the image has no demo" in done.stderr.splitlines()[-1]
