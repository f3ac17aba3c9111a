"""What faults are done to: real clusters under their watchdogs, with their database, broker and a sink that fsyncs.

A Cluster is made in a process of its own: the product's settings are read from its environment. Its database and its
journals lie on small disks of their own where that is allowed, and clocks can be set where there is a C compiler.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.conftest import find_program
from tests.postgres import Postgres, free_port
from tests.sink import LOG, set_behaviour

ROOT = Path(__file__).parents[2]
CONNECTIONS = 8
WORKERS = 2
LEASE_SECONDS = 5
NETWORK = "10.213.77"  # of the two hosts with a cable between them
ROLES = {"main": 0, "sentinel": 1, "worker": 2, "other worker": 3, "monitor": 4, "pusher": 5}


class CannotBe(Exception):
    """The fault cannot be done here; the text says why."""


class Host:
    """One guard with its cluster, started again by whoever plays the service manager."""

    def __init__(self, name: str, environment: dict[str, str]) -> None:
        self.name, self.journals = name, Path(environment["JOURNAL_DIR"]) / name
        self.environment = environment | {
            "HOST_ID": name,
            "JOURNAL_DIR": str(self.journals),
            "DATA_DIR": f"{environment['DATA_DIR']}/{name}",
        }
        self.prefix: list[str] = []  # of its commands
        self.program = ["manage.py", "guard"]
        self.guard: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the guard."""
        Path(self.environment["DATA_DIR"]).mkdir(exist_ok=True)
        command = [*self.prefix, sys.executable, *self.program]
        with Path(f"{self.environment['DATA_DIR']}.log").open("ab") as log:
            self.guard = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stderr=log, stdout=log, preexec_fn=with_parent
            )

    def keep(self) -> None:
        """What a service manager does: start the guard again if it ended though nobody stopped it."""
        if self.guard is not None and self.guard.poll() is not None:
            self.start()

    def stop(self) -> None:
        """SIGTERM to the guard alone, as the unit says."""
        if self.guard is not None:
            self.guard.terminate()
            try:
                self.guard.wait(15)
            except subprocess.TimeoutExpired:
                self.guard.kill()
                self.guard.wait()
            self.guard = None

    def processes(self) -> list[int]:
        """Main, sentinel, the workers, monitor, pusher; [] while they are not complete."""
        main = children(self.guard.pid) if self.guard else []
        sentinel = children(main[0]) if main else []
        rest = children(sentinel[0]) if sentinel else []
        return [*main, *sentinel, *rest] if len(rest) == WORKERS + 2 else []

    def kill(self, role: str, how: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a process of the cluster. Out: its id."""
        wait(self.processes, 60)
        pid = self.processes()[ROLES[role]]
        os.kill(pid, how)
        return pid

    def kill_group(self, how: signal.Signals = signal.SIGKILL) -> None:
        """A signal to the whole process group of the cluster."""
        wait(self.processes, 60)
        os.killpg(self.processes()[0], how)


class Cluster:
    """The services, the hosts, and what can be done to them."""

    def __init__(self, directory: Path, database: str, broker: str, *, brief: bool) -> None:
        """`brief`: outages last seconds, where otherwise they last as long as the issue says."""
        self.directory, self.database, self.broker, self.brief = directory, database, broker, brief
        directory.chmod(0o755)
        self.disks = {name: _disk(directory / name, size) for name, size in {"journals": 8, "data": 700}.items()}
        self.preload = own_clock(directory)
        self.sink_port, self.sink_address = free_port(), "127.0.0.1"
        self.sink: subprocess.Popen[str] | None = None
        self.redis: subprocess.Popen[bytes] | None = None
        self.postgres: Postgres | None = None
        self.link: subprocess.Popen[bytes] | None = None  # whoever keeps the other host's network alive
        self.start_sink()
        url = self._start_database()
        self.environment = (
            os.environ
            | self.preload
            | {
                "SECRET_KEY": "torture-" * 8,
                "DATA_DIR": str(directory),
                "HTTPS": "0",
                "LOG_LEVEL": "WARNING",
                "DATABASE_URL": url,
                "DJANGO_SETTINGS_MODULE": "config.settings",
                "WORKERS": str(WORKERS),
                "JOURNAL_DIR": str(directory / "journals"),
                "LEASE_SECONDS": str(LEASE_SECONDS),
                "UNDO_SECONDS": "0",
                "GUARD_STALE_SECONDS": "10" if brief else "45",
                "BROKER_URL": self._start_broker(),
                "HOST_ID": "judge",
                "EMAIL_URL": "memorymail://",
            }
        )
        os.environ.update({name: value for name, value in self.environment.items() if name not in self.preload})
        self.hosts = [Host("host1", self.environment)]

    @property
    def host(self) -> Host:
        """The first, which is always there."""
        return self.hosts[0]

    def second(self, prefix: list[str] | None = None) -> Host:
        """Another host, started."""
        host = Host("host2", self.environment)
        host.prefix = prefix or []
        self.hosts.append(host)
        host.start()
        return host

    def dismiss_second(self) -> None:
        """Stop it in good order."""
        for host in self.hosts[1:]:
            host.stop()
        del self.hosts[1:]

    def keep(self) -> None:
        """The service manager's round. What does not start, on a full disk say, is tried again in the next one."""
        for host in self.hosts:
            host.keep()
        if self.postgres and self.postgres.process and self.postgres.process.poll() is not None:
            with suppress(RuntimeError):
                self.start_postgres()

    def close(self) -> None:
        """Stop everything."""
        for host in self.hosts:
            host.stop()
        for service in (self.sink, self.redis, self.link):
            if service is not None:
                service.kill()
                service.wait()
        if self.postgres is not None:
            self.postgres.stop(signal.SIGQUIT)
        for name, mounted in self.disks.items():
            if mounted:
                subprocess.run(["umount", "-l", str(self.directory / name)], check=False)

    # Services

    def start_sink(self, behaviour: str = "accept") -> None:
        """Start the sink, again at the same port."""
        command = [sys.executable, "-m", "tests.sink", "--fsync", "--dir", str(self.directory / "sink"), "--behaviour"]
        command += [behaviour, "--port", str(self.sink_port), "--address", self.sink_address]
        self.sink = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=with_parent)
        assert self.sink.stdout
        assert self.sink.stdout.readline().startswith("ready")

    def kill_sink(self) -> None:
        """The mail server dies."""
        assert self.sink
        self.sink.kill()
        self.sink.wait()

    def mood(self, behaviour: str) -> None:
        """Tell the sink how to behave."""
        set_behaviour(self.directory / "sink", behaviour)

    def noted(self) -> int:
        """Octets of the sink's notes: they grow with every message."""
        log = self.directory / "sink" / LOG
        return log.stat().st_size if log.exists() else 0

    def start_postgres(self) -> None:
        """Start PostgreSQL; its clock can be set too. It may need some tries after a crash."""
        assert self.postgres
        self.postgres.process = None
        self.postgres.start(os.environ | self.preload)

    def stop_postgres(self) -> None:
        """As a crash does: no farewell, nothing flushed."""
        assert self.postgres
        self.postgres.stop(signal.SIGQUIT)

    def _start_database(self) -> str:
        if self.database == "sqlite":
            return f"sqlite:///{self.directory}/data/db.sqlite3"
        program = find_program("postgres")
        if program is None:
            raise CannotBe("PostgreSQL's server programs are not installed")
        addresses = f"localhost,{NETWORK}.1"  # the second appears with the cable
        self.postgres = Postgres(program, self.directory / "data", durable=True, listen=addresses)
        with (self.postgres.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"\nhost all all {NETWORK}.0/24 trust\n")
        self.start_postgres()
        return f"{self.postgres.url}postgres"

    def _start_broker(self) -> str:
        if self.broker != "redis":
            return ""
        program = find_program("redis-server")
        if program is None:
            raise CannotBe("redis-server is not installed")
        port = free_port()
        flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.redis = subprocess.Popen([program, *flags], stdout=subprocess.DEVNULL, preexec_fn=with_parent)
        return f"redis://127.0.0.1:{port}/0"

    # What can be done to the machine

    def fill(self, disk: str) -> Callable[[], None]:
        """Leave no octet on a disk ("data" or "journals"). Out: what empties it again. Raises CannotBe."""
        if not self.disks[disk]:
            raise CannotBe("small disks cannot be mounted here")
        ballast = self.directory / disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1 << 4):
                try:
                    while file.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass
        return ballast.unlink

    def set_clock(self, seconds: int) -> None:
        """So far from the true time, at once and for all processes. Raises CannotBe."""
        if not self.preload:
            raise CannotBe("a C compiler is needed to set clocks")
        with Path(self.preload["CLOCK_FILE"]).open("r+b") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))

    def lay_cable(self) -> list[str]:
        """A network namespace with a cable to this one. Out: the prefix of commands that run there. Raises CannotBe."""
        if not shutil.which("ip") or subprocess.run(["unshare", "-n", "true"], check=False).returncode:
            raise CannotBe("network namespaces are not allowed here, or `ip` is missing")
        self.link = subprocess.Popen(["unshare", "-n", "sleep", "infinity"], preexec_fn=with_parent)
        there = ["nsenter", "-t", str(self.link.pid), "-n"]
        own, new = Path("/proc/self/ns/net").readlink(), Path(f"/proc/{self.link.pid}/ns/net")
        wait(lambda: new.readlink() != own, 5)
        for line in (
            f"ip link add torture0 type veth peer name torture1 netns {self.link.pid}",
            f"ip addr add {NETWORK}.1/24 dev torture0",
            "ip link set torture0 up",
            f"{' '.join(there)} ip addr add {NETWORK}.2/24 dev torture1",
            f"{' '.join(there)} ip link set torture1 up",
            f"{' '.join(there)} ip link set lo up",
        ):
            if subprocess.run(line.split(), check=False).returncode:
                raise CannotBe(f"the network cannot be laid here: {line}")
        return there

    def cable(self, state: str) -> None:
        """`down` cuts it without a word to either end, `up` heals it."""
        subprocess.run(["ip", "link", "set", "torture0", state], check=True)


def with_parent() -> None:
    """For a child before it becomes its program: SIGTERM once we are gone, however we went."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def children(pid: int) -> list[int]:
    """A process's children, oldest first."""
    try:
        return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []


def wait(condition: Callable[[], Any], seconds: float, pause: float = 0.02) -> None:
    """Until it is true. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not happen within {seconds:.0f} s")
        time.sleep(pause)


def _disk(place: Path, megabytes: int) -> bool:
    """Make the directory, as a disk of its own if that is allowed. Out: whether it is."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(place)]
    quiet = subprocess.DEVNULL
    return os.geteuid() == 0 and not subprocess.run(command, check=False, stderr=quiet).returncode


def own_clock(directory: Path) -> dict[str, str]:
    """The environment of processes whose clock can be set; {} without a compiler."""
    compiler, library, file = find_program("gcc"), directory / "clock.so", directory / "clock"
    if compiler is None:
        return {}
    source = str(Path(__file__).with_name("clock.c"))
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), source], check=True)
    file.write_bytes(bytes(8))
    return {"LD_PRELOAD": str(library), "CLOCK_FILE": str(file)}
