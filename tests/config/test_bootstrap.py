"""From a bare clone to .venv: what counts as built, what is refused, and what the locks may hold."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from config import bootstrap
from config.dev import up

CONFIG = Path(bootstrap.__file__).parent
PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    """A folder with two locks that name nothing, so that no index is asked."""
    for name in bootstrap.LOCKS.values():
        (tmp_path / name).write_text("# nothing\n")
    return tmp_path


@pytest.fixture
def venv(locks: Path) -> Path:
    """Looks built from run.lock as it is now."""
    venv = locks / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(sys.executable)
    digest = bootstrap.digest(locks / "run.lock")
    (venv / "built-from.json").write_text(f'{{"run.lock": "{digest}"}}')
    return venv


def test_a_built_environment_is_left_alone(locks: Path, venv: Path) -> None:
    assert bootstrap.ensure("run.lock", venv, locks) is False


def test_a_changed_lock_asks_for_a_build(locks: Path, venv: Path) -> None:
    (locks / "run.lock").write_text("# something\n")
    assert not bootstrap.satisfied("run.lock", venv, locks)


def test_what_runs_does_not_count_as_what_tests(locks: Path, venv: Path) -> None:
    assert not bootstrap.satisfied("test.lock", venv, locks)


@pytest.mark.parametrize("text", ["", "[", "{}"])
def test_an_unreadable_marker_asks_for_a_build(locks: Path, venv: Path, text: str) -> None:
    (venv / "built-from.json").write_text(text)
    assert not bootstrap.satisfied("run.lock", venv, locks)


def test_an_environment_whose_python_is_gone_asks_for_a_build(locks: Path, venv: Path) -> None:
    (venv / "bin/python").unlink()
    (venv / "bin/python").symlink_to(locks / "uninstalled")
    assert not bootstrap.satisfied("run.lock", venv, locks)


@pytest.mark.slow
def test_building_what_tests_also_builds_what_runs(locks: Path) -> None:
    venv = locks / "venv"
    assert bootstrap.ensure("test.lock", venv, locks) is True
    assert bootstrap.ensure("run.lock", venv, locks) is False
    assert not (venv / "unfinished").exists()


@pytest.mark.slow
def test_an_interrupted_build_starts_afresh(locks: Path) -> None:
    half_unpacked = locks / "venv/lib/half"
    half_unpacked.mkdir(parents=True)
    (locks / "venv/unfinished").touch()
    bootstrap.ensure("run.lock", locks / "venv", locks)
    assert not half_unpacked.exists()


@pytest.mark.slow
def test_a_failed_install_names_the_package_and_leaves_nothing_marked_as_built(locks: Path) -> None:
    (locks / "run.lock").write_text("no-address==1 --hash=sha256:" + "0" * 64 + " --no-such-option\n")
    with pytest.raises(bootstrap.CannotBuild, match="no-such-option"):
        bootstrap.ensure("run.lock", locks / "venv", locks)
    assert not bootstrap.satisfied("run.lock", locks / "venv", locks)


def test_a_python_without_pip_is_told_which_package_to_install(
    locks: Path, venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (venv / "bin/python").unlink()
    (venv / "bin/python").symlink_to("/bin/false")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    (locks / "run.lock").write_text("# changed\n")
    with pytest.raises(bootstrap.CannotBuild, match="apt install python3-venv"):
        bootstrap.ensure("run.lock", venv, locks)


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("ERROR: No matching distribution found for x (from versions: none)", "use Python 3.11 to 3.14"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "Do not work around it"),
        ("ERROR: No space left on device", "run the same command again"),
    ],
)
def test_a_failure_says_what_to_do(output: str, advice: str) -> None:
    assert advice in bootstrap.explain(output)


def test_an_older_python_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 9))
    with pytest.raises(SystemExit, match=r"^Python 3.11 or newer is needed"):
        runpy.run_path(str(CONFIG.parent / "manage.py"))


def test_a_wrong_option_of_up_is_refused_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "ensure", lambda lock: pytest.fail("built"))
    with pytest.raises(SystemExit):
        bootstrap.enter(["manage.py", "up", "--port", "65536"])


def test_up_listens_on_this_machine_alone_unless_told_otherwise() -> None:
    assert up.parse([]).host == "127.0.0.1"


@pytest.mark.parametrize("name", ["run.in", "test.in", "run.lock", "test.lock"])
def test_no_requirement_names_an_address_or_a_folder(name: str) -> None:
    assert not re.search(r"://|^--|(^|\s)/", (CONFIG / name).read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", ["run.lock", "test.lock"])
def test_every_pin_has_a_hash(name: str) -> None:
    pins = re.split(r"\n(?=[a-z])", (CONFIG / name).read_text())[1:]
    assert all("--hash=sha256:" in pin for pin in pins)


def test_the_tests_run_on_the_versions_that_serve() -> None:
    runs, tests = (dict(PIN.findall((CONFIG / name).read_text())) for name in ("run.lock", "test.lock"))
    assert runs and runs.items() <= tests.items()
