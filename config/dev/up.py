"""`manage.py up`: the whole product in the foreground on one data directory, for a first look. Standard library only.

It takes the data directory and the ports, prepares the database, starts the web server, the watchdog (which runs the
django-q2 cluster) and the mail simulator, waits until the page answers, says where all is, and stays until Ctrl-C.
"""

import argparse
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from . import resources
from .supervisor import TAG, GaveUp, Program, Supervisor, end_all, ending, last_lines

BASE_DIR = Path(__file__).resolve().parents[2]
ANSWER_SECONDS = 60.0
KNOWN_PASSWORDS = 3  # exit status of config.prepare
LOG_BYTES = 5_000_000


@dataclass(frozen=True)
class Place:
    """Where this `up` runs: its data directory, the web server's socket and address, the simulator's ports."""

    data: Path
    door: socket.socket
    address: str
    smtp_port: int
    mail_port: int

    def log(self, name: str) -> Path:
        return self.data / "logs" / f"{name}.log"


class Signals:
    """Counts the requests to stop: the first stops `up` in order, the second at once."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._take)

    def _take(self, number: int, frame: object) -> None:
        self.count += 1

    def stop(self) -> bool:
        return self.count > 0

    def hurry(self) -> bool:
        return self.count > 1


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of `up`; a wrong one ends the process with its usage."""
    parser = argparse.ArgumentParser(prog="manage.py up", description="Start the whole product here; Ctrl-C stops it.")
    add = parser.add_argument
    add(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s, this machine only; another one needs --no-demo)",
    )
    add("--port", type=_port, default=8000, help="port of the pages (default: %(default)s; 0: any free one)")
    add(
        "--data",
        type=Path,
        default=BASE_DIR / ".data",
        metavar="DIR",
        help="data directory (default: .data of the project)",
    )
    add("--no-demo", dest="demo", action="store_false", help="without the demo accounts and data")
    add("--smtp-port", type=_port, help=f"SMTP port of the simulator (default: {resources.SMTP_PORT} or a free one)")
    add("--mail-port", type=_port, help=f"port of its mail pages (default: {resources.MAIL_PORT} or a free one)")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a number up to 65535")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Serve until asked to stop. Returns the exit status: 0 after Ctrl-C or SIGTERM, 1 when it cannot go on."""
    signals = Signals()
    try:
        with resources.hold(options.data) as data:
            if end_all(str(data), 2.0):
                say("Ended what an earlier start had left running.")
            with resources.listen(options.host, options.port) as door:
                if options.demo:
                    resources.keep_demo_here(door, options.host)
                place = _place(options, data, door)
                resources.note(data, place.address)
                _run(place, options, signals)
    except (resources.CannotStart, GaveUp) as error:
        with contextlib.suppress(OSError):
            print(f"manage.py up: {error}", file=sys.stderr)
        return 1
    say("Stopped; the data is kept.")
    return 0


def say(text: str) -> None:
    """Print at once. A terminal that is gone must not keep the children from being stopped."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _place(options: argparse.Namespace, data: Path, door: socket.socket) -> Place:
    smtp_port = resources.free_port(options.smtp_port, resources.SMTP_PORT, "--smtp-port")
    mail_port = resources.free_port(options.mail_port, resources.MAIL_PORT, "--mail-port")
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(options.host, options.host)  # noqa: S104 - shown, not bound
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return Place(data, door, f"http://{host}:{door.getsockname()[1]}", smtp_port, mail_port)


def environment(place: Place, host: str, demo: bool) -> dict[str, str]:
    """The environment of every child: the caller's, with the switches that make it this demo on this directory.

    A demo answers to no name but this machine's own for itself: deliveries/workers/checks.py refuses others.
    """
    hosts = ["localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host]
    if not demo:
        hosts += [socket.gethostname(), *os.environ.get("ALLOWED_HOSTS", "").split(",")]
    return {
        "EMAIL_URL": f"smtp://127.0.0.1:{place.smtp_port}",  # mail to staff is read where the demo's mail is read
        **os.environ,
        TAG: str(place.data),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": str(BASE_DIR),
        "DEMO": str(int(demo)),
        "HTTPS": "0",
        "DATA_DIR": str(place.data),
        "JOURNAL_DIR": str(place.data / "journals"),
        "TRACKING_DIR": str(place.data / "tracking"),
        "DATABASE_URL": f"sqlite:///{quote(str(place.data / 'db.sqlite3'))}",
        "BROKER_URL": "",
        "SECRET_KEY": (place.data / "secret-key").read_text().strip(),
        "PUBLIC_URL": place.address,
        "ALLOWED_HOSTS": ",".join(dict.fromkeys(name for name in hosts if name)),
        "FIGURES_MINUTES": os.environ.get("FIGURES_MINUTES", "1"),  # nobody watches a demo for an hour
        "SIMULATOR_SMTP_PORT": str(place.smtp_port),
        "SIMULATOR_HTTP_PORT": str(place.mail_port),
    }


def programs(place: Place) -> list[Program]:
    """The simulator first, since the others send to it; web and watchdog are stopped before it."""
    manage = [sys.executable, str(BASE_DIR / "manage.py")]
    ports = ["--smtp-port", str(place.smtp_port), "--http-port", str(place.mail_port)]
    readers = ["--readers", place.address]  # they open and click what is sent, so that figures come in
    simulator = [*manage, "simulator", *ports, *readers, "--dir", str(place.data / "simulator")]
    web = f"-m gunicorn config.wsgi --bind fd://{place.door.fileno()} --workers 2 --threads 4 --graceful-timeout 2"
    return [
        Program("simulator", simulator, place.log("simulator"), serves=True),
        Program("guard", [*manage, "guard"], place.log("guard")),
        Program("tracking", [*manage, "fold_tracking", "--loop"], place.log("tracking")),
        Program(
            "web",
            [sys.executable, *web.split(), "--no-control-socket", "--access-logfile", "-", "--chdir", str(BASE_DIR)],
            place.log("web"),
            pass_fds=[place.door.fileno()],
        ),
    ]


def _run(place: Place, options: argparse.Namespace, signals: Signals) -> None:
    variables = environment(place, options.host, options.demo)
    _shorten_logs(place.data / "logs")
    words = prepare(place, variables, options.demo, signals.stop)
    if signals.stop():
        return
    supervisor = Supervisor(programs(place), variables, say)
    try:
        _serve(supervisor, place, banner(place, options.host, words), signals.stop)
    finally:
        supervisor.stop(signals.hurry)


def _shorten_logs(folder: Path) -> None:
    for log in folder.glob("*.log"):
        if log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))


def prepare(place: Place, variables: Mapping[str, str], demo: bool, stop: Callable[[], bool]) -> str:
    """Migrate, and seed the demo. Returns what the seeding says of its accounts and first clicks. Raises GaveUp."""
    say("Preparing the database" + (" and the demo …" if demo else " …"))
    public = [] if resources.is_here(place.door.getsockname()[0]) else ["--public"]
    command = [sys.executable, "-m", "config.dev.first_run", *(["--demo"] if demo else public)]
    words = place.log("seed")
    with place.log("prepare").open("wb") as log, words.open("wb") as out:
        child = subprocess.Popen(
            command, env=variables, stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True
        )
        while child.poll() is None:
            if stop():
                end_all(str(place.data), 2.0)
            time.sleep(0.05)
    if child.returncode == KNOWN_PASSWORDS and not stop():
        raise GaveUp(words.read_text().strip())
    if child.returncode and not stop():
        raise GaveUp(f"preparing failed ({ending(child.returncode)}). {last_lines(place.log('prepare'))}")
    return words.read_text()


def _serve(supervisor: Supervisor, place: Place, welcome: str, stop: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    welcomed = False
    while not stop():
        supervisor.tick()
        if not welcomed and (welcomed := answers(place.door)):
            say(welcome)
        if not welcomed and time.monotonic() > deadline:
            raise GaveUp(f"the page does not answer. {last_lines(place.log('web'))}")
        time.sleep(0.1)


def answers(door: socket.socket) -> bool:
    """Whether the log-in page behind that listening socket answers, and without an error."""
    host, port = door.getsockname()[:2]
    connection = http.client.HTTPConnection({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, timeout=5)  # noqa: S104
    try:
        connection.request("GET", "/admin/login/", headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def banner(place: Place, host: str, words: str) -> str:
    """What the terminal shows once the page answers: the addresses, the demo's accounts and clicks, and how to stop."""
    lines = [
        "",
        f"  Back office   {place.address}/",
        f"  Mail sent     http://127.0.0.1:{place.mail_port}/   (a simulator: nothing leaves this machine)",
        f"  Data, logs    {place.data}",
        "",
        *(f"  {line}".rstrip() for line in (words or NO_DEMO).strip().splitlines()),
        "",
    ]
    if not place.door.getsockname()[0].startswith(("127.", "::1")):
        lines.append(f"  Listening on {host}: whoever reaches this machine can open it, without encryption.")
    return "\n".join([*lines, "  Ctrl-C stops everything and keeps the data.", ""])


NO_DEMO = "No demo accounts. Make the first one in another terminal: python3 manage.py createsuperuser"
