"""Replies, features, addresses and parameters as bytes, without a socket."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.mail.smtp.protocol import (
    Answer,
    Envelope,
    Features,
    ReplyReader,
    address_problem,
    explain,
    local_refusal,
    parse_features,
    printable,
    xtext,
)

TEXTS = st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b""))
CODES = st.integers(200, 599)
REPLIES = st.lists(st.tuples(CODES, st.lists(TEXTS, min_size=1, max_size=4)), max_size=6)


def written(code: int, lines: list[bytes]) -> bytes:
    """The reply as a server writes it."""
    return b"".join(b"%d%c%b\r\n" % (code, b"- "[line is lines[-1]], line) for line in lines)


def read(*pieces: bytes) -> tuple[list[Answer], bool]:
    """What a reader makes of data that comes in these pieces, and whether it failed."""
    reader, answers = ReplyReader(), []
    for piece in pieces:
        if reader.error is None:
            answers += reader.feed(piece)
    return answers, reader.error is not None


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(p % (len(data) + 1) for p in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(REPLIES, st.lists(st.integers(0, 10_000), max_size=8))
def test_replies_are_read_alike_wherever_they_are_split(
    replies: list[tuple[int, list[bytes]]], places: list[int]
) -> None:
    lines = [(code, [b"%d" % n + text for n, text in enumerate(texts)]) for code, texts in replies]
    answers, failed = read(*cut(b"".join(written(code, texts) for code, texts in lines), places))
    assert not failed
    assert [(c, t.replace(b"\r", b"")) for c, t in answers] == [(code, b"\n".join(texts)) for code, texts in lines]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_garbage_is_read_alike_wherever_it_is_split(data: bytes, places: list[int]) -> None:
    assert read(*cut(b"250 ok\r\n" + data, places)) == read(b"250 ok\r\n" + data)


@pytest.mark.parametrize(
    ("data", "codes", "failed"),
    [
        (b"250\r\n", [250], False),
        (b"250 \n", [250], False),
        (b"250-a\r\n550 b\r\n", [550], False),
        (b"250", [], False),
        (b"250-a\r\n", [], False),
        (b"250 ok\r\nwhat?\r\n250 ok\r\n", [250], True),
        (b"199 low\r\n", [], True),
        (b"600 high\r\n", [], True),
        (b"2500\r\n", [], True),
        (b"25\r\n", [], True),
        (b"\r\n", [], True),
        (b"250 " + b"x" * 2042 + b"\r\n", [250], False),
        (b"250 " + b"x" * 2045 + b"\r\n", [], True),
        (b"250 " + b"x" * 2045, [], True),
        (b"250-x\r\n" * 128 + b"250 x\r\n", [250], False),
        (b"250-x\r\n" * 129, [], True),
    ],
)
def test_what_is_a_reply_and_what_is_not(data: bytes, codes: list[int], failed: bool) -> None:
    answers, error = read(data)
    assert ([code for code, _ in answers], error) == (codes, failed)


@pytest.mark.parametrize(
    ("answer", "enhanced", "text"),
    [
        ((250, b"2.0.0 Ok: queued\r"), "2.0.0", "Ok: queued"),
        ((250, b"Ok\r"), "", "Ok"),
        ((250, b"\r"), "", ""),
        ((550, b"5.1.1\r"), "5.1.1", ""),
        ((550, b"5.1.1 No such\r\n5.1.1 user here\r"), "5.1.1", "No such user here"),
        ((550, b"5.1.1 No such\r\nuser\r"), "5.1.1", "No such user"),
        ((550, b"4.1.1 other class"), "", "4.1.1 other class"),
        ((550, b"5.1 short"), "", "5.1 short"),
        ((550, b"5.1.1000 long"), "", "5.1.1000 long"),
        ((550, b"5.7.133 fine"), "5.7.133", "fine"),
        ((550, b"5.1.1 a\0b\x1b[31m\x7f"), "5.1.1", "a b [31m"),
        ((550, "5.1.1 gelöscht\u2028ja".encode()), "5.1.1", "gelöscht ja"),
        ((550, b"5.1.1 \xff"), "5.1.1", "\ufffd"),
    ],
)
def test_a_reply_is_explained(answer: Answer, enhanced: str, text: str) -> None:
    assert explain(answer) == (enhanced, text)


@given(CODES, st.binary())
def test_an_explained_reply_is_always_short_and_printable(code: int, raw: bytes) -> None:
    enhanced, text = explain((code, raw))
    assert text.isprintable() and len(text) <= 1000 and (not enhanced or enhanced[0] == str(code)[0])


def test_a_long_text_is_cut() -> None:
    assert len(printable(b"x" * 5000)) == 1000


@pytest.mark.parametrize(
    ("offer", "features"),
    [
        (b"mx", Features()),
        (b"PIPELINING", Features()),  # the first line is the server's name
        (b"mx\r\npipelining\r\nSize 100\r", Features(pipelining=True, size=100)),
        (b"mx\nSIZE", Features(size=0)),
        (b"mx\nSIZE much", Features(size=0)),
        (b"mx\nAUTH PLAIN LOGIN\nAUTH=cram-md5", Features(auth=frozenset({"PLAIN", "LOGIN", "CRAM-MD5"}))),
        (b"mx\nDSN\n8BITMIME\nSMTPUTF8\nSTARTTLS", Features(dsn=True, eightbit=True, utf8=True, starttls=True)),
        (b"mx\n\n \nX-ODD \xff\xfe", Features()),
    ],
)
def test_what_ehlo_offers(offer: bytes, features: Features) -> None:
    assert parse_features(offer) == features


@given(st.binary())
def test_no_offer_breaks_the_parser(offer: bytes) -> None:
    parse_features(offer)


@given(st.binary(max_size=300), st.binary(max_size=300), st.booleans())
def test_no_address_that_could_break_a_command_passes(sender: bytes, recipient: bytes, utf8: bool) -> None:
    if local_refusal(Envelope(1, sender, recipient), Features(utf8=utf8)) is None:
        both = sender + recipient
        assert not set(both) & {*range(33), 127, *b"<>"} and (both.isascii() or utf8)
        assert 0 < len(recipient) <= 254 and len(sender) <= 254


def test_smtputf8_needs_utf8() -> None:
    assert address_problem("é@example.org".encode(), Features(utf8=True)) == ""
    assert "UTF-8" in address_problem("é@example.org".encode("latin-1"), Features(utf8=True))


@pytest.mark.parametrize(("raw", "encoded"), [(b"DM1.7", b"DM1.7"), (b"a+b=c d\xff", b"a+2Bb+3Dc+20d+FF")])
def test_xtext(raw: bytes, encoded: bytes) -> None:
    assert xtext(raw) == encoded
