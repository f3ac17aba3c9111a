"""The audit: what is written, by whom and from where; and that nobody alters it unseen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from guardian.shortcuts import assign_perm, remove_perm
from hypothesis import given
from hypothesis import strategies as st

from campaigns.audit import chain as audit_chain
from campaigns.audit import retention, trail, triggers, verify
from campaigns.models import Campaign
from campaigns.models.audit.entries import AuditEntry, AuditValue, Unchangeable
from campaigns.models.units import GroupUnit, OrganizationalUnit, PersonUnit
from tests.campaigns.audit.unprotected import unprotect
from tests.postgres import running_postgres

pytestmark = pytest.mark.django_db
HERE = Path(__file__).parent
ON_POSTGRES = [
    __file__,
    str(HERE / "test_erasure.py"),
    str(HERE.parent / "models" / "audit" / "test_sides.py"),
    str(HERE.parents[1] / "deliveries" / "ledger" / "test_audited_setup.py"),
]


@pytest.fixture(autouse=True)
def own_anchors(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


@pytest.fixture
def chain(own_anchors: None) -> list[AuditEntry]:
    """Six sealed rows."""
    for number in range(6):
        trail.record("test.act", number=number)
    audit_chain.seal()
    return list(AuditEntry.objects.filter(act="test.act").order_by("position"))


def sql(statement: str, *values: Any) -> None:
    """A statement about the audit; whoever deletes entries deletes what stands beside them first."""
    with connection.cursor() as cursor:
        if statement.startswith("DELETE"):
            doomed = statement.replace("DELETE FROM audit", "SELECT id FROM campaigns_auditentry")
            cursor.execute(f"DELETE FROM campaigns_auditvalue WHERE entry_id IN ({doomed})", values)
        cursor.execute(statement.replace("audit", "campaigns_auditentry", 1), values)


def beside() -> str:
    """All values beside the chain."""
    return str(list(AuditValue.objects.values_list("before", "after")))


def found(*heads: tuple[int, str]) -> str:
    return "; ".join(finding.words for finding in verify.verify(heads).findings)


def last(act: str) -> AuditEntry:
    return AuditEntry.objects.filter(act=act).latest("pk")


# --- the chain -------------------------------------------------------------------------------------


def test_an_untouched_audit_is_whole(chain: list[AuditEntry]) -> None:
    proof = verify.verify(audit_chain.anchors())
    assert (proof.findings, proof.checked, proof.waiting) == ([], AuditEntry.objects.count(), 0)
    assert proof.head == audit_chain.head()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actor", "'mallory'"),
        ("at", "'2020-01-01 00:00:00'"),
        ("content", "'{}'"),
        ("outcome", "'denied'"),
        ("address", "'10.0.0.9'"),
        ("subject_id", "'7'"),
        ("actor_id", "99"),
    ],
)
def test_an_altered_row_is_found_and_named(chain: list[AuditEntry], column: str, value: str) -> None:
    sql(f"UPDATE audit SET {column} = {value} WHERE id = %s", chain[2].pk)
    words = found()
    assert words.startswith(f"entry {chain[2].position} (test.act") and "altered" in words and ";" not in words


def test_removed_rows_are_found_and_named(chain: list[AuditEntry]) -> None:
    sql("DELETE FROM audit WHERE id IN (%s, %s)", chain[2].pk, chain[3].pk)
    assert found() == f"entries {chain[2].position} to {chain[3].position} were removed"


def test_removing_the_beginning_is_found(chain: list[AuditEntry]) -> None:
    sql("DELETE FROM audit WHERE position <= %s", chain[1].position)
    assert found() == f"entries 1 to {chain[1].position} were removed"


def test_rows_that_changed_places_are_found(chain: list[AuditEntry]) -> None:
    a, b = chain[1], chain[4]
    sql("UPDATE audit SET position = -1 WHERE id = %s", a.pk)
    sql("UPDATE audit SET position = %s, chain = %s WHERE id = %s", a.position, a.chain, b.pk)
    sql("UPDATE audit SET position = %s, chain = %s WHERE id = %s", b.position, b.chain, a.pk)
    assert f"entry {a.position} does not follow" in found() and f"entry {b.position} does not follow" in found()


def test_closing_the_gap_after_removing_a_row_is_found(chain: list[AuditEntry]) -> None:
    sql("DELETE FROM audit WHERE id = %s", chain[2].pk)
    for row in chain[3:]:
        sql("UPDATE audit SET position = %s WHERE id = %s", (row.position or 0) - 1, row.pk)
    assert f"entry {chain[3].position - 1} does not follow" in found()  # type: ignore[operator]


def test_a_cut_at_the_end_is_found_by_the_anchor(chain: list[AuditEntry]) -> None:
    audit_chain.anchor(*audit_chain.head())
    sql("DELETE FROM audit WHERE position >= %s", chain[4].position)
    assert "the end was cut off" in found(*audit_chain.anchors())
    assert found() == ""  # the table alone cannot tell


def test_a_cut_at_the_end_is_found_though_the_audit_goes_on_and_notes_the_same_positions_anew(
    chain: list[AuditEntry],
) -> None:
    def note(number: int) -> None:
        trail.record("test.act", number=number)
        audit_chain.seal()
        audit_chain.anchor(*audit_chain.head())

    for number in range(3):
        note(number)
    sql("DELETE FROM audit WHERE position >= %s", audit_chain.head()[0] - 1)
    for number in range(4):
        note(number)
    assert "not the one whose head was noted" in found(*audit_chain.anchors())
    with pytest.raises(CommandError, match="not whole"):
        call_command("verify_audit")


def test_who_rewrites_all_without_the_key_is_found(chain: list[AuditEntry], settings: Any) -> None:
    anchors = [audit_chain.head()]
    kept, settings.AUDIT_KEYS = settings.AUDIT_KEYS, ["a key that somebody guessed"]
    previous = audit_chain.START
    for row in audit_chain.rows():
        row.old_actor = "mallory"
        own = audit_chain.digest(row)
        previous = audit_chain.sign(audit_chain.link_text(row.position or 0, previous, own))
        sql("UPDATE audit SET actor = 'mallory', digest = %s, chain = %s WHERE id = %s", own, previous, row.pk)
    settings.AUDIT_KEYS = kept
    assert found(*anchors).count("altered") >= 6


def test_a_new_key_signs_and_the_old_one_still_proves(chain: list[AuditEntry], settings: Any) -> None:
    settings.AUDIT_KEYS = ["the key after the change", *settings.AUDIT_KEYS]
    trail.record("test.after")
    audit_chain.seal()
    assert found() == ""
    settings.AUDIT_KEYS = settings.AUDIT_KEYS[:1]
    assert "altered" in found()


def test_a_row_altered_before_it_is_sealed_is_found() -> None:
    row = trail.record("test.act")
    sql("UPDATE audit SET actor = 'mallory' WHERE id = %s", row.pk)
    assert "was altered" in found()
    audit_chain.seal()
    assert "was altered" in found()


def test_what_is_over_its_time_goes_and_the_rest_is_still_proved(chain: list[AuditEntry]) -> None:
    limit = AuditEntry.objects.get(pk=chain[3].pk).at
    assert retention.purge(limit) == chain[2].position
    assert found(*audit_chain.anchors()) == "" and verify.verify().first == chain[3].position
    sql("DELETE FROM audit WHERE id = %s", chain[3].pk)
    assert f"entries 1 to {chain[3].position} were removed" in found()


def test_a_kill_in_the_middle_of_deleting_is_no_finding(chain: list[AuditEntry], monkeypatch: Any) -> None:
    real = AuditEntry.objects.none().__class__._raw_delete
    monkeypatch.setattr(audit_chain, "ROWS", 2)

    def killed(self: Any, using: str) -> int:
        real(self, using)
        raise KeyboardInterrupt

    monkeypatch.setattr(AuditEntry.objects.none().__class__, "_raw_delete", killed)
    with pytest.raises(KeyboardInterrupt):
        retention.purge(chain[4].at)
    assert found() == ""


def test_nobody_changes_it_through_the_models(chain: list[AuditEntry]) -> None:
    for act in (
        chain[0].save,
        chain[0].delete,
        AuditEntry.objects.all().delete,
        lambda: AuditEntry.objects.filter(pk=1).update(actor="x"),
        lambda: AuditEntry.objects.bulk_update(chain, ["actor"]),
    ):
        with pytest.raises(Unchangeable):
            act()


def test_the_database_itself_refuses(chain: list[AuditEntry]) -> None:
    triggers.protect()
    try:
        for statement in (
            "UPDATE audit SET actor = 'mallory' WHERE id = %s",
            "UPDATE audit SET position = 99 WHERE id = %s",
            "DELETE FROM audit WHERE id = %s",
        ):
            with pytest.raises(DatabaseError, match="only ever added to"), transaction.atomic():
                sql(statement, chain[2].pk)
        trail.record("test.more")
        audit_chain.seal()  # sealing and what is over its time go on
        assert retention.purge(chain[3].at) and found() == ""
    finally:
        unprotect()


@given(text=st.text(max_size=400), number=st.integers(), other=st.floats())
def test_whatever_is_told_can_be_kept_and_proved(text: str, number: int, other: float) -> None:
    with transaction.atomic():
        row = trail.record(text, before={"a": text}, after=[number, other], subject_id=text)
        again = AuditEntry.objects.get(pk=row.pk)
        assert audit_chain.signed(audit_chain.canonical(again), again.digest)
        transaction.set_rollback(True)


def test_the_command_says_which_row_and_fails(chain: list[AuditEntry]) -> None:
    out, errors = StringIO(), StringIO()
    call_command("verify_audit", stdout=out)
    assert f"Note its head: {audit_chain.head()[0]}:" in out.getvalue()
    sql("UPDATE audit SET actor = 'mallory' WHERE id = %s", chain[2].pk)
    with pytest.raises(CommandError, match="not whole"):
        call_command("verify_audit", stderr=errors)
    assert f"entry {chain[2].position}" in errors.getvalue()


def test_a_head_noted_by_hand_or_in_a_kept_log_finds_a_cut(chain: list[AuditEntry], tmp_path: Path) -> None:
    position, value = audit_chain.head()
    sql("DELETE FROM audit WHERE position = %s", position)
    with pytest.raises(CommandError):
        call_command("verify_audit", head=[f"{position}:{value}"], stderr=StringIO())
    log = tmp_path / "kept.log"
    log.write_text(f"2026-01-01 12:00:00 INFO campaigns.audit: audit head {position} {value}\nother line\n")
    with pytest.raises(CommandError):
        call_command("verify_audit", heads=log, stderr=StringIO())


@pytest.mark.django_db(transaction=True)
def test_many_who_write_and_seal_at_once_make_one_chain_without_a_gap() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time; test_audit_on_postgresql runs this")

    def write(who: int) -> None:
        try:
            for number in range(25):
                with transaction.atomic():
                    trail.record("test.act", who=who, number=number)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert found(*audit_chain.anchors()) == ""
    assert audit_chain.head()[0] == AuditEntry.objects.count() >= 200


@pytest.mark.slow
@pytest.mark.postgres
def test_audit_on_postgresql(service: Callable[[str], str]) -> None:
    with running_postgres(service("postgres")) as url:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--create-db", *ON_POSTGRES]
        environment = os.environ | {"DATABASE_URL": f"{url}postgres"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "skipped" not in done.stdout, done.stdout[-4000:]


# --- what is written ----------------------------------------------------------------------------------


def test_logging_in_and_out_and_failing_tells_who_from_where(client: Client, make_user: Callable[..., Any]) -> None:
    make_user("anna")
    ask = {"REMOTE_ADDR": "192.0.2.7", "HTTP_USER_AGENT": "Browser 1.0 " + "x" * 500}
    for password in ("wrong", "pass-word-9"):
        client.post("/admin/login/", {"username": "anna", "password": password}, **ask)
    client.post("/admin/logout/", **ask)
    rows = AuditEntry.objects.filter(act__regex="^log").order_by("pk")
    assert [(r.act, r.actor, r.outcome) for r in rows] == [
        ("login.failed", "anna", "failed"),
        ("login", "anna", "done"),
        ("logout", "anna", "done"),
    ]
    assert {(r.address, r.channel, len(r.agent)) for r in rows} == {("192.0.2.7", "admin", 120)}


def test_a_name_that_is_nobodys_is_not_kept_since_it_may_be_a_password(client: Client) -> None:
    client.post("/admin/login/", {"username": "My-Secret-Pass!", "password": "x"})
    row = last("login.failed")
    assert row.actor == "" and "My-Secret" not in str(row.__dict__) + beside()


def test_the_proxy_is_believed_only_if_there_is_one(rf: Any, settings: Any) -> None:
    meta = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "6.6.6.6, 192.0.2.9"}
    assert trail.client_address(meta) == "10.0.0.1"
    settings.BEHIND_PROXY = True
    assert trail.client_address(meta) == "192.0.2.9"


def test_changes_of_people_and_rights_tell_before_and_after(make_user: Callable[..., Any]) -> None:
    anna = make_user("anna")
    anna.groups.add(Group.objects.get(name="Start deliveries"))
    assert last("user.groups_added").told["names"] == ["Start deliveries"]
    anna.is_superuser = True
    anna.save()
    assert last("user.changed").told == {"before": {"is_superuser": False}, "after": {"is_superuser": True}}
    campaign = Campaign.objects.create(label="Spring")
    assign_perm("start_deliveries", anna, campaign)
    remove_perm("start_deliveries", anna, campaign)
    assert last("right.deleted").told["before"]["object_pk"] == str(campaign.pk)
    assert last("right.added").subject
    anna.delete()
    assert last("user.deleted").told["before"]["username"] == "anna"


def test_a_password_is_told_as_changed_and_never_shown(make_user: Callable[..., Any]) -> None:
    anna = make_user("anna")
    anna.set_password("another-pass-word")
    anna.save()
    told = last("user.changed").told
    assert set(told["after"]) == {"password"} and told["before"] != told["after"]
    assert anna.password not in last("user.changed").content + beside()


def test_tokens_made_and_revoked_are_told(client: Client, make_user: Callable[..., Any]) -> None:
    import base64

    make_user("anna")
    basic = "Basic " + base64.b64encode(b"anna:pass-word-9").decode()
    token = client.post("/api/token/", HTTP_AUTHORIZATION=basic).json()["token"]
    assert (last("token.added").actor, last("token.added").channel) == ("anna", "api")
    client.post("/api/token/end/", HTTP_AUTHORIZATION=f"Token {token}")
    assert last("token.deleted").actor == "anna"
    assert token not in json.dumps(list(AuditEntry.objects.values_list("content", flat=True))) + beside()


def test_a_refused_page_is_told(client: Client, make_user: Callable[..., Any]) -> None:
    client.force_login(make_user("anna"))
    client.get("/admin/auth/user/")
    row = last("request")
    assert (row.actor, row.outcome, row.told["path"]) == ("anna", "denied", "/admin/auth/user/")


def test_an_act_that_is_rolled_back_leaves_no_row() -> None:
    before = AuditEntry.objects.count()
    with transaction.atomic():
        trail.record("test.act")
        transaction.set_rollback(True)
    assert AuditEntry.objects.count() == before


# --- the list ---------------------------------------------------------------------------------------


def test_only_administrators_see_the_list_and_nobody_changes_it(client: Client, make_user: Callable[..., Any]) -> None:
    row = trail.record("test.act")
    client.force_login(make_user("anna", "Start deliveries"))
    assert client.get("/admin/campaigns/auditentry/").status_code == 403
    client.force_login(make_user("chief", "Administrators"))
    page = client.get(f"/admin/campaigns/auditentry/{row.pk}/change/")
    assert page.status_code == 200 and 'name="_save"' not in page.text
    assert client.post(f"/admin/campaigns/auditentry/{row.pk}/change/", {"actor": "x"}).status_code == 403
    assert client.post(f"/admin/campaigns/auditentry/{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_an_administrator_of_a_part_of_the_tree_does_not_see_it(client: Client, make_user: Callable[..., Any]) -> None:
    chief = make_user("chief", "Administrators")
    below = OrganizationalUnit.objects.create(label="North", name="north", parent_id=1)
    GroupUnit.objects.filter(group__name="Administrators").update(unit=below)
    PersonUnit.objects.filter(user=chief).update(unit=below)
    client.force_login(chief)
    assert client.get("/admin/campaigns/auditentry/").status_code == 403


def test_the_list_filters_and_searches(client: Client, make_user: Callable[..., Any], admin_user: User) -> None:
    client.force_login(admin_user)
    trail.record("delivery.confirmed", by=make_user("anna"), subject_id="12")
    for query in ("q=anna", "about=deliveries", "q=delivery.conf", "channel__exact=command+line"):
        assert "delivery.confirmed" in client.get(f"/admin/campaigns/auditentry/?{query}").text, query
    for query in ("q=DM13", "about=logins", "outcome__exact=denied"):
        assert "delivery.confirmed" not in client.get(f"/admin/campaigns/auditentry/?{query}").text, query
