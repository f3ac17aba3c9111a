"""Requests to addresses that people typed in never reach our own networks."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.core.web import safe_http

LOOPBACK = [ip_network("127.0.0.0/8")]


class Receiver(BaseHTTPRequestHandler):
    """Says what it was asked; /moved leads elsewhere, /slow drips, /large is endless."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = f"{self.headers['Host']} {self.headers.get('X-Signature')} {body.decode()}".encode()
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
        if self.path in ("/slow", "/large"):
            self.send_header("Connection", "close")
            self.end_headers()
            self._go_on(b"." if self.path == "/slow" else b"x" * 65536, 0.05 if self.path == "/slow" else 0)
            return
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def _go_on(self, piece: bytes, pause: float) -> None:
        try:
            for _ in range(400):
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(pause)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Nothing to say."""


@pytest.fixture
def receiver() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """names("10.0.0.1") makes every host lead there; gives the list of what was looked up."""

    def lead(*answers: str) -> list[str]:
        asked: list[str] = []
        rounds = iter(answers)
        real = socket.getaddrinfo

        def look_up(host: str, port: int, *also: Any, **more: Any) -> list[Any]:
            if host[0].isdecimal():
                return real(host, port, *also, **more)
            asked.append(host)
            return [(socket.AF_INET, 1, 6, "", (one, port)) for one in next(rounds, answers[-1]).split(",")]

        monkeypatch.setattr(safe_http.socket, "getaddrinfo", look_up)
        return asked

    return lead


@pytest.mark.parametrize(
    "address",
    """
    127.0.0.1 127.8.8.8 0.0.0.0 10.1.2.3 172.16.0.1 172.31.255.255 192.168.0.1 169.254.169.254 100.64.0.1
    100.100.100.200 168.63.129.16 192.0.0.192 198.18.0.1 224.0.0.1 255.255.255.255 240.0.0.1 ::1 :: fe80::1 fc00::1
    fd00:ec2::254 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 2002:7f00:1:: 2002:a9fe:a9fe:: 64:ff9b::7f00:1
    64:ff9b::a9fe:a9fe 2001:0:4136:e378:8000:63bf:80ff:fffe 2001:db8::1
    """.split(),  # noqa: SIM905 - a table
)
def test_no_address_off_the_public_internet_is_public(address: str) -> None:
    assert not safe_http.is_public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses_are_public(address: str) -> None:
    assert safe_http.is_public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_never_changes_the_verdict(inner: Any) -> None:
    for start in (0xFFFF << 32, 0x64FF9B << 96):
        assert safe_http.is_public(ip_address((start | int(inner)).to_bytes(16, "big"))) == safe_http.is_public(inner)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x.example/",
        "file:///etc/passwd",
        "//x.example/",
        "https://",
        "https://u:p@x.example/",
        "https://u@x.example/",
        "https://x.example:25/",
        "https://x.example:99999/",
        "https://x.example/a b",
        "https://x.example/\r\nX: y",
        "https://[fe80::1%25eth0]/",
        "https://[::1",
        "http://x.example/",
    ],
)
def test_what_is_no_plain_https_address_is_refused(url: str, names: Callable[..., list[str]]) -> None:
    names("93.184.216.34")
    with pytest.raises(safe_http.Forbidden):
        safe_http.judge(url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "127.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"]
)
def test_every_way_to_write_loopback_is_refused(host: str) -> None:
    with pytest.raises(safe_http.Forbidden, match="public internet"):
        safe_http.judge(f"https://{host}/")


def test_one_private_address_among_public_ones_is_enough_to_refuse(names: Callable[..., list[str]]) -> None:
    names("93.184.216.34,10.0.0.1")
    with pytest.raises(safe_http.Forbidden):
        safe_http.judge("https://mixed.example/")


def test_a_name_that_leads_elsewhere_the_second_time_is_not_looked_up_again(
    receiver: HTTPServer, names: Callable[..., list[str]], settings: Any
) -> None:
    settings.OUTGOING_ALLOW = LOOPBACK
    asked = names("127.0.0.1", "10.0.0.1")
    answer = safe_http.request("POST", f"http://hook.example:{receiver.server_port}/", body=b"{}")
    assert answer.status == 200 and asked.count("hook.example") == 1


def test_the_receiver_gets_body_headers_and_its_own_name(
    receiver: HTTPServer, names: Callable[..., list[str]], settings: Any
) -> None:
    settings.OUTGOING_ALLOW = LOOPBACK
    names("127.0.0.1")
    port = receiver.server_port
    answer = safe_http.request("POST", f"http://hook.example:{port}/", body=b"hello", headers={"X-Signature": "s"})
    assert answer.body == f"hook.example:{port} s hello".encode()


def test_a_redirect_is_an_answer_and_is_not_followed(receiver: HTTPServer, settings: Any) -> None:
    settings.OUTGOING_ALLOW = LOOPBACK
    answer = safe_http.request("POST", f"http://127.0.0.1:{receiver.server_port}/moved")
    assert answer.status == 302 and "169.254" in answer.headers["location"]


def test_an_answer_that_drips_is_cut_at_the_deadline(receiver: HTTPServer, settings: Any) -> None:
    settings.OUTGOING_ALLOW = LOOPBACK
    with pytest.raises(safe_http.NoAnswer, match="within"):
        safe_http.request("POST", f"http://127.0.0.1:{receiver.server_port}/slow", seconds=0.3)


def test_no_more_of_a_long_answer_is_read_than_the_limit(receiver: HTTPServer, settings: Any) -> None:
    settings.OUTGOING_ALLOW = LOOPBACK
    answer = safe_http.request("POST", f"http://127.0.0.1:{receiver.server_port}/large")
    assert len(answer.body) == safe_http.MOST_BYTES


def test_nobody_listening_is_no_answer_rather_than_a_fault(settings: Any) -> None:
    settings.OUTGOING_ALLOW = LOOPBACK
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    with pytest.raises(safe_http.NoAnswer):
        safe_http.request("POST", f"http://127.0.0.1:{port}/")


def test_tls_must_prove_the_host(
    receiver: HTTPServer, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTGOING_ALLOW = LOOPBACK
    pem = _certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    url = f"https://localhost:{receiver.server_port}/"
    with pytest.raises(safe_http.NoAnswer, match=r"(?i)certificate"):
        safe_http.request("POST", url)
    trusting = ssl.create_default_context(cafile=str(pem))
    monkeypatch.setattr(safe_http.ssl, "create_default_context", lambda: trusting)
    assert safe_http.request("POST", url).status == 200
    with pytest.raises(safe_http.NoAnswer, match=r"(?i)mismatch"):
        safe_http.request("POST", url.replace("localhost", "127.0.0.1"))


def _certificate(folder: Path, name: str) -> Path:
    pem = folder / "both.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
            "-addext",
            f"subjectAltName=DNS:{name}",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    pem.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return pem
