"""A database of before 1.0, with deliveries in every state and tasks in the queue, is migrated, and everything runs on.

make_before.py made it; a real cluster works off the queue of before, then people act and time passes (going_on.py).
"""

from __future__ import annotations

import base64
import hmac
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .installation import SINCE, Installation, restored, wait

PENDING, SENT, FAILED, CANCELLED, IN_DOUBT = 0, 1, 2, 4, 5
RESENT = "doubt-0@example.net"  # of which somebody decided so, not knowing whether it had left
DONE = ("FINISHED", {SENT: 6})
# {message: its state in the end, and how many rows have which status}
ENDS: dict[str, tuple[str, dict[int, int]]] = {
    "editing": ("EDITING", {}),
    "asked": ("READY", {PENDING: 6}),
    "counting": ("READY", {PENDING: 6}),
    "ready": DONE,
    "alone": DONE,
    "approved": DONE,
    "refused": ("READY", {PENDING: 6}),
    "proof": DONE,
    "pending": DONE,
    "undo": DONE,
    "scheduled": DONE,
    "half": DONE,
    "waves": DONE,
    "paused": DONE,
    "retrying": DONE,
    "relayed": ("FINISHED", {SENT: 1, FAILED: 1, PENDING: 4}),  # reports of four are still to come
    "killed": ("FINISHED", {SENT: 5, IN_DOUBT: 1}),
    "doubt": DONE,
    "finished": ("FINISHED", {SENT: 4, FAILED: 2}),
    "stopped": DONE,
    "failed": ("FAILED", {SENT: 2, CANCELLED: 4}),
    "broken": ("PREPARATION_FAILED", {}),
    "series-asks": ("EDITING", {}),
    "series-alone": ("EDITING", {}),
    "series-one": ("EDITING", {}),
    "[2027/03/01] series-asks": DONE,
    "[2027/03/02] series-asks": ("READY", {PENDING: 6}),
    "[2027/03/01] series-alone": DONE,
    "[2027/03/02] series-alone": DONE,
    "[2027/03/01] series-one": ("FINISHED", {SENT: 7}),
    "Proof 1": ("FINISHED", {SENT: 1}),
    "Proof 2": ("FINISHED", {SENT: 1}),
}
NOT_LEFT = ("editing", "asked", "counting", "refused", "broken")
SCHEDULES = {
    "campaigns.targeting.tasks.",
    "deliveries.workers.tasks.",
    "reporting.jobs.tasks.",
}


class Upgraded:
    """The installation after its upgrade, and all that is known of it."""

    def __init__(self, installation: Installation) -> None:
        self.installation, self.noted = installation, installation.noted
        self.rows_before = installation.ask("SELECT id, status FROM deliveries_sendinglog")
        self.schedules_before = installation.ask("SELECT name, func FROM django_q_schedule")
        self.queued_before = int(installation.ask("SELECT count(*) FROM django_q_ormq")[0][0])
        installation.run("migrate", "-v", "0")
        installation.set_clock(self.noted["made_at"] + SINCE)  # however long that took on a slow machine
        self.schedules = installation.ask("SELECT name, func, repeats FROM django_q_schedule")
        self.queued = int(installation.ask("SELECT count(*) FROM django_q_ormq")[0][0])
        self._work_off()
        told = installation.run(
            "-m", "tests.upgrade.going_on", given=base64.b64encode(json.dumps(self.noted).encode()).decode()
        )
        self.told: dict[str, Any] = json.loads(told)
        self.ends = {one["label"]: one for one in self.told["deliveries"]}

    def _work_off(self) -> None:
        """A real cluster, until the queue of before and whatever comes of it are done."""
        with self.installation.running("qcluster"):
            for _twice in range(2):  # a task may put another into the queue a moment after the look
                wait(lambda: self.installation.ask("SELECT count(*) FROM django_q_ormq") == [("0",)], 400)
        self.said = self.installation.log("qcluster")
        self.by_the_cluster = [to for _from, to, _body in self.installation.mail.messages]


@pytest.fixture(
    scope="module", params=["sqlite3", pytest.param("sql", marks=pytest.mark.postgres)], ids=["sqlite", "postgresql"]
)
def upgraded(request: pytest.FixtureRequest, service: Any) -> Iterator[Upgraded]:
    with tempfile.TemporaryDirectory() as folder, restored(request.param, Path(folder) / "", service) as installation:
        yield Upgraded(installation)


pytestmark = pytest.mark.slow


def test_nothing_is_left_to_migrate_and_the_checks_are_clean(upgraded: Upgraded) -> None:
    assert "no issues" in upgraded.installation.run("check")
    assert "No changes" in upgraded.installation.run("makemigrations", "--check", "--dry-run")
    upgraded.installation.run("migrate", "--check")


def test_schedules_have_their_new_names_and_none_is_doubled(upgraded: Upgraded) -> None:
    before = {name for name, _func in upgraded.schedules_before}
    assert {name for name, *_ in upgraded.schedules} == before and len(upgraded.schedules) == len(before)
    rooms = {f"{func.rpartition('.')[0]}." for _name, func, _repeats in upgraded.schedules}
    assert rooms <= SCHEDULES and {repeats for *_, repeats in upgraded.schedules} == {"-1"}
    assert len(upgraded.told["beside"]["schedules"]) == len(before)


def test_the_queue_of_before_is_kept_and_worked_off_by_a_real_cluster(upgraded: Upgraded) -> None:
    assert upgraded.queued == upgraded.queued_before > 40
    for word in ("refused", "failed", "Traceback"):
        assert word not in upgraded.said, upgraded.said[-3000:]
    assert {"pending-0@example.net", "half-2@example.net"}.isdisjoint(upgraded.noted["letters"])
    assert "pending-0@example.net" in upgraded.by_the_cluster


def test_every_delivery_comes_to_its_right_end(upgraded: Upgraded) -> None:
    found = {label: (one["state"], dict(Counter(one["rows"].values()))) for label, one in upgraded.ends.items()}
    assert found == ENDS


def test_nobody_is_mailed_twice_nobody_is_lost_and_what_was_sent_stays_sent(upgraded: Upgraded) -> None:
    letters = Counter(upgraded.noted["letters"]) + Counter(
        to for _from, to, _body in upgraded.installation.mail.messages
    )
    taken = Counter[str]()
    for one in upgraded.ends.values():
        taken.update(address for address, status in one["rows"].items() if status == SENT or one["label"] == "relayed")
    twice = {to: number for to, number in letters.items() if number > max(1, taken[to])}
    assert set(twice) == {RESENT}
    sent = {to for to, number in taken.items() if letters[to] < number}
    assert sent == {"killed-4@example.net"}  # which the journal alone knows of: no mail server of the test took it
    still = {
        row
        for row, status in upgraded.installation.ask("SELECT id, status FROM deliveries_sendinglog")
        if status == "1"
    }
    assert {row for row, status in upgraded.rows_before if status == "1"} <= still


def test_nothing_leaves_before_its_time_or_unconfirmed(upgraded: Upgraded) -> None:
    gone = {to.rpartition("-")[0] for _from, to, _body in upgraded.installation.mail.messages}
    assert gone.isdisjoint(NOT_LEFT)
    early = {to.rpartition("-")[0] for to in upgraded.by_the_cluster}
    assert early.isdisjoint({"undo", "scheduled", "ready", "approved", "proof", "paused", "stopped", "retrying"})
    for label in ("undo", "scheduled"):
        assert upgraded.ends[label]["left"] >= upgraded.ends[label]["began"]
    assert upgraded.ends["undo"]["left"] >= upgraded.noted["made_at"] + 500


def test_the_two_ledgers_balance(upgraded: Upgraded) -> None:
    assert not [one["label"] for one in upgraded.told["deliveries"] if not one["balanced"]]
    wrong = {
        label: (one["figures"], one["true"]) for label, one in upgraded.ends.items() if one["figures"] != one["true"]
    }
    assert not wrong


def test_what_people_do_is_taken_or_refused_as_before(upgraded: Upgraded) -> None:
    refused = {"confirm refused": "unapproved", "confirm unapproved": "unapproved", "confirm own": "denied"}
    assert {name: done for name, done in upgraded.told["acts"].items() if done != "done"} == refused


def test_links_of_letters_that_left_before_lead_where_they_led(upgraded: Upgraded) -> None:
    beside = upgraded.told["beside"]
    assert upgraded.told["links"] == {
        "open": 200,
        "mirror": 200,
        "optout": 200,
        "click": "https://example.com/news",
        "out": 302,
        "proof": 200,
        "verdict": 200,
    }
    assert beside["read"] == [True, True]
    assert {"finished-1@example.net", "finished-2@example.net"} <= set(beside["out"])
    assert ["proof", True, "reader@example.org"] in beside["verdicts"]


def test_log_ins_second_factors_sessions_and_tokens_work(upgraded: Upgraded) -> None:
    assert upgraded.told["log-ins"] == {
        "anna": 302,
        "tom without": 200,
        "tom": 302,
        "tom, phone lost": 302,
        "session": 200,
        "dashboard": 200,
        "export": 200,
    }
    assert upgraded.told["programs"] == {
        "read: get": 200,
        "read: confirm": 403,
        "start: get": 200,
        "start: confirm": 200,
    }


def test_imports_are_read_to_their_end(upgraded: Upgraded) -> None:
    assert upgraded.told["beside"]["imports"] == [["done", 1, 0]] * 2
    assert sorted(upgraded.told["beside"]["imported"]) == ["half-way@example.net", "waiting@example.net"]


def test_webhooks_of_before_are_posted_once_and_signed_as_they_were(upgraded: Upgraded) -> None:
    posts, key = upgraded.installation.posts.taken, base64.b64decode(upgraded.noted["webhook"].removeprefix("whsec_"))
    ids = [headers["webhook-id"] for headers, _body in posts]
    assert len(ids) == len(set(ids)) and {json.loads(body)["type"] for _headers, body in posts} >= {"test"}
    assert sum(json.loads(body)["type"] == "test" for _headers, body in posts) == 2
    for headers, body in posts:
        text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(hmac.digest(key, text, 'sha256')).decode()}"
    assert set(upgraded.told["beside"]["webhooks"]) == {"delivered"}


def test_the_audits_chain_holds_over_the_upgrade(upgraded: Upgraded) -> None:
    assert "The audit is whole" in upgraded.installation.run("verify_audit")
