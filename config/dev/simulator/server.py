"""The simulator: a mail server for trying deliveries out, whose mail goes nowhere.

On loopback it takes SMTP, accepts, refuses or drops by the recipient's address and a seed
(`simulator_words`), keeps what it accepted as .eml files (`simulator_store`) and shows that under
a local page (`simulator_pages`). It knows no Django and needs no database.

In a test:

    with running(Config(tmp_path)) as simulator:
        ...  # send to 127.0.0.1, simulator.smtp_port
        assert simulator.store.counts()[Verdict.ACCEPTED] == 3
"""

import asyncio
import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from .http import PageServer
from .smtp import Session
from .store import Store, StoreUnusable
from .verdicts import Personality

_FAREWELL_SECONDS = 0.1


class CannotServe(Exception):
    """Why the simulator does not start, in one line for its operator."""


@dataclass(frozen=True, slots=True)
class Config:
    """Port 0 is any free one; `max_size` is in bytes; `anywhere` allows hosts off loopback."""

    directory: Path
    smtp_port: int = 0
    http_port: int = 0
    host: str = "127.0.0.1"
    personality: Personality = field(default_factory=Personality)
    max_size: int = 10 * 1024 * 1024
    anywhere: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """A simulator that answers: the ports it got, and its mail."""

    host: str
    smtp_port: int
    http_port: int
    store: Store

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.http_port}/"


def serve(config: Config, stop: threading.Event, ready: Callable[[Running], None] = lambda running: None) -> None:
    """Serve in this thread until `stop` is set; `ready` is called once both ports answer.

    Raises CannotServe: a port or the directory is taken or not allowed, or the host isn't loopback.
    """
    _refuse_other_hosts(config)
    with _store(config.directory) as store:
        asyncio.run(_serve(config, store, stop, ready))


@contextmanager
def running(config: Config) -> Iterator[Running]:
    """A simulator in a thread of its own, up on entry and stopped on exit; raises as serve()."""
    stop, started = threading.Event(), Future[Running]()
    thread = threading.Thread(target=_serve_for, args=(config, stop, started), name="simulator")
    thread.start()
    try:
        yield started.result()
    finally:
        stop.set()
        thread.join()


def _serve_for(config: Config, stop: threading.Event, started: "Future[Running]") -> None:
    try:
        serve(config, stop, started.set_result)
    except Exception as error:
        if started.done():
            raise
        started.set_exception(error)


async def _serve(config: Config, store: Store, stop: threading.Event, ready: Callable[[Running], None]) -> None:
    sessions: set[Session] = set()
    session = partial(Session, config.personality, store, sessions, config.max_size)
    with _naming(config.host, config.smtp_port):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(session, config.host, config.smtp_port, backlog=512)
    try:
        smtp_port = server.sockets[0].getsockname()[1]
        with _pages(config, store, smtp_port) as pages:
            ready(Running(config.host, smtp_port, pages.port, store))
            await asyncio.to_thread(stop.wait)
    finally:
        server.close()
        await _hang_up(sessions)


async def _hang_up(sessions: set[Session]) -> None:
    """Let each client read its 421 if it reads at all; nobody holds the simulator up."""
    for session in list(sessions):
        session.stop()
    if sessions:
        await asyncio.sleep(_FAREWELL_SECONDS)
    for session in list(sessions):
        session.abort()


def _pages(config: Config, store: Store, smtp_port: int) -> PageServer:
    with _naming(config.host, config.http_port):
        return PageServer(config.host, config.http_port, store, config.personality, smtp_port)


@contextmanager
def _naming(host: str, port: int) -> Iterator[None]:
    """Say which port it was that could not be had."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotServe(f"port {port} of {host} is taken") from None
        raise CannotServe(f"port {port} of {host} cannot be had: {error.strerror}") from None


def _store(directory: Path) -> Store:
    try:
        return Store(directory)
    except StoreUnusable as error:
        raise CannotServe(str(error)) from None
    except OSError as error:
        raise CannotServe(f"{error.strerror}: {error.filename or directory}") from None


def _refuse_other_hosts(config: Config) -> None:
    if config.anywhere:
        return
    try:
        loopback = ip_address(config.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise CannotServe(f"{config.host} is not a loopback address, and the mail has no lock")
