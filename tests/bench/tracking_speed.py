"""How fast opens and clicks are answered: gunicorn with two workers on a database of its own.

    .venv/bin/python -m tests.bench.tracking_speed [--seconds 10] [--rate 1500]

Requests leave at a fixed rate over a few connections that stay open; a latency counts from the moment when the request
was due, so that a server which falls behind shows. Then as fast as it goes. Client and server share the machine.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

CONNECTIONS = 16
ROOT = Path(__file__).resolve().parents[2]
CODE = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from campaigns.models import Audience, Brand, Campaign, Message
from deliveries.ledger.message_tokens import tokens
from deliveries.models import Routing
from tests.deliveries.sending.sending_rows import CONTENT, sending_delivery
brand = Brand.objects.create(label="A", sender_name="A", sender_address="a@example.com", sender_domains="example.com")
message = Message.objects.create(label="S", campaign=Campaign.objects.create(label="C"), brand=brand)
content = CONTENT | {"html": "<a href='https://example.com/%7Bx'>x</a>" * 10}
delivery = sending_delivery(message, Routing.objects.create(label="R"), 10_000, content=content)
signed = [tokens.sign(pk) for pk in delivery.sending_logs.values_list("pk", flat=True)]
print(*(one.pixel for one in signed))
print(*(one.link for one in signed))
"""


class Load:
    """Keeps connections busy with requests, and remembers how long each took."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self.port, self.requests, self.sent = port, requests, 0
        self.selector = selectors.DefaultSelector()
        self.idle: deque[socket.socket] = deque()
        self.due: dict[socket.socket, float] = {}
        self.part: dict[socket.socket, bytes] = {}
        self.took: list[float] = []
        for _ in range(CONNECTIONS):
            self.connect()

    def connect(self) -> None:
        made = socket.create_connection(("127.0.0.1", self.port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(made, selectors.EVENT_READ)
        self.idle.append(made)

    def run(self, seconds: float, rate: float) -> None:
        """`rate` requests a second for so long; 0: as many as are answered."""
        start = time.perf_counter()
        first = self.sent
        while (now := time.perf_counter()) - start < seconds:
            while self.idle and (not rate or now >= start + (self.sent - first) / rate):
                connection = self.idle.popleft()
                connection.sendall(self.requests[self.sent % len(self.requests)])
                self.due[connection] = start + (self.sent - first) / rate if rate else now
                self.sent += 1
            self.answers(0.0005)
        while self.due:
            self.answers(1.0)

    def answers(self, wait: float) -> None:
        for key, _ in self.selector.select(wait):
            connection: socket.socket = key.fileobj  # type: ignore[assignment]
            answer = self.part.pop(connection, b"") + connection.recv(65536)
            if not answer:
                assert connection not in self.due, "the server dropped a request"
                self.selector.unregister(connection)
                self.idle.remove(connection)
                self.connect()
                continue
            if not _complete(answer):  # gunicorn sends headers and body one after the other
                self.part[connection] = answer
                continue
            assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 302")), answer[:200]
            self.took.append(time.perf_counter() - self.due.pop(connection))
            self.idle.append(connection)


def _complete(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    return bool(end) and len(body) >= int(length or 0)


def serve(environment: dict[str, str], application: str) -> tuple[subprocess.Popen[bytes], int]:
    """gunicorn on a free port, answering."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = f"-m gunicorn {application} --bind 127.0.0.1:{port} --workers 2 --threads 4 --keep-alive 30"
    server = subprocess.Popen(
        [sys.executable, *command.split(), "--log-level", "warning", "--no-control-socket", "--chdir", str(ROOT)],
        env=environment,
    )
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.1)
    time.sleep(2)
    return server, port


def cpu(pid: int) -> float:
    """Seconds of processor time that a process and its children have used."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ticks = 0
    for one in [str(pid), *children]:
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(name: str, server: int, port: int, paths: list[str], seconds: float, rate: float) -> None:
    """Warm up, measure, print."""
    lines = "Host: 127.0.0.1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0\r\n\r\n"
    load = Load(port, [f"GET {path} HTTP/1.1\r\n{lines}".encode() for path in paths])
    load.run(1, 500)
    for asked in (rate, 0.0):
        load.took.clear()
        before, start = cpu(server), time.perf_counter()
        load.run(seconds, asked)
        elapsed, used = time.perf_counter() - start, cpu(server) - before
        times = sorted(load.took)
        middle, slow = times[len(times) // 2] * 1000, times[len(times) * 99 // 100] * 1000
        wanted = f"{asked:.0f}/s" if asked else "all"
        print(
            f"{name:7} asked {wanted:>7}: {len(times) / elapsed:6.0f}/s, median {middle:.2f} ms, "
            f"99 % {slow:.2f} ms, {used / len(times) * 1e6:.0f} µs of processor each"
        )


def main() -> None:
    """Prepare, serve, measure, stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=1500)
    parser.add_argument("--django", action="store_true", help="through Django's stack, without the door before it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "DATA_DIR": folder,
            "SECRET_KEY": "x" * 50,
            "HTTPS": "0",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "LOG_LEVEL": "WARNING",
            "TRACKING_PER_SECOND": "0",
            "LETTER_PER_SECOND": "0",  # all is from one address
        }
        said = subprocess.check_output([sys.executable, "-c", CODE], env=environment, cwd=ROOT, text=True)
        pixels, links = (line.split() for line in said.splitlines())
        server, port = serve(environment, "config.wsgi:_django" if options.django else "config.wsgi")
        try:
            opens = [f"/t/o/{token}.gif" for token in pixels]
            clicks = [f"/t/c/{token}/{n % 10}" for n, token in enumerate(links)]
            measure("opens", server.pid, port, opens, options.seconds, options.rate)
            measure("clicks", server.pid, port, clicks, options.seconds, options.rate)
        finally:
            server.terminate()
            server.wait(10)


if __name__ == "__main__":
    main()
