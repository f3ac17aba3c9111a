"""The files in config/deploy/, run by the servers that they are written for: Postfix, nginx, PostgreSQL, Redis."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import smtplib
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from tests.postfix import may_run, running_postfix, wait_until
from tests.postgres import Postgres, free_port

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "config" / "deploy"
Service = Callable[[str], str]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not may_run(), reason="these servers want to be started by root")]


def wait_for(port: int) -> None:
    """Until somebody listens on that port of the loopback."""
    for _ in range(200):
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"nobody listens on port {port}")


# --- Postfix: bounces by pipe -----------------------------------------------------------------------------------------

# Stands for manage.py, so that the test sees what Postfix hands over; a stranger may not enter the test's own folders.
RECORDER = """
import json, os, sys, time
taken = {"argv": sys.argv[1:], "file": os.environ.get("ENVIRONMENT_FILE"), "mail": sys.stdin.read()}
with open(f"taken/{time.time_ns()}", "w") as file:
    json.dump(taken, file)
"""
TOKENLIKE = "b-" + "a" * 24 + "@bounces.test"
HOSTILE = [
    '"a b; touch ran"@bounces.test',
    '"$(touch ran)"@bounces.test',
    "`touch`|ran&@bounces.test",
    '"x --pythonpath=/tmp"@bounces.test',
]
REFUSED = ["-x@bounces.test", '"--help"@bounces.test']  # by Postfix itself (allow_min_user)


def pipe_lines(place: Path) -> str:
    """The line of postfix-master.cf, in the test's folder and as a user that is there."""
    text = (DEPLOY / "postfix-master.cf").read_text().replace("/srv/back-office/.venv/bin/python", "/usr/bin/python3")
    return text.replace("/srv/back-office", str(place)).replace("user=back-office", "user=nobody")


@pytest.fixture
def entered() -> Iterator[Path]:
    """A folder that other users may enter, as they may not pytest's own."""
    with tempfile.TemporaryDirectory(prefix="deliveries-deploy-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_postfix_hands_a_bounce_over_by_the_pipe_whatever_its_address_says(service: Service, entered: Path) -> None:
    (entered / "manage.py").write_text(RECORDER)
    (entered / "taken").mkdir()
    (entered / "taken").chmod(0o777)
    main = "".join(re.findall(r"^office_.*\n", (DEPLOY / "postfix-main.cf").read_text(), re.M))
    with running_postfix(service("postfix"), main=main, master=pipe_lines(entered)) as postfix:
        with smtplib.SMTP("127.0.0.1", postfix.port) as client:
            client.sendmail("", [TOKENLIKE, *HOSTILE], "Subject: failed\r\n\r\nno such user\r\n")
            assert [*client.sendmail("", [TOKENLIKE, *REFUSED], "\r\nx")] == REFUSED
        wait_until(lambda: len(list((entered / "taken").iterdir())) == 2 + len(HOSTILE), 30)
        assert "unknown macro" not in postfix.log() and "fatal" not in postfix.log()
    taken = [json.loads(path.read_text()) for path in (entered / "taken").iterdir()]
    assert {one["file"] for one in taken} == {"/etc/back-office.env"}
    assert {tuple(one["argv"]) for one in taken} == {
        ("bounce_pipe", f"--recipient={address}") for address in (TOKENLIKE, *HOSTILE)
    }
    assert all(one["mail"].startswith("Return-Path: <>") for one in taken)
    assert kept_by_the_office(entered, taken) == sorted(one["argv"][1].removeprefix("--recipient=") for one in taken)
    assert not list(entered.rglob("ran")) and not (ROOT / "ran").exists()


def kept_by_the_office(place: Path, taken: list[dict[str, Any]]) -> list[str]:
    """Run our command as Postfix would: all that it knows of the deployment stands in the environment file. Out: the
    envelope recipients of the mails that it has kept."""
    (place / "environment").write_text(
        f"SECRET_KEY='$(touch ran){'s' * 60}'\nDATABASE_URL=sqlite:///{place}/db.sqlite3\nDATA_DIR={place}/data\n"
    )
    own = {"PATH": os.environ["PATH"], "ENVIRONMENT_FILE": str(place / "environment")}
    for arguments, mail in ((["migrate", "-v0"], ""), *((one["argv"], one["mail"]) for one in taken)):
        subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=own, input=mail, text=True, check=True)
    with sqlite3.connect(place / "db.sqlite3") as database:
        return sorted(row[0] for row in database.execute("SELECT recipient FROM deliveries_rawreport"))


# --- nginx ------------------------------------------------------------------------------------------------------------

SECRET = "s3cretsecretsecretsecret"


class Upstream(BaseHTTPRequestHandler):
    """Stands for gunicorn, and remembers what it was asked."""

    seen: list[tuple[str, Message]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers))
        self.send_response(200)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def authority(place: Path, name: str = "authority") -> None:
    """A certificate for localhost and its authority, as somebody who runs the office would make them."""
    run = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    own = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(place / f"{name}.key"), "-out", str(place / f"{name}.pem")]
    subprocess.run([*run, *own, *files], check=True, capture_output=True)


@contextmanager
def running_nginx(program: str, place: Path, upstream: int) -> Iterator[tuple[int, int]]:
    """nginx with the site of nginx.conf before `upstream`. Out: its ports for HTTPS and HTTP."""
    authority(place)
    secure, plain = free_port(), free_port()
    site = (DEPLOY / "nginx.conf").read_text()
    for old, new in (
        ("listen 443", f"listen 127.0.0.1:{secure}"),
        ("listen 80", f"listen 127.0.0.1:{plain}"),
        ("/etc/ssl/office.example", str(place / "authority")),
        ("/var/log/nginx", str(place)),
        ("127.0.0.1:8000", f"127.0.0.1:{upstream}"),
    ):
        assert old in site
        site = site.replace(old, new)
    (place / "site.conf").write_text(site)
    whole = (
        f"daemon off; pid {place}/pid; error_log {place}/main.log; events {{}} http {{ include {place}/site.conf; }}"
    )
    (place / "nginx.conf").write_text(whole)
    process = subprocess.Popen([program, "-p", str(place), "-c", str(place / "nginx.conf")])
    try:
        wait_for(secure)
        yield secure, plain
    finally:
        process.terminate()
        process.wait(20)


def ask(port: int, path: str, method: str = "GET", **headers: str) -> int:
    """The status that nginx answers."""
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    connection.request(method, path, headers={"Host": "office.example", **headers})
    return connection.getresponse().status


def test_nginx_passes_on_what_it_should_and_no_log_has_a_secret_or_an_address(service: Service, tmp_path: Path) -> None:
    Upstream.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    doors = [
        f"/t/c/{SECRET}/3",
        f"/t/u/{SECRET}",
        f"/proof/{SECRET}/",
        f"/feedback/mailgun/{SECRET}/",
        f"/%74/m/{SECRET}",
    ]
    with running_nginx(service("nginx"), tmp_path, server.server_address[1]) as (secure, _plain):
        for door in doors:
            assert ask(secure, door, "POST", **{"X-Forwarded-For": "203.0.113.9"}) == 200
        assert (
            ask(secure, f"/admin/?address={SECRET}@example.com", Referer=f"https://office.example/t/m/{SECRET}") == 200
        )
        assert ask(secure, "/metrics") == 404
        server.shutdown()
        server.server_close()
        assert all(ask(secure, door) == 502 for door in doors)  # an error is logged with the request, too
        assert ask(secure, "/admin/") == 502
    assert {headers["X-Forwarded-For"] for _path, headers in Upstream.seen} == {"127.0.0.1"}
    assert [path for path, _headers in Upstream.seen][:4] == doors[:4]
    written = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert SECRET not in written and "example.com" not in written
    assert '"POST /t/c/- HTTP/1.1" 200' in written and '"POST /feedback/mailgun/- HTTP/1.1" 200' in written
    assert "/admin/" in written and "upstream" in written  # what has no secret is told in full


# --- PostgreSQL and Redis for other hosts -----------------------------------------------------------------------------


@contextmanager
def running(command: list[str], port: int, **how: Any) -> Iterator[None]:
    """A server, once it listens, until the end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **how)
    try:
        wait_for(port)
        yield
    finally:
        process.terminate()
        process.wait(20)


def healthy(part: str, **environment: str) -> bool:
    """What `manage.py health` says of one part under this environment."""
    command = [sys.executable, "manage.py", "health", "--parts", part]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    return done.returncode == 0


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """authority.pem and authority.key, and another one's that nobody should trust."""
    for name in ("authority", "other"):
        authority(tmp_path, name)
    return tmp_path


def test_redis_takes_other_hosts_by_tls_alone(service: Service, certificates: Path) -> None:
    told = yaml.safe_load((DEPLOY / "compose.shared.yaml").read_text())["services"]["redis"]["command"][-1]
    port = free_port()
    command = told.replace("$$(cat /run/secrets/broker_password)", "password").replace("6379", str(port))
    for secret, file in (("certificate", "authority.pem"), ("key", "authority.key"), ("authority", "authority.pem")):
        command = command.replace(f"/run/secrets/tls_{secret}", str(certificates / file))
    command = command.replace("redis-server", f"{service('redis-server')} --bind 127.0.0.1")
    with running(["sh", "-c", command], port):
        url = f"rediss://:password@localhost:{port}/0?ssl_ca_certs={certificates}/"
        assert healthy("broker", BROKER_URL=f"{url}authority.pem")
        assert not healthy("broker", BROKER_URL=f"{url}other.pem")
        assert not healthy("broker", BROKER_URL=f"redis://:password@localhost:{port}/0")


def test_postgresql_takes_other_hosts_by_tls_alone(service: Service, entered: Path, certificates: Path) -> None:
    server = Postgres(service("postgres"), entered)
    server.start()
    with psycopg.connect(f"{server.url}postgres", autocommit=True) as connection:
        connection.execute("CREATE ROLE office LOGIN PASSWORD 'password'")
        connection.execute("CREATE DATABASE office OWNER office")
    server.stop()
    shutil.copy(DEPLOY / "postgres-hba.conf", server.data / "office_hba.conf")
    shutil.copy(certificates / "authority.pem", server.data)
    key = Path(shutil.copy(certificates / "authority.key", server.data))
    key.chmod(0o640)  # as compose.shared.yaml says: root's, and readable for the server's group
    shutil.chown(key, "root", "nogroup")
    for name in ("office_hba.conf", "authority.pem"):
        (server.data / name).chmod(0o644)
    given = (
        "ssl=on",
        "ssl_cert_file=authority.pem",
        "ssl_key_file=authority.key",
        f"hba_file={server.data}/office_hba.conf",
    )
    command = [*server.command, *(word for option in given for word in ("-c", option))]
    url = f"postgres://office:password@localhost:{server.port}/office?sslmode="
    with running(command, server.port, cwd=entered, user="nobody", group="nogroup"):
        assert healthy("database", DATABASE_URL=f"{url}verify-full&sslrootcert={certificates}/authority.pem")
        assert not healthy("database", DATABASE_URL=f"{url}verify-full&sslrootcert={certificates}/other.pem")
        assert not healthy("database", DATABASE_URL=f"{url}disable")
