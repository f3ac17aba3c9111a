"""The witness must be right before anybody is judged by it."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sink import set_behaviour, sink, tally

from .behaviour import Behaviour
from .connection import Connection
from .server import Sink, in_a_thread


def message(number: int, to: str | None = None) -> str:
    return f"Message-ID: <{number}@example.org>\r\nTo: Ann <{to or f'user{number}@example.com'}>\r\n\r\nTo: x\r\n"


def transaction(number: int, to: str | None = None) -> bytes:
    envelope = f"MAIL FROM:<b@example.org>\r\nRCPT TO:<user{number}@example.com> NOTIFY=FAILURE\r\nDATA\r\n"
    return f"{envelope}{message(number, to)}.\r\n".encode()


def talk(port: int, sent: bytes) -> bytes:
    """All that comes back until the sink hangs up, or says nothing for a while."""
    with socket.create_connection(("127.0.0.1", port), timeout=0.3) as line:
        line.sendall(sent)
        got = b""
        try:
            while data := line.recv(65_536):
                got += data
        except (TimeoutError, ConnectionResetError):
            pass
        return got


def codes(got: bytes) -> str:
    return " ".join(line[:3].decode("latin-1") for line in got.splitlines())


@contextmanager
def here(directory: Path, behaviour: str = "accept", **options: bool) -> Iterator[int]:
    """A sink in a thread: its port."""
    with in_a_thread(directory, behaviour, **options) as served:
        yield served.port


@pytest.mark.parametrize("fsync", [False, True])
def test_pipelined_messages_are_noted_and_answered_in_order(tmp_path: Path, fsync: bool) -> None:
    with here(tmp_path, fsync=fsync) as port:
        got = talk(port, b"HELO x\r\n" + transaction(1) + transaction(2) + b"DATA\r\nQUIT\r\n")
    assert codes(got) == "220 250 250 250 354 250 250 250 354 250 554 221"
    assert (tmp_path / "accepted.log").read_text() == (
        "<1@example.org>\tuser1@example.com\tuser1@example.com\n<2@example.org>\tuser2@example.com\tuser2@example.com\n"
    )


def test_the_standard_client_is_understood(tmp_path: Path) -> None:
    with here(tmp_path) as port, smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail(
            "",
            ["user1@example.com"],
            "Subject: x\r\nmessage-id:\r\n <1@x>\r\nTO: =?utf-8?q?A?=\r\n <USER1@example.com>\r\n\r\n.",
        )
        assert client.has_extn("pipelining")
    noted = tally(tmp_path)
    assert (noted.accepted, dict(noted.message_ids), noted.mismatches) == (1, {"<1@x>": 1}, [])


def test_duplicates_and_mixed_up_bodies_are_found(tmp_path: Path) -> None:
    with here(tmp_path) as port:
        talk(port, transaction(1) + transaction(2) + transaction(1) + transaction(3, "bob@example.net") + b"QUIT\r\n")
    noted = tally(tmp_path)
    assert noted.duplicates == {"<1@example.org>": 2}
    assert noted.mismatches == [("<3@example.org>", "user3@example.com", "bob@example.net")]


@pytest.mark.parametrize(
    ("behaviour", "answers", "noted"),
    [
        ("temporary=100", "220 250 451 554 500 500 500 500 500 221", 0),
        ("full=100", "220 250 452 554 500 500 500 500 500 221", 0),
        ("refuse=100", "220 250 550 554 500 500 500 500 500 221", 0),
        ("temporary-dot=100", "220 250 250 354 451 221", 0),
        ("refuse-dot=100", "220 250 250 354 554 221", 0),
        ("lose=1", "220 250 250 354", 0),
        ("drop-before=1", "220 250 250 354", 1),
        ("drop-after=1", "220 250 250 354 250", 1),
        ("hang=1", "220 250 250 354", 1),
        ("nonsense=1", "220 250 250 354 999 221", 1),
        ("slow=50", "220 250 250 354 250 221", 1),
        ("storm", "421", 0),
        ("storm=1,accept", "421", 0),
        ("storm=2", "220 250 250 354 250 221", 1),
        ("drop-before=2,temporary-dot=0", "220 250 250 354 250 221", 1),
    ],
)
def test_each_behaviour_shows_on_the_wire(tmp_path: Path, behaviour: str, answers: str, noted: int) -> None:
    with here(tmp_path, behaviour) as port:
        assert codes(talk(port, transaction(1) + b"QUIT\r\n")) == answers
    assert tally(tmp_path).accepted == noted


def test_every_nth_counts_over_all_lines(tmp_path: Path) -> None:
    with here(tmp_path, "drop-before=3") as port:
        got = [codes(talk(port, transaction(number) + b"QUIT\r\n")) for number in range(6)]
    assert [each.endswith("221") for each in got] == [True, True, False] * 2
    assert tally(tmp_path).accepted == 6


def test_a_share_of_the_recipients_is_put_off(tmp_path: Path) -> None:
    with here(tmp_path, "temporary=25") as port:
        got = codes(talk(port, b"RCPT TO:<a@example.com>\r\n" * 400 + b"QUIT\r\n"))
    assert 60 < got.count("451") < 140


def test_a_held_back_answer_comes_after_the_behaviour_changed(tmp_path: Path) -> None:
    with here(tmp_path, "slow=300") as port, socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(transaction(1) + b"QUIT\r\n")
        set_behaviour(tmp_path, "accept")
        assert codes(b"".join(iter(lambda: line.recv(4_096), b""))) == "220 250 250 354 250 221"


def test_a_killed_sink_has_noted_what_it_answered(tmp_path: Path) -> None:
    with sink(tmp_path, "--without", "PIPELINING") as port, smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail("", ["user1@example.com"], message(1))
        assert not client.has_extn("pipelining")
        set_behaviour(tmp_path, "drop-before=1")
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.sendmail("", ["user2@example.com"], message(2))
    with sink(tmp_path) as port:
        talk(port, transaction(3) + b"QUIT\r\n")
    assert list(tally(tmp_path).recipients) == ["user1@example.com", "user2@example.com", "user3@example.com"]


@pytest.mark.parametrize("text", ["", "acept", "hang", "lose=-1", "lose=0.5", "temporary=x"])
def test_a_behaviour_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Behaviour.parse(text)


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Sink:
    """A sink that nobody runs: its connections are fed by hand."""
    return Sink(tmp_path_factory.mktemp("idle"))


@given(cuts=st.lists(st.integers(0, 400)))
def test_where_the_stream_is_cut_makes_no_difference(idle: Sink, cuts: list[int]) -> None:
    stream = transaction(1) + b"MAIL FROM:<>\r\nRCPT TO:<a@x>\r\nDATA\r\n.\r\n" + transaction(2)
    idle.notes.clear()
    connection = Connection(idle)
    for begin, end in pairwise(sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})):
        connection.received(memoryview(stream[begin:end]))
    assert codes(bytes(connection.answers)) == "220" + " 250 250 354 250" * 3
    assert [note[:6] for note in idle.notes] == [b"<1@exa", b"-\ta@x\t", b"<2@exa"]
