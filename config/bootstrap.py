"""From a bare clone to a prepared .venv, with nothing but the standard library.

`up` needs what run.lock names, `test` what test.lock names (everything in run.lock and the test tools). Both locks
carry hashes, so what is installed is what was reviewed. A lock is installed once: a marker in .venv holds the hashes
of the locks that it satisfies, and is written last, so that an interrupted build is never taken for a finished one.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

BASE_DIR = Path(__file__).resolve().parent.parent
VENV = BASE_DIR / ".venv"
BOTH_CORES = ["-n", "auto", "--dist", "loadfile"]  # a file's tests share what they start
LOCKS = {"up": "run.lock", "test": "test.lock"}
NEEDED = {"up": "config/dev", "test": "tests"}  # the image has neither
INSTALL = ["--quiet", "--no-input", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement"]


class CannotBuild(Exception):
    """The environment cannot be built; the text says why and what to do."""


def enter(argv: list[str]) -> None:
    """Continue in .venv. `up` and `test` build it first and never return; other commands return when already in place.

    argv: as in sys.argv, the program first. Ends the process with one clear line where something is missing.
    """
    command, arguments = (argv[1], argv[2:]) if len(argv) > 1 else ("", [])
    if command not in LOCKS:
        if (VENV / "bin/python").exists() and not inside(VENV):
            _continue_as([str(BASE_DIR / "manage.py"), *argv[1:]])
        return
    if not (BASE_DIR / NEEDED[command]).is_dir():
        sys.exit(f"manage.py {command}: {NEEDED[command]} is not here; run it from the source, not from the image.")
    try:
        if command == "up":
            from config.dev import up

            options = up.parse(arguments)  # a wrong option is said before anything is built
        ensure(LOCKS[command])
    except CannotBuild as error:
        sys.exit(f"manage.py {command}: {error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped while building .venv; the same command starts afresh.")
    if command == "test":
        os.chdir(BASE_DIR)
        own = any(argument.startswith(("-n", "--numprocesses")) for argument in arguments)
        _continue_as(["-m", "pytest", *([] if own else BOTH_CORES), *arguments])
    if not inside(VENV):
        _continue_as([str(BASE_DIR / "manage.py"), *argv[1:]])
    sys.exit(up.run(options))


def inside(venv: Path) -> bool:
    """Whether this interpreter is the one of that virtual environment."""
    return Path(sys.prefix).resolve() == venv.resolve()


def _continue_as(arguments: Sequence[str]) -> NoReturn:
    python = str(VENV / "bin/python")
    sys.stdout.flush()
    os.execv(python, [python, *arguments])  # noqa: S606 - no shell is the point


def ensure(lock: str, venv: Path = VENV, locks: Path = BASE_DIR / "config") -> bool:
    """Bring `venv` up to what `lock` ("run.lock" or "test.lock", in the folder `locks`) names.

    Returns whether anything was installed. Two callers at once take turns. Raises CannotBuild.
    """
    if satisfied(lock, venv, locks):
        return False
    with _one_at_a_time(locks):
        if satisfied(lock, venv, locks):
            return False
        started = time.monotonic()
        print(f"Building {venv.name} from config/{lock} …", end="", flush=True)
        try:
            _build(lock, venv, locks)
        except OSError as error:
            raise CannotBuild(f"{venv} cannot be written: {error}") from error
        except CannotBuild:
            print()
            raise
        print(f" done in {time.monotonic() - started:.0f} s.", flush=True)
    return True


def satisfied(lock: str, venv: Path, locks: Path) -> bool:
    """Whether `venv` holds exactly what `lock` names today, by the marker that the last finished build left."""
    try:
        built = json.loads((venv / "built-from.json").read_text())
    except (OSError, ValueError):
        return False
    return (venv / "bin/python").exists() and built.get(lock) == digest(locks / lock)


def digest(path: Path) -> str:
    """SHA-256 of the file, as hexadecimal text."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:
        raise CannotBuild("this runs on Linux and macOS; on Windows use its Linux subsystem (WSL).") from None
    handle = os.open(folder, os.O_RDONLY)  # the folder itself is the lock: no file is left behind
    os.set_inheritable(handle, True)  # should we be killed, the pip that outlives us goes on holding it
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another start is building .venv; waiting for it.", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _build(lock: str, venv: Path, locks: Path) -> None:
    marker, unfinished = venv / "built-from.json", venv / "unfinished"
    if unfinished.exists() or not (venv / "bin/python").exists():
        _run([sys.executable, "-m", "venv", "--without-pip", "--clear", str(venv)])
    unfinished.touch()  # stays behind only if this process is killed: half-unpacked packages look installed to pip
    marker.unlink(missing_ok=True)
    try:
        _run([*_pip(venv), "install", *INSTALL, str(locks / lock)])
        satisfies = LOCKS.values() if lock == LOCKS["test"] else [lock]
        marker.write_text(json.dumps({name: digest(locks / name) for name in satisfies}))
    except CannotBuild:
        unfinished.unlink()  # pip ended by itself and took back what it began
        raise
    unfinished.unlink()


def _pip(venv: Path) -> list[str]:
    """The command of a pip that installs into `venv`: its own, one unpacked from Python, or this interpreter's."""
    python = str(venv / "bin/python")
    own = [python, "-m", "pip"]
    if _works([*own, "--version"]) or _works([python, "-m", "ensurepip"]):
        return own
    outer = [sys.executable, "-m", "pip", "--python", python]  # pip 22.3 and newer
    if _works([*outer, "--version"]):
        return outer
    raise CannotBuild("this Python has no pip. Install it (Debian, Ubuntu: apt install python3-venv) and try again.")


def _works(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def _run(command: Sequence[str]) -> None:
    out, nothing = subprocess.PIPE, subprocess.DEVNULL
    done = subprocess.run(command, text=True, close_fds=False, stdin=nothing, stdout=out, stderr=subprocess.STDOUT)
    if done.returncode:
        raise CannotBuild(explain(done.stdout))


def explain(output: str) -> str:
    """What a failed step of the build printed, shortened to its last lines, with what to do about it."""
    lines = [line for line in output.splitlines() if line.strip() and not line.startswith("WARNING")]
    advice = "Mend what it names and run the same command again; it starts afresh."
    if "No matching distribution" in output and "from versions: none" in output:
        advice = (
            "If the package index can be reached, it has no ready-made file for this Python "
            f"({sys.version.split()[0]}, {sys.platform}): use Python 3.11 to 3.14."
        )
    elif "DO NOT MATCH THE HASHES" in output:
        advice = "A package differs from the one that was reviewed. Do not work around it: check the index in use."
    return "the build of .venv failed:\n" + "".join(f"    {line}\n" for line in lines[-8:]) + advice
