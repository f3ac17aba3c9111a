"""The log: JSON with delivery and batch, and never a person's address."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.core.web.log_context import Ids, about
from config.log_format import _ADDRESS, Json, Line, without_addresses, without_secrets
from deliveries.models import SendingLog
from deliveries.sending import work_on_batch
from tests.deliveries.sending.sending_rows import sending_delivery
from tests.hostile import shapes, spent


@pytest.fixture(params=[Json(), Line("%(levelname)s %(name)s: %(message)s")], ids=["json", "text"])
def written(request: pytest.FixtureRequest) -> Iterator[StringIO]:
    """All that is logged, from DEBUG on, as one of the formatters writes it."""
    out, root = StringIO(), logging.getLogger()
    handler = logging.StreamHandler(out)
    handler.setFormatter(request.param)
    handler.addFilter(Ids())
    level = root.level
    root.addHandler(handler)
    root.setLevel("DEBUG")
    yield out
    root.removeHandler(handler)
    root.setLevel(level)


@given(
    st.emails(), st.sampled_from(["<%s>", "to %s: 550", "RCPT TO:<%s>\r\n", "x='%s',", "%s", "(%s)", "[%s]", "a:%s;"])
)
def test_no_address_is_left_in_a_text(address: str, around: str) -> None:
    assert "@" not in without_addresses(around % address)


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.com",
        "Ann.Lee+x@mail.example.com",
        '"ann lee"@example.com',
        "ann@[192.0.2.1]",
        "änn@exämple.test",
        "mailto:ann@example.com",
        "ann@localhost",
        "ann=example.com@bounces.example.org",
    ],
)
def test_every_way_to_write_one_is_hidden(text: str) -> None:
    hidden = without_addresses(f"550 5.1.1 <{text}> unknown")
    assert "@" not in hidden and "ann" not in hidden.lower().replace("unknown", "")


# The pattern as it was: what it finds must be hidden still. It takes some seconds for a megabyte.
SLOW = re.compile(
    r"(?:\"[^\"\n]{1,64}\"|[^\s<>()\[\]\",;:@\\]{1,200})@(?:\[[^\]\s]{1,60}\]|[^\s<>()\[\]\"',;:@|{}/\\]{1,255})"
)


def hidden_places(pattern: re.Pattern[str], text: str) -> set[int]:
    return {place for match in pattern.finditer(text) for place in range(*match.span())}


@given(st.text("ab.@\"<> -'/|{}[]1:é宛\n", max_size=60), st.integers(0, 300))
def test_all_that_a_slower_pattern_found_is_hidden(text: str, more: int) -> None:
    for line in (text, text + "a" * more + text, "a" * more + "@b" + text, f'"{"q" * (more % 80)}"@{text}'):
        assert hidden_places(_ADDRESS, line) >= hidden_places(SLOW, line)


ORDINARY = "2026-01-01 12:00:00 INFO some.place: 250 2.0.0 ok for kim@example.com in 12 ms\n" * 13_000
USUAL = ("letters", "addresses", "at signs", "quoted addresses", "local parts", "apostrophes", "quotes")


def too_slow(texts: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Those of which a megabyte takes three times as long as it should: other machines are slower."""
    lines = ((name, line) for name, text in texts for line in (text, f"{text}@", f"@{text}"))
    took = ((name, min(spent(partial(without_addresses, line)) for _ in range(2))) for name, line in lines)
    return {name: seconds for name, seconds in took if seconds > 0.15}


def test_a_megabyte_of_log_is_cleaned_in_a_twentieth_of_a_second() -> None:
    assert too_slow([("ordinary", ORDINARY), *(shape for shape in shapes(1_000_000) if shape[0] in USUAL)]) == {}


@pytest.mark.slow
def test_a_megabyte_of_any_shape_is_too() -> None:
    assert too_slow(shapes(1_000_000)) == {}


def test_a_line_is_json_with_delivery_and_batch(written: StringIO) -> None:
    with about(delivery=12), about(batch=40):
        logging.getLogger("some.place").info("recorded %d", 3)
    logging.getLogger("some.place").info("over")
    if "{" in written.getvalue():
        inside, outside = map(json.loads, written.getvalue().splitlines())
        assert (inside["message"], inside["delivery"], inside["batch"], inside["level"]) == (
            "recorded 3",
            12,
            40,
            "INFO",
        )
        assert "delivery" not in outside and inside["time"].endswith("+00:00")


def test_a_traceback_is_one_line_without_addresses(written: StringIO) -> None:
    try:
        raise ValueError("ann@example.com is odd")
    except ValueError:
        logging.getLogger("some.place").exception("cannot mail %s", "ann@example.com")
    text = written.getvalue()
    assert "ValueError" in text and "ann@" not in text
    assert len(text.splitlines()) == 1 or not text.startswith("{")


@pytest.mark.django_db
def test_sending_to_people_of_whom_some_are_refused_logs_no_address(
    message: Any, routing: Any, written: StringIO, tmp_path: Any, settings: Any
) -> None:
    settings.JOURNAL_DIR = tmp_path
    routing.host, routing.port = "127.0.0.1", 1  # nobody listens: reconnecting, hindrances, warnings
    routing.save()
    delivery = sending_delivery(message, routing, 5)
    work_on_batch.send(delivery.batches.get().pk)
    text = written.getvalue()
    assert not [log.address for log in SendingLog.objects.all() if log.address in text]
    assert f"DM{delivery.pk}" in text or f'"delivery": {delivery.pk}' in text or f"delivery={delivery.pk}" in text


def test_the_settings_refuse_an_unknown_format() -> None:
    import os
    import subprocess

    environment = os.environ | {"LOG_FORMAT": "xml"}
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode and "LOG_FORMAT is 'xml'; it must be one of text, json" in done.stderr


@pytest.mark.parametrize(
    "path",
    ["/t/c/s3cret/4?x", "/t/o/s3cret.gif", "/t/m/s3cret", "/t/u/s3cret", "/proof/s3cret/", "/feedback/mailgun/s3cret/"],
)
def test_what_opens_a_letter_or_a_door_is_hidden_in_a_path(path: str) -> None:
    assert "s3cret" not in without_secrets(f"Not Found: {path}") and "(secret)" in without_secrets(f'"GET {path}" 404')
    assert without_secrets("Not Found: /admin/t/c and /proofs/1/") == "Not Found: /admin/t/c and /proofs/1/"


@pytest.mark.django_db
def test_a_refused_request_at_a_door_leaves_no_secret_in_the_log(written: StringIO, client: Any) -> None:
    assert client.get("/proof/s3cret/").status_code == 404
    assert client.post("/feedback/mailgun/s3cretsecretsecretsecret/").status_code == 404
    assert "s3cret" not in written.getvalue() and "(secret)" in written.getvalue()
