"""Against a real Postfix on loopback: what leaves arrives whole, and what Postfix reports is what the figures say.

POSTFIX_RECIPIENTS sets the number of recipients of the feedback journey (5,000 for the full proof).
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from email import message_from_bytes, policy

import pytest

from tests.postfix import DOMAINS, may_run, running_postfix, wait_until
from tests.postgres import free_port

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not may_run(), reason="Postfix wants to be started by root")]
RECIPIENTS = int(os.environ.get("POSTFIX_RECIPIENTS", "1000"))


@pytest.fixture
def run(tmp_path):
    """run(*arguments) runs a program of ours on a database of its own."""
    own = {"DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3", "DATA_DIR": str(tmp_path)}

    def run(*arguments, wait=True):
        command = [sys.executable, *arguments]
        if not wait:
            return subprocess.Popen(command, env={**os.environ, **own}, stdout=subprocess.DEVNULL)
        return subprocess.run(
            command, env={**os.environ, **own}, check=True, stdout=subprocess.PIPE, timeout=600
        ).stdout

    return run


def stage(run, *arguments):
    return run("-m", "tests.journeys.postfix_stage", *map(str, arguments))


def told(run):
    return json.loads(stage(run, "tell"))


@contextmanager
def bounce_server(run, port):
    process = run("manage.py", "bounce_server", "--port", str(port), wait=False)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def check_file(raw, known):
    """A delivered file is whole MIME, and for whom it says. Out: the recipient."""
    mail = message_from_bytes(raw, policy=policy.default)
    recipient = mail["Delivered-To"].strip()
    token = re.fullmatch(r"<([0-9a-f]{12}[a-z2-7]{15})\.DM\d+@[\w.]+>", mail["Message-ID"]).group(1)
    assert known[token][1] == recipient == mail["To"].addresses[0].addr_spec
    assert mail["Return-Path"] == f"<b-{known[token][0]}@bounces.test>"
    assert mail["Subject"] == f"Hello {recipient_name(recipient, mail)}"
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert not [defect for part in mail.walk() for defect in part.defects]
    assert all(recipient_name(recipient, mail) in part.get_content() for part in mail.iter_parts())
    assert mail["Date"].datetime
    assert mail["MIME-Version"] == "1.0"
    return recipient


def recipient_name(recipient, mail):
    return f"User {int(recipient.split('@')[0].removeprefix('user')) - 1}"


def test_a_thousand_messages_arrive_whole_each_at_its_recipient(run, service):
    with running_postfix(service("postfix"), inbox_port=1) as postfix:
        stage(run, "send", postfix.port, 1000, "deliver.test")
        wait_until(lambda: len(list((postfix.maildir / "new").glob("*"))) >= 1000, 120)
        known = told(run)["tokens"]
        arrived = Counter(check_file(path.read_bytes(), known) for path in (postfix.maildir / "new").iterdir())
    assert arrived == Counter(address for _path, address in known.values())


def test_the_figures_are_what_postfix_says(run, service):
    port, patience = free_port(), 120 + RECIPIENTS // 5
    with (
        running_postfix(service("postfix"), inbox_port=port, delay_warning=5) as postfix,
        bounce_server(run, port),
    ):
        stage(run, "send", postfix.port, RECIPIENTS, *DOMAINS)
        # Then only those wait that are put off for ever, and the sender has been told of each of them.
        put_off = RECIPIENTS // len(DOMAINS)
        wait_until(lambda: postfix.waiting() <= put_off, patience)
        wait_until(lambda: postfix.log().count("sender delay notification") >= put_off, patience)
        assert postfix.expire("expire.test") == put_off
        wait_until(lambda: not postfix.waiting(), patience)
        wait_until(lambda: not told(run)["waiting"], 120)
        found, outcomes = told(run), postfix.outcomes()
    statuses = {"sent": 1, "bounced": 2, "expired": 2}
    assert len(outcomes) == RECIPIENTS
    assert {address: row[0] for address, row in found["rows"].items()} == {
        address: statuses[word] for address, word in outcomes.items()
    }
    assert found["figures"] == found["counted"]
    by_domain = Counter(address.partition("@")[2] for address in outcomes)
    assert found["delivered"] == by_domain["deliver.test"] + by_domain["later.test"]
    assert found["bounced"] == by_domain["refuse.test"] + by_domain["expire.test"]
    assert found["figures"]["hard"] == by_domain["refuse.test"]
    assert found["unmatched"] == 0
    assert found["events"] > RECIPIENTS  # those that were put off were reported twice
    assert not any(retry == 1 for _status, _how, retry in found["rows"].values())
