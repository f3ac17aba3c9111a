"""What strangers may write: shapes of text that make careless parsers slow, and a measure in processor time.

A shape is a piece that is repeated. Code that is linear reads a megabyte of any in a fraction of a second; what tries
each place against the rest of the text takes minutes.
"""

from __future__ import annotations

import base64
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

GROUP = (
    "Final-Recipient: rfc822; kim@example.com\nAction: failed\nStatus: 5.1.1\n"
    "Diagnostic-Code: smtp; 550 5.1.1 unknown user\n\n"
)
PIECES = {
    "newlines": "\n",
    "line ends": "\r\n",
    "carriage returns": "\r",
    "spaces": " ",
    "tabs": "\t",
    "NULs": "\0",
    "letters": "a",
    "words": "word ",
    "digits": "4",
    "dots": ".",
    "statuses": "4.0.0 ",
    "codes": "550 ",
    "dashes": "-",
    "reply lines": "550-5.1.1 ",
    "lines of dashes": "-" * 199 + "\n",
    "brackets": "<",
    "brackets apart": "< ",
    "quoted lines": "> > ",
    "transcript": "<<< 550 5.1.1 x\n",
    "links begun": "<a ",
    "links half begun": "<a href=",
    "links without end": '<a href="#hot-1" ',
    "links": '<a href="http://a.example/)">x</a>',
    "body ends": "</body>",
    "comments begun": "<!--",
    "comments": "<!-- -->",
    "elements": "<div>",
    "cells": "<td><table>",
    "styles": "<style>a{b:c}</style>",
    "rules": "a{b:c}",
    "rules begun": "a{",
    "at signs": "@",
    "addresses": "a@a",
    "addresses in words": "to a@a ",
    "local parts": "a.b-",
    "quoted addresses": '"a"@a',
    "quotes": '"',
    "apostrophes": "'",
    "apart by quotes": "to'",
    "backslashes": "\\",
    "encoded words begun": "=?utf-8?q?",
    "encoded words": "=?utf-8?b?YWFh?= ",
    "trace": "Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\n",
    "headers": "From: a\nTo: b\nSubject: c\n",
    "groups": GROUP,
    "boundaries": "--b\n",
    "parts": "--b\nContent-Type: text/plain\n\nsorry kim@example.com\n",
    "mails": "From a 00:00:00 2000\n\n",
    "numbers as entities": "&#",
    "entities": "&amp;",
    "huge number": "&#" + "9" * 999,
    "entity without end": "&CounterClockwise",
    "outputs": "{{",
    "tags": "{%",
    "percents": "%%",
    "schemes": "http://",
    "URLs": "http://a.example/)))) ",
    "closing": ")",
    "opening": "[[[[((((",
    "commas": ",",
    "semicolons": ";",
    "colons": ":",
    "equals": "a=",
    "plus": "+a=b@",
    "combining": "e\u0301",
    "marks alone": "\u0301",
    "kanji": "宛先",
    "emoji": "\U0001f600",
    "objects": '{"a":',
    "lists": "[",
    "user": "user ",
    "mailbox": "mailbox ",
    "host": "host said ",
    "recipient": "recipient ",
    "not": "not ",
    "message": "message ",
    "delivery": "delivery ",
    "boundary=": "boundary=",
    "status, then": "status   ",
    "tokens": "a" * 23 + "2 ",
}


def shapes(size: int) -> Iterator[tuple[str, str]]:
    """(name, text of about `size` characters)."""
    for name, piece in PIECES.items():
        yield name, piece * (size // len(piece))
    number = size // len(GROUP)
    each = (GROUP.replace("kim", f"kim{n}").replace("unknown user", f"user {n} not known") for n in range(number))
    yield "groups that differ", "".join(each)
    inner = (f"--b{n}\nContent-Type: multipart/mixed; boundary=b{n + 1}\n\n" for n in range(size // 55))
    yield "parts in parts", "".join(inner)
    yield "base64", base64.b64encode(bytes(n * 7 % 256 for n in range(size * 3 // 4))).decode()
    yield "status, then spaces", "status" + " " * size
    yield "one line end", "word " * (size // 5) + "\n"


class TooSlow(BaseException):
    """It was stopped: the processor had worked long enough for it."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Stop what runs inside after so much of this process's processor time. Raises TooSlow."""

    def stop(*_: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def spent(act: Callable[[], object], limit: float = 5.0) -> float:
    """Seconds of processor that `act` takes; it is stopped at `limit`."""
    start = time.process_time()
    try:
        with at_most(limit):
            act()
    except TooSlow:
        return limit
    return time.process_time() - start


def slow_ones(
    parsers: dict[str, Callable[[str], object]], size: int, limit: float = 1.0
) -> dict[tuple[str, str], float]:
    """{(parser, shape): seconds} of those that take as long as `limit`; a second look is taken at each."""
    found = {}
    for shape, text in shapes(size):
        for name, parser in parsers.items():
            act = partial(parser, text)
            if spent(act, limit + 0.1) >= limit and (again := spent(act)) >= limit:
                found[name, shape] = round(again, 2)
    return found
