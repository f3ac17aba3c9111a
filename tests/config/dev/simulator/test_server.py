"""The simulator over real sockets: what it answers, what it keeps, what a restart remembers."""

import asyncio
import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.dev.simulator.server import CannotServe, Config, Running, running
from config.dev.simulator.smtp import Session
from config.dev.simulator.store import Store
from config.dev.simulator.verdicts import Entry, Personality, Verdict

MESSAGE = "From: news@example.org\r\nMessage-ID: <1@example.org>\r\nSubject: Hello\r\n\r\nHello.\r\n.dot\r\n"


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Running]:
    with running(Config(tmp_path)) as up:
        yield up


def send(simulator: Running, recipient: str, message: str = MESSAGE) -> int:
    """The code that the recipient was answered with; 0 when the line dropped."""
    with smtplib.SMTP(simulator.host, simulator.smtp_port, timeout=10) as client:
        try:
            client.sendmail("b-1@example.org", [recipient], message)
        except smtplib.SMTPRecipientsRefused as refused:
            return refused.recipients[recipient][0]
        except smtplib.SMTPResponseException as refused:
            return refused.smtp_code
        except smtplib.SMTPServerDisconnected:
            return 0
    return 250


def talk(simulator: Running, *parts: bytes) -> list[bytes]:
    """All answers until the server hangs up, to parts that are sent one packet each."""
    with socket.create_connection((simulator.host, simulator.smtp_port), timeout=10) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            line.sendall(part)
        return b"".join(iter(lambda: line.recv(65_536), b"")).splitlines()


def codes(replies: list[bytes]) -> list[bytes]:
    return [reply[:3] for reply in replies if reply[3:4] == b" "]


# The words


@pytest.mark.parametrize(
    ("address", "verdicts"),
    [
        ("ok.ann@example.com", "accepted accepted"),
        ("unknown.ann@example.com", "unknown unknown unknown"),
        ("Unknown@example.com", "unknown"),
        ("ann+full@example.com", "full full"),
        ("spam.ann@example.com", "spam spam"),
        ("unknown2.ann@example.com", "unknown unknown accepted"),
        ("ann+busy3@example.com", "busy busy busy accepted"),
        ("drop.ann@example.com", "drop accepted"),
        ("lost.ann@example.com", "lost accepted"),
        ("doubt.ann@example.com", "doubt accepted"),
        ("closing.ann@example.com", "closing accepted"),
        ("fullerton@example.com", "accepted"),
        ("ann.full@unknown.example.com", "accepted"),
        ("postmaster", "accepted"),
    ],
)
def test_the_word_and_the_attempt_decide(address: str, verdicts: str) -> None:
    personality = Personality(unknown=0, busy=0)
    got = [personality.verdict(address, attempt + 1) for attempt in range(len(verdicts.split()))]
    assert got == verdicts.split()


@given(st.integers(), st.emails())
def test_a_busy_address_accepts_at_the_second_or_third_attempt(seed: int, address: str) -> None:
    verdicts = [Personality(seed).verdict(f"busy.{address}", attempt) for attempt in (1, 2, 3)]
    assert verdicts[0] == "busy"
    assert verdicts[2] == "accepted"


def test_the_seed_picks_its_shares_and_always_the_same_addresses() -> None:
    addresses = [f"user{number}@example.com" for number in range(20_000)]
    first, again, other = ([Personality(seed).verdict(address, 1) for address in addresses] for seed in (7, 7, 8))
    assert first == again != other
    assert set(first) == {"accepted", "unknown", "busy"}
    assert 250 < first.count(Verdict.UNKNOWN) < 350
    assert 150 < first.count(Verdict.BUSY) < 250


# The line


@pytest.mark.parametrize(
    ("word", "answers"),
    [
        ("ok", [250]),
        ("unknown", [550, 550]),
        ("full", [552]),
        ("spam", [554]),
        ("busy2", [452, 452, 250, 452]),
        ("closing", [421, 250]),
        ("drop", [0, 250]),
        ("lost", [0, 250]),
        ("doubt", [0, 250]),
    ],
)
def test_an_address_is_answered_by_its_word(simulator: Running, word: str, answers: list[int]) -> None:
    assert [send(simulator, f"{word}.ann@example.com") for _ in answers] == answers


def test_what_is_accepted_is_kept_byte_for_byte(simulator: Running) -> None:
    send(simulator, "ok.ann@example.com")
    kept = simulator.store.find("OK.ann@example.com")
    assert kept is not None
    head = b"Return-Path: <b-1@example.org>\r\nDelivered-To: ok.ann@example.com\r\n"
    assert kept.read_bytes() == head + MESSAGE.encode()


def test_a_line_that_drops_keeps_the_message_only_where_it_is_in_doubt(simulator: Running) -> None:
    for word in ("drop", "lost", "doubt"):
        send(simulator, f"{word}.ann@example.com")
    assert list(simulator.store.accepted()) == ["doubt.ann@example.com"]


def test_a_pipelined_batch_is_answered_in_order(simulator: Running) -> None:
    envelope = "MAIL FROM:<b@example.org> RET=HDRS ENVID=DM1\r\nRCPT TO:<%s> NOTIFY=FAILURE\r\nDATA\r\n"
    batch = "EHLO x\r\n" + envelope % "ok.1@example.com" + MESSAGE.replace("\r\n.", "\r\n..") + ".\r\n"
    batch += envelope % "unknown.2@example.com" + "RSET\r\n"
    batch += envelope % "ok.3@example.com" + ".\r\nQUIT\r\n"
    replies = talk(simulator, batch.encode())
    assert b" ".join(codes(replies)) == (b"220 250 250 250 354 250 250 550 554 250 250 250 354 250 221")
    assert {b"250-PIPELINING", b"250-SMTPUTF8", b"250-DSN", b"250-8BITMIME"} < set(replies)
    assert simulator.store.entry(0).dsn == {"RET": "HDRS", "ENVID": "DM1", "NOTIFY": "FAILURE"}
    assert [entry.size for entry in simulator.store.entries()] == [0, 0, len(MESSAGE)]


class Written(asyncio.Transport):
    """A line without a socket, so that a test can cut the stream where it wants."""

    def __init__(self) -> None:
        super().__init__()
        self.replies = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.replies += data


@given(st.lists(st.integers(0, 170)))
@example(list(range(170)))
def test_where_the_stream_is_cut_makes_no_difference(cuts: list[int]) -> None:
    envelope = b"MAIL FROM:<>\r\nRCPT TO:<ok@example.com>\r\nDATA\r\n"
    stream = b"HELO x\r\n" + envelope + b"..a\r\n.\r\n" + envelope + b".\r\n" + envelope + b"b\r\n\r\n.\r\n"
    with TemporaryDirectory() as directory, Store(Path(directory)) as store:
        session, line = Session(Personality(), store, set(), 1_000), Written()
        session.connection_made(line)
        for begin, end in pairwise(sorted({0, *cuts, len(stream)})):
            session.data_received(stream[begin:end])
        assert codes(line.replies.splitlines()) == [b"220", b"250", *[b"250", b"250", b"354", b"250"] * 3]
        assert [entry.size for entry in store.entries()] == [5, 0, 4]


def test_a_421_reaches_a_client_that_goes_on_sending(simulator: Running) -> None:
    envelope = b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<closing@example.com>\r\n"
    assert codes(talk(simulator, envelope, b"NOOP\r\n" * 1_000_000)) == [b"220", b"250", b"250", b"421"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (b"RCPT TO:<ok@example.com>\r\n", b"503"),
        (b"DATA\r\n", b"503"),
        (b"MAIL FROM:<a@example.org> SIZE=99999999\r\n", b"552"),
        (b"MAIL FROM:<a@example.org> BODY=9BIT\r\n", b"501"),
        (b"MAIL FROM:<a@example.org> COLOUR=red\r\n", b"555"),
        (b"MAIL FROM:a@example.org\r\n", b"501"),
        ("MAIL FROM:<é@example.org>\r\n".encode(), b"553"),
        (b"NOOP\n", b"500"),
        (b"X" * 3_000, b"500"),
        (b"BDAT 3\r\n", b"500"),
    ],
)
def test_a_command_that_breaks_the_rules_is_refused(simulator: Running, command: bytes, code: bytes) -> None:
    assert codes(talk(simulator, b"EHLO x\r\n", command + b"\r\nQUIT\r\n"))[2] == code


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        (b"a\nb\r\n", b"554 5.6.0 Bare CR or LF in the message"),
        (b"x" * 999 + b"\r\n", b"554 5.6.0 Line over 998 octets in the message"),
        (b"x" * 998 + b"\r\n", b"250 2.0.0 Kept"),
        (b"." + b"x" * 998 + b"\r\n", b"250 2.0.0 Kept"),
        ((b"x" * 70 + b"\r\n") * 3_000, b"552 5.3.4 Message too big"),
    ],
)
def test_a_message_that_breaks_the_format_is_refused(tmp_path: Path, body: bytes, reply: bytes) -> None:
    envelope = b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<ok@example.com>\r\nDATA\r\n"
    with running(Config(tmp_path, max_size=100_000)) as simulator:
        assert talk(simulator, envelope + body + b".\r\nQUIT\r\n")[-2] == reply


def test_a_hook_gets_each_kept_message_before_its_answer(tmp_path: Path) -> None:
    got: list[tuple[Entry, bytes]] = []
    personality = Personality(after_acceptance=(lambda entry, message: got.append((entry, message)),))
    with running(Config(tmp_path, personality=personality)) as simulator:
        send(simulator, "unknown.bob@example.com")
        send(simulator, "ok.ann@example.com")
    assert [(entry.message_id, message) for entry, message in got] == [("<1@example.org>", MESSAGE.encode())]


# The store


def test_a_restart_remembers_totals_mail_and_attempts(tmp_path: Path) -> None:
    with running(Config(tmp_path)) as simulator:
        send(simulator, "ok.ann@example.com")
        send(simulator, "busy1.bob@example.com")
    with running(Config(tmp_path)) as simulator:
        assert send(simulator, "busy1.bob@example.com") == 250
        counts = simulator.store.counts()
        assert (counts[Verdict.ACCEPTED], counts[Verdict.BUSY], sum(counts.values())) == (2, 1, 3)
        assert simulator.store.find("ok.ann@example.com")


def test_a_torn_last_line_is_cut(tmp_path: Path) -> None:
    with running(Config(tmp_path)) as simulator:
        send(simulator, "ok.ann@example.com")
    log = tmp_path / "transactions.jsonl"
    with log.open("a") as file:
        file.write('{"number": 1, "recip')
    with running(Config(tmp_path)) as simulator:
        send(simulator, "ok.bob@example.com")
    assert [json.loads(line)["number"] for line in log.read_text().splitlines()] == [0, 1]


def test_entries_are_paged_by_key_and_searched_by_recipient(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for number in range(5_000):
            name = "Zoë.Quill" if number in (3, 4_000) else f"user{number}"
            store.record(sender="", recipient=f"{name}@example.com", verdict=Verdict.FULL, reply="552", dsn={})
        assert [entry.number for entry in store.page(3, before=2_001)] == [2_000, 1_999, 1_998]
        assert [entry.number for entry in store.entries(recipient="zoë.q")] == [4_000, 3]
        assert store.page(1, verdict=Verdict.ACCEPTED) == []
    with Store(tmp_path, read_only=True) as reader:
        assert len(reader) == 5_000


# Starting and stopping


def test_what_cannot_be_served_is_said_in_a_line(simulator: Running, tmp_path: Path) -> None:
    for config, reason in (
        (Config(tmp_path / "b", smtp_port=simulator.smtp_port), "is taken"),
        (Config(tmp_path / "b", http_port=simulator.http_port), "is taken"),
        (Config(tmp_path), "another simulator"),
        (Config(tmp_path / "b", host="0.0.0.0"), "not a loopback address"),
    ):
        with pytest.raises(CannotServe, match=reason), running(config):
            pass


def test_the_command_serves_without_a_database_until_a_signal(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "simulator", "--http-port=0", "--dir"]
    environment = os.environ | {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}
    first = subprocess.Popen(
        [*command, tmp_path / "a", "--smtp-port=0"], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert first.stdout
    with first.stdout:
        port = first.stdout.readline().split(",")[0].rpartition(":")[2]
        second = subprocess.run(
            [*command, tmp_path / "b", f"--smtp-port={port}"], capture_output=True, env=environment, text=True
        )
        first.send_signal(signal.SIGTERM)
        assert first.wait(10) == 0
    assert (second.returncode, second.stderr) == (1, f"CommandError: port {port} of 127.0.0.1 is taken\n")
