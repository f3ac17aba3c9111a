"""The evidence pack tells who sent what, proves it, and shows every kind of tampering."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from campaigns.audit import chain, erasure, retention, trail
from campaigns.models import Profile
from campaigns.models.audit.entries import AuditEntry
from deliveries.lifecycle import commands, evidence, evidence_check
from deliveries.models import Delivery
from deliveries.preparation import prepare

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_anchors(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


@pytest.fixture
def sent(message: Any, routing: Any, starter: Any) -> Delivery:
    """A confirmed delivery, with other entries of the audit between."""
    Profile.objects.create(email="ann@example.com")
    delivery = commands.create_delivery(message, starter)
    for act in (commands.prepare, lambda *_: prepare.run(delivery.pk), commands.confirm):
        act(delivery, starter)
        trail.record("test.other")
    delivery.refresh_from_db()
    return delivery


@pytest.fixture
def root(admin_user: Any) -> Any:
    return admin_user


def packed(delivery: Delivery, by: Any) -> io.BytesIO:
    out = io.BytesIO()
    evidence.pack(delivery, by, out)
    out.seek(0)
    return out


def changed(source: io.BytesIO, name: str, change: Callable[[bytes], bytes | None]) -> io.BytesIO:
    """The pack with one file changed, or left out."""
    out = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w") as new:
        for part in old.namelist():
            data = change(old.read(part)) if part == name else old.read(part)
            if data is not None:
                new.writestr(part, data)
    out.seek(0)
    return out


def findings(source: io.BytesIO, **options: Any) -> str:
    return "; ".join(evidence_check.verify(source, **options)[1])


def test_a_pack_is_whole_and_tells_content_confirmation_counts_and_events(sent: Delivery, root: Any) -> None:
    source = packed(sent, root)
    assert findings(source) == "" and findings(source, here=False) == ""
    with zipfile.ZipFile(source) as file:
        told = {name: file.read(name).decode() for name in file.namelist()}
    (confirmation,) = json.loads(told["confirmation.json"])
    assert confirmation["actor"] == "starter" and confirmation["act"] == "delivery.confirmed"
    assert told["content/message.html"] == sent.content["html"]
    assert json.loads(told["delivery.json"])["fingerprint"] == sent.fingerprint
    assert json.loads(told["counts.json"])["messages"]["pending"] == 1
    assert "verify_evidence" in told["README.txt"] and "Send confirmed by" in told["events.json"]


def test_no_recipient_is_in_it(sent: Delivery, root: Any) -> None:
    with zipfile.ZipFile(packed(sent, root)) as file:
        assert not [name for name in file.namelist() if b"ann@example.com" in file.read(name)]


def test_no_recipient_for_whom_somebody_looked_is_in_it_either(sent: Delivery, root: Any, client: Client) -> None:
    client.force_login(root)
    answer = client.post(f"/admin/deliveries/delivery/{sent.pk}/export/sending-logs/?q=ann@example.com")
    b"".join(answer.streaming_content)
    entry = AuditEntry.objects.get(act="delivery.exported")
    assert entry.told["details"]["filters"] == {"q": "ann@example.com"} and "ann@" not in entry.content
    source = packed(sent, root)
    with zipfile.ZipFile(source) as file:
        assert not [name for name in file.namelist() if b"ann@example.com" in file.read(name)]
        assert (
            evidence.ABSENT in evidence_check._told(json.loads(file.read("audit.jsonl").splitlines()[-2]))[1]["words"]
        )
    assert findings(source) == ""


def test_entries_from_before_and_erased_ones_stand_in_it_and_prove_what_they_can(sent: Delivery, root: Any) -> None:
    old = AuditEntry(
        act="delivery.confirm",
        old_actor="anna",
        outcome="denied",
        version=1,
        content='{"words":"no"}',
        subject_type="deliveries.delivery",
        subject_id=str(sent.pk),
    )
    old.digest = chain.digest(old)
    old.save(force_insert=True)
    erasure.erase_account(sent.confirmed_by_id)
    source = packed(sent, root)
    assert findings(source) == ""
    with zipfile.ZipFile(source) as file:
        done, tried = json.loads(file.read("confirmation.json"))
    assert (done["actor"], done["told"]["after"]["state"]) == ("(erased)", "start_pending")
    assert (tried["actor"], tried["told"]) == ("anna", {"words": "no"})
    unbeside = resealed(source, "audit.jsonl", lambda data: data.replace(b', "beside": []', b""))  # as packs were
    assert findings(unbeside) == ""


def test_taking_it_stands_in_it(sent: Delivery, root: Any) -> None:
    with zipfile.ZipFile(packed(sent, root)) as file:
        assert "delivery.evidence" in file.read("audit.jsonl").decode()


@pytest.mark.parametrize(
    "name", ["content/message.html", "confirmation.json", "counts.json", "audit.jsonl", "chain.csv", "manifest.json"]
)
def test_a_changed_file_is_found(sent: Delivery, root: Any, name: str) -> None:
    assert findings(changed(packed(sent, root), name, lambda data: data.replace(b"1", b"2") + b" "))


def resealed(source: io.BytesIO, name: str, change: Callable[[bytes], bytes]) -> io.BytesIO:
    """The pack with one file changed, and manifest and seal made to fit: by whoever has the key."""
    out = changed(source, name, change)
    with zipfile.ZipFile(out) as file:
        manifest = json.loads(file.read("manifest.json"))
        if name != "manifest.json":
            manifest["files"][name] = hashlib.sha256(file.read(name)).hexdigest()
    text = json.dumps(manifest)
    out = changed(out, "manifest.json", lambda _: text.encode())
    return changed(out, "SEAL", lambda _: chain.sign(text).encode())


def without(line: int) -> Callable[[bytes], bytes]:
    return lambda data: b"\n".join(part for at, part in enumerate(data.split(b"\n")) if at != line)


def swapped(data: bytes) -> bytes:
    """The chain with the digests of its first two rows exchanged."""
    lines = data.decode().split("\n")
    (a, b, c), (d, e, f) = lines[2].split(","), lines[3].split(",")
    return "\n".join([*lines[:2], f"{a},{e},{c}", f"{d},{b},{f}", *lines[4:]]).encode()


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("chain.csv", without(2), "the chain has a gap before"),
        ("chain.csv", swapped, "the chain is broken at"),
        ("chain.csv", lambda data: data.rsplit(b"\n", 2)[0], "does not end at the manifest's head"),
        ("audit.jsonl", lambda data: data.replace(b"delivery.created", b"delivery.creaked"), "was altered"),
        ("audit.jsonl", lambda data: data.replace(b"starter", b"mallory"), "(actor) is not the one that was signed"),
        ("confirmation.json", lambda data: data.replace(b"starter", b"mallory"), "confirmation.json does not tell"),
        ("audit.jsonl", lambda data: data.replace(b'"position": 2', b'"position": 4'), "not the one at its place"),
        ("confirmation.json", lambda _: b"[]", "confirmation.json does not tell"),
        ("content/message.txt", lambda _: b"Another", "content/message.txt is not what was confirmed"),
        ("counts.json", None, "counts.json was altered"),
    ],
)
def test_each_check_finds_what_the_others_do_not(sent: Delivery, root: Any, name: str, change: Any, words: str) -> None:
    if change is None:  # the manifest is sealed as it was
        source = changed(packed(sent, root), name, lambda _: b"{}")
    else:
        source = resealed(packed(sent, root), name, change)
    assert words in findings(source, here=False)


def test_a_missing_or_added_file_is_found(sent: Delivery, root: Any) -> None:
    assert "counts.json is missing" in findings(changed(packed(sent, root), "counts.json", lambda _: None))
    source = packed(sent, root)
    with zipfile.ZipFile(source, "a") as file:
        file.writestr("more.txt", "x")
    assert "more.txt is not in the manifest" in findings(source)


def test_a_pack_made_up_without_the_key_is_found(sent: Delivery, root: Any, settings: Any) -> None:
    kept, settings.AUDIT_KEYS = settings.AUDIT_KEYS, ["a key that somebody guessed"]
    source = packed(sent, root)
    settings.AUDIT_KEYS = kept
    assert "the seal does not fit" in findings(source)


def test_content_that_is_not_what_was_confirmed_is_found(sent: Delivery, root: Any) -> None:
    Delivery.objects.filter(pk=sent.pk).update(content=sent.content | {"html": "<p>Something else"})
    sent.refresh_from_db()
    assert findings(packed(sent, root)) == "content/message.html is not what was confirmed"


def test_an_audit_that_was_changed_since_contradicts_the_pack(sent: Delivery, root: Any) -> None:
    source = packed(sent, root)
    lost = AuditEntry.objects.get(position=chain.head()[0] - 1)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM campaigns_auditvalue WHERE entry_id = %s", [lost.pk])
        cursor.execute("DELETE FROM campaigns_auditentry WHERE id = %s", [lost.pk])
    assert "this database's audit" in findings(source) and findings(source, here=False) == ""


def test_a_pack_outlives_the_entries_whose_time_is_over(sent: Delivery, root: Any) -> None:
    from django.utils import timezone

    source = packed(sent, root)
    retention.purge(timezone.now())
    assert findings(source) == ""


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04nothing", b"x" * 100])
def test_what_is_no_pack_is_said_to_be_none(data: bytes) -> None:
    assert "no whole evidence pack" in findings(io.BytesIO(data))


def test_the_role_export_or_administration_is_needed(sent: Delivery, starter: Any, make_user: Any) -> None:
    with pytest.raises(PermissionDenied):
        evidence.pack(sent, starter, io.BytesIO())
    for groups in (("Export", "Prepare deliveries"), ("Administrators",)):
        evidence.pack(sent, make_user(groups[0], *groups), io.BytesIO())


def test_the_page_gives_it_and_the_commands_write_and_check_it(
    sent: Delivery, root: Any, client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client.force_login(root)
    log, url = f"/admin/deliveries/delivery/{sent.pk}/log/", f"/admin/deliveries/delivery/{sent.pk}/evidence/"
    assert url in client.get(log).text and client.get(url).status_code == 200
    answer = client.post(url)
    assert findings(io.BytesIO(b"".join(answer.streaming_content))) == ""
    path = tmp_path / "pack.zip"
    call_command("evidence", f"DM{sent.pk}", "--as", root.username, "--out", str(path))
    call_command("verify_evidence", str(path))
    assert "Genuine and whole" in capsys.readouterr().out
    path.write_bytes(changed(io.BytesIO(path.read_bytes()), "counts.json", lambda _: b"{}").getvalue())
    with pytest.raises(CommandError, match="proves nothing"):
        call_command("verify_evidence", str(path))


def test_an_evidence_pack_masks_the_log_for_a_guest_from_a_unit_beside(message, routing, make_user):
    """A reader's verdict stands in the log with the address; a grant of Export from beside does not show it."""
    import io
    import zipfile

    from django.contrib.auth.models import User
    from guardian.shortcuts import assign_perm

    from campaigns.models.units import ROOT, OrganizationalUnit, PersonUnit
    from deliveries.ledger.events import log_event
    from deliveries.lifecycle import commands, evidence

    beside = OrganizationalUnit.objects.create(label="Beside", name="beside", parent_id=ROOT)
    guest = make_user("guest")
    PersonUnit.objects.filter(user=guest).update(unit=beside)
    guest = User.objects.get(pk=guest.pk)
    for code in ("view_campaign", "export_logs"):
        assign_perm(f"campaigns.{code}", guest, message.campaign)
    delivery = commands.create_delivery(message, make_user("other", "Start deliveries"))
    log_event(delivery, "approved", "Approved by reader@sibling.example (proof 1).", address="reader@sibling.example")
    out = io.BytesIO()
    evidence.pack(delivery, User.objects.get(pk=guest.pk), out)
    with zipfile.ZipFile(out) as file:
        assert "reader@sibling.example" not in file.read("events.json").decode()
