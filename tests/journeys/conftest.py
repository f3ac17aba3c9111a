"""A browser, and sites for it to visit: the whole product as processes of its own on a file database."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from .stage import PASSWORD

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / ".screenshots"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def free_port() -> int:
    """A port of loopback that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait for `condition`; fail naming `what` if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.1)


@dataclass
class Site:
    """The product on its own data directory: `ids` are those of stage.py."""

    data: Path
    port: int = field(default_factory=free_port)
    smtp_port: int = field(default_factory=free_port)
    pages_port: int = field(default_factory=free_port)
    ids: dict[str, int] = field(default_factory=dict)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "SECRET_KEY": "only-for-tests-" + "0123456789" * 5,
            "DATA_DIR": str(self.data),
            "HTTPS": "0",
            "DATABASE_URL": f"sqlite:///{self.data / 'db.sqlite3'}",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "JOURNAL_DIR": str(self.data / "journals"),
            "TRACKING_DIR": str(self.data / "tracking"),
            "EMAIL_URL": "consolemail://",
            "PUBLIC_URL": self.url(),
            "STAGE_SMTP_PORT": str(self.smtp_port),
            **more,
        }

    def furnish(self, **more: str) -> None:
        """Migrate and fill it."""
        told = subprocess.run(
            [sys.executable, "-m", "tests.journeys.stage"],
            cwd=ROOT,
            env=self.environment(**more),
            capture_output=True,
            text=True,
        )
        assert told.returncode == 0, told.stderr
        self.ids = json.loads(told.stdout.splitlines()[-1])

    def start(self, *command: str) -> None:
        """A program of the site, in a session of its own so that all of it can be ended."""
        log = (self.data / f"{len(self.running)}.log").open("wb")
        self.running.append(
            subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        )

    def serve(self) -> None:
        """The pages."""
        web = f"-m gunicorn config.wsgi --bind 127.0.0.1:{self.port} --workers 1 --threads 4 --no-control-socket"
        self.start(*web.split())

    def staff(self, *more: str) -> None:
        """The mail simulator and the background workers."""
        ports = ["--smtp-port", str(self.smtp_port), "--http-port", str(self.pages_port)]
        # refuses whom an address asks it to, and nobody by chance
        kind = ["--unknown", "0", "--busy", "0", *more]
        self.start("manage.py", "simulator", *ports, *kind, "--dir", str(self.data / "simulator"))
        self.start("manage.py", "guard")

    def wait(self, *urls: str) -> None:
        """Until these answer."""
        for url in urls:
            until(lambda url=url: self.answers(url), url)  # type: ignore[misc]

    def totals(self) -> dict[str, int]:
        """What the simulator did with the messages, by verdict."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.pages_port}/totals.json", timeout=10) as answer:
            return json.load(answer)  # type: ignore[no-any-return]

    def answers(self, url: str) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return True
        return False

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/admin/{path}"

    def delivery(self, name: str, page: str = "change/") -> str:
        return self.url(f"deliveries/delivery/{self.ids[name]}/{page}")

    def write(self, sql: str, *values: object) -> None:
        """Change the database as a worker would."""
        with contextlib.closing(sqlite3.connect(self.data / "db.sqlite3", timeout=30)) as database, database:
            database.execute(sql, values)

    def read(self, sql: str, *values: object) -> Any:
        """The first column of the first row."""
        with contextlib.closing(sqlite3.connect(self.data / "db.sqlite3", timeout=30)) as database:
            return database.execute(sql, values).fetchone()[0]

    def close(self) -> None:
        for process in reversed(self.running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a delivery in every state, where nothing moves by itself."""
    built = Site(tmp_path_factory.mktemp("site"))
    try:
        built.furnish()
        built.serve()
        built.wait(built.url("login/"))
        yield built
    finally:
        built.close()


@pytest.fixture(scope="module")
def living_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site at work: simulator and background workers, one message, no delivery yet."""
    built = Site(tmp_path_factory.mktemp("living"))
    try:
        built.furnish(STAGE_STATES="0")
        built.staff()
        built.serve()
        built.wait(built.url("login/"), f"http://127.0.0.1:{built.pages_port}/totals.json")
        yield built
    finally:
        built.close()


@pytest.fixture(scope="module")
def browser(service: Callable[[str], str]) -> Iterator[Browser]:
    """Debian's Chromium. One a module: while it runs, the main thread has an event loop, which the ORM would refuse."""
    path = service("chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


class Visitor:
    """Somebody at a browser. What the console says against a page is kept in `complaints`."""

    def __init__(self, site: Site, context: BrowserContext) -> None:
        self.site, self.context = site, context
        self.complaints: list[str] = []
        self.page: Page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {said.text}")

    def log_in(self, name: str) -> Visitor:
        self.page.goto(self.site.url("login/?next=/admin/deliveries/delivery/"))
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", PASSWORD)
        self.page.click("[type=submit]")
        self.page.wait_for_url("**/deliveries/delivery/")
        return self

    def at(self, name: str, page: str = "change/") -> Page:
        self.page.goto(self.site.delivery(name, page))
        return self.page


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """visitor(site, "starter", width=360, …) logs somebody in; a complaint of the console fails the test."""
    visitors: list[Visitor] = []

    def visit(site: Site, name: str, *, width: int = 1280, height: int = 900, **options: Any) -> Visitor:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        visitors.append(Visitor(site, context))
        return visitors[-1].log_in(name)

    yield visit
    complaints = [complaint for each in visitors for complaint in each.complaints]
    for each in visitors:
        each.context.close()
    assert not complaints


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    """picture(page, "dashboard") keeps a screenshot in .screenshots, under UPDATE_SCREENSHOTS=1 alone."""

    def take(page: Page, name: str) -> None:
        if os.environ.get("UPDATE_SCREENSHOTS") == "1":
            SHOTS.mkdir(exist_ok=True)
            page.wait_for_timeout(500)
            page.screenshot(path=SHOTS / f"{name}.png")

    return take
