"""The simulator's pages, asked over HTTP: whatever a message holds, it shows and cannot act."""

import http.client
import json
import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from config.dev.simulator.server import Config, Running, running
from config.dev.simulator.stored_mail import read
from config.dev.simulator.verdicts import Verdict

HOSTILE = "<script>alert('x')</script>\"&"


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Running]:
    with running(Config(tmp_path)) as up:
        yield up


def keep(simulator: Running, recipient: str, message: bytes, verdict: Verdict = Verdict.ACCEPTED) -> None:
    simulator.store.record(
        sender=f"{HOSTILE}@example.org",
        recipient=recipient,
        verdict=verdict,
        reply=HOSTILE,
        dsn={"ENVID": HOSTILE},
        message=message,
    )


def hostile_message() -> bytes:
    message = EmailMessage()
    message["Subject"] = HOSTILE
    message["From"] = "news@example.org"
    message["X-Evil"] = HOSTILE
    message.set_content(HOSTILE)
    message.add_alternative(
        f"<p>{HOSTILE}<a href='https://example.org/?a=1&b=\"'>{HOSTILE}</a><a href='javascript:alert(1)'>no</a></p>",
        subtype="html",
    )
    message.add_attachment(b"1", maintype="text", subtype="csv", filename=f"{HOSTILE}.csv")
    return message.as_bytes()


def get(simulator: Running, path: str, host: str | None = None) -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(simulator.host, simulator.http_port, timeout=10)
    connection.request("GET", path, headers={"Host": host} if host else {})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body, response.headers


def test_nothing_of_a_message_becomes_markup(simulator: Running) -> None:
    keep(simulator, f"{HOSTILE}@example.com", hostile_message())
    for path in ("/", "/mail/0", "/?q=%3Cscript%3E%22", "/addresses", "/nowhere%3Cscript%3E"):
        _, body, headers = get(simulator, path)
        assert "<script" not in body
        assert "javascript:" not in body
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")


def test_the_html_part_is_framed_without_any_right(simulator: Running) -> None:
    keep(simulator, "ann@example.com", hostile_message())
    assert '<iframe sandbox="" src="/mail/0/html"' in get(simulator, "/mail/0")[1]
    _, body, headers = get(simulator, "/mail/0/html")
    assert HOSTILE in body
    policy = headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "style-src 'unsafe-inline'", "sandbox"} <= set(policy)


def test_the_links_of_the_html_part_can_be_followed(simulator: Running) -> None:
    keep(simulator, "ann@example.com", hostile_message())
    followed = re.findall(r'<a href="(https?:[^"]*)"', get(simulator, "/mail/0")[1])
    assert followed == ["https://example.org/?a=1&amp;b=&quot;"]


def test_the_source_downloads_as_it_was_kept(simulator: Running) -> None:
    keep(simulator, "ann@example.com", b"Subject: x\r\n\r\ny\r\n")
    _, body, headers = get(simulator, "/mail/0/source")
    assert body.endswith("Delivered-To: ann@example.com\r\nSubject: x\r\n\r\ny\r\n")
    assert headers["Content-Disposition"] == 'attachment; filename="0.eml"'


def test_the_list_is_paged_and_searched(simulator: Running) -> None:
    for number in range(60):
        keep(simulator, f"user{number}@example.com", b"", Verdict.BUSY if number == 7 else Verdict.FULL)

    def shown(path: str) -> list[str]:
        return re.findall(r'href="/mail/(\d+)"', get(simulator, path)[1])

    assert shown("/") == [str(number) for number in range(59, 9, -1)]
    assert 'href="/?before=10">Older' in get(simulator, "/")[1]
    assert shown("/?before=10") == [str(number) for number in range(9, -1, -1)]
    assert shown("/?q=USER5%40") == ["5"]
    assert shown("/?verdict=busy") == ["7"]


def test_the_totals_are_there_for_people_and_programs(simulator: Running) -> None:
    keep(simulator, "ann@example.com", b"")
    assert json.loads(get(simulator, "/totals.json")[1])["accepted"] == 1
    assert ">accepted<b>1</b>" in get(simulator, "/")[1]


@pytest.mark.parametrize("path", ["/mail/1", "/mail/-1", "/mail/x", "/mail/0/html", "/mail/0/x", "/etc/passwd"])
def test_what_is_not_there_is_not_found(simulator: Running, path: str) -> None:
    keep(simulator, "ann@example.com", b"", Verdict.FULL)
    assert get(simulator, path)[0] == 404


def test_a_strangers_host_name_reads_nothing(simulator: Running) -> None:
    keep(simulator, "ann@example.com", b"")
    status, body, _ = get(simulator, "/", host="evil.example:80")
    assert (status, "ann@" in body) == (404, False)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no header at all",
        b"Subject: =?utf-9?q?x?=\r\nContent-Type: text/plain; charset=klingon\r\n\r\n\xff",
        b"Subject: \xff\xfe\r\nContent-Type: multipart/mixed\r\n\r\n--x",
        b"Content-Type: text/plain; charset=\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
        b"Content-Type: text/html\r\n\r\n<a href='http://[x'>y</a><a href='https://example.org'>",
    ],
)
def test_a_broken_message_is_shown_all_the_same(simulator: Running, raw: bytes) -> None:
    assert read(raw).header("Missing") == ""
    keep(simulator, "ann@example.com", raw)
    assert get(simulator, "/mail/0")[0] == 200
