"""Real bounces of a shared corpus, where it is there: measured against a reference analyser's labels.

The corpus isn't part of the project. Its labels are not all true (an IP block called "user unknown", a
bounce not seen), hence thresholds and not equality."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deliveries.mail.bounces.parser import Report, parse

CORPUS = Path(__file__).resolve().parents[5] / "shared" / "corpora" / "bounces"
KIND_OF_REASON = {None: "none", "delivered": "delivered", "feedback": "complaint", "vacation": "auto-reply"}

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared bounce corpus is not there")


@pytest.fixture(scope="module")
def labels() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CORPUS / "labels.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def reports() -> dict[str, list[Report]]:
    return {path.name: parse(path.read_bytes()) for path in sorted((CORPUS / "mail").iterdir())}


def pairs(labels: list[dict[str, Any]], reports: dict[str, list[Report]]) -> Iterator[tuple[dict[str, Any], Report]]:
    """Each label with the report on its recipient, or the mail's first where there is none."""
    for label in labels:
        found = reports[label["file"]]
        yield label, next((r for r in found if r.recipient == label["recipient"]), found[0])


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


def test_the_recipient_is_found(labels: list[dict[str, Any]], reports: dict[str, list[Report]]) -> None:
    hits = [report.recipient == label["recipient"] for label, report in pairs(labels, reports) if label["recipient"]]
    assert share(hits) >= 0.98


def test_hard_is_told_from_not_hard(labels: list[dict[str, Any]], reports: dict[str, list[Report]]) -> None:
    hits = [
        (report.type == "hard") == bool(label["hard"]) for label, report in pairs(labels, reports) if label["recipient"]
    ]
    assert share(hits) >= 0.97


def test_the_kind_is_told(labels: list[dict[str, Any]], reports: dict[str, list[Report]]) -> None:
    """A label doesn't tell a delay from a bounce, nor an automatic reply from other mail."""
    alike = {"delayed": "bounce", "auto-reply": "none"}
    hits = [
        alike.get(report.kind, report.kind) == KIND_OF_REASON.get(label["reason"], "bounce")
        for label, report in pairs(labels, reports)
    ]
    assert share(hits) >= 0.98


@pytest.mark.parametrize("prefix", ["is-not-bounce", "rfc3834"])
def test_what_is_no_bounce_is_not_called_one(prefix: str, reports: dict[str, list[Report]]) -> None:
    kinds = {r.kind for name, found in reports.items() if name.startswith(prefix) for r in found}
    assert kinds <= {"none", "auto-reply"}


def test_a_refusal_for_our_sake_condemns_nobody(labels: list[dict[str, Any]], reports: dict[str, list[Report]]) -> None:
    ours = ("authfailure", "badreputation", "blocked", "norelaying", "policyviolation", "requireptr", "spamdetected")
    ours += ("securityerror", "toomanyconn", "virusdetected", "mesgtoobig", "contenterror")
    condemned = [
        label["file"] for label, report in pairs(labels, reports) if label["reason"] in ours and report.type == "hard"
    ]
    assert condemned == []


@pytest.mark.slow
def test_no_truncated_message_raises() -> None:
    for path in sorted((CORPUS / "mail").iterdir()):
        raw = path.read_bytes()
        for part in range(1, 12):
            assert parse(raw[: len(raw) * part // 12])
            assert parse(raw[len(raw) * part // 12 :])
