"""The simulator's recipients: the same ones each time, machines among them, and nothing asked of strangers."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from config.dev.simulator.reader_behaviour import SOONEST, acts, letter
from config.dev.simulator.readers import Readers, reading
from config.dev.simulator.verdicts import Entry, Verdict

TOKEN = "abcdefghijklmnopqrstuvwx"


def html(base: str) -> str:
    links = "".join(f'<a href="{base}/t/c/{TOKEN}/{n}">x</a>' for n in range(4))
    return (
        f'{links}<a href="{base}/t/m/{TOKEN}">m</a><a href="{base}/t/u/{TOKEN}">u</a><img src="{base}/t/o/{TOKEN}.gif">'
    )


def mail(base: str) -> bytes:
    return f"Subject: s\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html(base)}".encode()


def entry(address: str) -> Entry:
    return Entry(0, "", "", address, "", Verdict.ACCEPTED, "250", 1)


def test_the_addresses_of_a_letter_are_found() -> None:
    found = letter(html("http://a.example:8000"))
    assert (found.base, found.pixel) == ("http://a.example:8000", f"/t/o/{TOKEN}.gif")
    assert [number for number, _ in found.links] == [0, 1, 2, 3]
    assert letter("<a href='https://example.com/'>x</a>").base == ""


def test_people_and_machines_do_the_same_each_time_and_the_seed_changes_them() -> None:
    what = letter(html("http://a.example"))
    every = {seed: [act for n in range(500) for act in acts(f"u{n}@example.com", what, seed)] for seed in (1, 2)}
    assert every[1] == [act for n in range(500) for act in acts(f"u{n}@example.com", what, 1)] != every[2]
    kinds = Counter(act.who for act in every[1])
    assert set(kinds) == {"person", "gateway", "sandbox", "checker", "apple", "prefetch", "preview", "sly"}
    late = [act.after >= SOONEST for act in every[1] if act.who == "person"]
    assert sum(late) / len(late) > 0.95


@pytest.fixture
def door() -> Any:
    """A web server that remembers who asked for what."""
    asked: list[tuple[str, str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append((self.command, self.path, self.headers["User-Agent"]))
            self.send_response(302)
            self.send_header("Location", "http://stranger.example/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_what_they_do_is_in_the_record_and_strangers_are_left_alone(
    door: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, asked = door
    monkeypatch.setattr("config.dev.simulator.reader_behaviour.SOONEST", 0.1)
    address = next(
        f"u{n}@example.com"
        for n in range(999)
        if {a.who for a in acts(f"u{n}@example.com", letter(html(base)), 7, 1e6)} == {"gateway"}
    )
    with reading(Readers(base, tmp_path / "r", haste=1e6)) as readers:
        readers(entry(address), mail("http://stranger.example"))
        readers(entry(address), mail(base))
        end = time.monotonic() + 20
        while len(asked) < 6 and time.monotonic() < end:
            time.sleep(0.05)
    lines = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    assert len(lines) == len(asked) == 6
    assert {(line["address"], line["status"], line["machine"]) for line in lines} == {(address, 302, True)}
