"""No value that tells of a person enters the chain; it stands beside, can be erased, and the chain still holds."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from campaigns.audit import chain, erasure, retention, trail, triggers, verify
from campaigns.consent import changes
from campaigns.models import Audience, Profile, TestProfile, TypologyRule
from campaigns.models.audit import audit_values
from campaigns.models.audit.audit_values import Kind
from campaigns.models.audit.entries import AuditEntry, AuditValue, Unchangeable
from tests.campaigns.audit.unprotected import unprotect

pytestmark = pytest.mark.django_db
ADDRESS = "ann.o'hara+news@example.com"


@pytest.fixture(autouse=True)
def own_anchors(tmp_path: Any, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


@pytest.fixture
def ann() -> Profile:
    """Somebody with a history: changed, in the conditions of an audience, on a denylist."""
    ann = Profile.objects.create(
        email=ADDRESS, first_name="Ann", attributes={"card": "no-4711"}, birth_date="1980-05-01"
    )
    ann.email = "ann@elsewhere.example"
    ann.save()
    changes.opt_out([ann.pk], ["opt_out_email"], changes.Origin(changes.Way.FORM))
    Audience.objects.create(label="Some", conditions=[{"field": "email", "op": "is", "value": ADDRESS.upper()}])
    TypologyRule.objects.create(label="Out", kind="addresses", entries=f"x@example.com\n{ADDRESS}")
    trail.record("delivery.approved", words=f"Approved by {ADDRESS}.", details={"address": ADDRESS})
    return ann


def chained() -> str:
    """All that the chain signs, and all that stands in its table."""
    rows = AuditEntry.objects.all()
    return "\n".join(chain.canonical(row) + json.dumps(row.content) + str(row.__dict__) for row in rows)


def beside() -> str:
    return "\n".join(f"{row.before} {row.after}" for row in AuditValue.objects.all())


def found() -> str:
    chain.seal()
    return "; ".join(finding.words for finding in verify.verify(chain.anchors()).findings)


# --- what enters the chain -----------------------------------------------------------------------------------------


def test_no_value_of_a_person_enters_the_chain_by_any_road(
    client: Client, ann: Profile, starter: Any, message: Any
) -> None:
    client.force_login(starter)
    seed = TestProfile.objects.create(label="Seed of Ann", email=f"seed-{ADDRESS}", birth_date="1980-05-01")
    body = {"city": "Ann's town", "attributes": {"shoe": "size 39"}, "gender": 2}
    client.patch(
        f"/api/profiles/{ann.pk}/", body, "application/json", REMOTE_ADDR="192.0.2.77", HTTP_USER_AGENT="Own/1"
    )
    client.post("/api/profiles/bulk/", {"profiles": [{"email": "bulk@example.com"}]}, "application/json")
    message.traps.add(seed)
    client.get(f"/admin/auth/user/?q={ADDRESS}")
    ann.delete()
    signed = chained().lower()
    for value in (
        "ann.o",
        "elsewhere",
        "no-4711",
        "1980-05",
        "town",
        "size 39",
        "seed",
        "bulk@",
        "starter",
        "192.0.2.77",
        "own/1",
    ):
        assert value not in signed, value
    entry = AuditEntry.objects.filter(act="profile.changed").latest("pk")
    assert (entry.actor, entry.actor_id, entry.address, entry.agent) == ("starter", starter.pk, "192.0.2.77", "Own/1")
    assert entry.told["after"] == {"city": "Ann's town", "attributes": {"shoe": "size 39"}, "gender": 2}


@given(st.dictionaries(st.text(max_size=8), st.text(min_size=9, max_size=60), max_size=4), st.text(min_size=9))
def test_no_text_that_anybody_tells_enters_the_chain(values: dict[str, str], text: str) -> None:
    with transaction.atomic():
        row = trail.record("test.act", before=values, after=values, words=text, details={"said": [text], "n": 1})
        signed = row.content
        assert not [value for value in (*values.values(), text) if json.dumps(value)[1:-1] in signed]
        again = AuditEntry.objects.get(pk=row.pk)
        assert again.told["words"] == text.encode("utf-8", "replace").decode()
        assert all(audit_values.fits(value, again.digests[value.path][1]) for value in again.beside.all())
        transaction.set_rollback(True)


def test_numbers_dates_and_our_own_words_stay_in_the_chain_but_nothing_of_a_recipient(ann: Profile) -> None:
    seen = {"state": "ready", "to_deliver": 3, "fingerprint": {"html": "abc"}, "label": "Spring"}
    row = trail.record("delivery.confirmed", before=seen, after=seen | {"to_deliver": 4}, number=7)
    told = row.signed_content["told"]
    assert told["after"] == {"state": "ready", "to_deliver": 4, "fingerprint": {"html": "abc"}} and told["number"] == 7
    assert row.told["after"]["label"] == "Spring"
    row = trail.record("profile.opted_in", subject=ann, before={"opt_out": True}, after={"opt_out": False})
    assert row.signed_content["told"] == {} and row.told["after"] == {"opt_out": False}


def test_a_long_text_is_kept_whole_and_a_longer_one_by_its_beginning_and_fingerprint() -> None:
    for size in (150_000, audit_values.LONGEST + 1):
        trail.record("test.act", after={"html": "x" * size})
    whole, cut = AuditEntry.objects.filter(act="test.act").order_by("pk")
    assert whole.told["after"]["html"] == "x" * 150_000
    assert hashlib.sha256(b"x" * (audit_values.LONGEST + 1)).hexdigest() in cut.told["after"]["html"]


# --- erasing -------------------------------------------------------------------------------------------------------


def test_a_person_is_erased_wherever_they_stand_and_the_chain_holds(ann: Profile) -> None:
    chain.seal()
    before = {row.position: row.chain for row in chain.rows()}
    done = erasure.erase_person(profile=ann.pk)
    assert done.values > 5 and done.old == ()
    assert "ann" not in beside().lower() and "no-4711" not in beside()
    assert found() == "" and before.items() <= {row.position: row.chain for row in chain.rows()}.items()
    assert AuditEntry.objects.filter(act="profile.changed").latest("pk").told["after"]["email"] == audit_values.ERASED


def test_an_address_is_erased_though_its_profile_is_gone_and_longer_ones_stay(ann: Profile) -> None:
    ann.delete()
    Profile.objects.create(email=f"jo{ADDRESS}")
    Profile.objects.create(email=f"{ADDRESS}.fr")
    erasure.erase_person(address=f" {ADDRESS.upper()} ")
    assert f"jo{ADDRESS}" in beside() and f"{ADDRESS}.fr" in beside()
    assert f'"{ADDRESS}"' not in beside() and found() == ""


def test_a_name_of_other_letters_is_found_whatever_their_case() -> None:
    trail.record("test.act", words="Ödön.Ünal@beispiel.example wrote")
    assert erasure.erase_person(address="ödön.ünal@beispiel.example").values == 1


def test_an_erasure_is_an_act_that_names_entries_and_fields_and_no_value(ann: Profile, starter: Any) -> None:
    erasure.erase_person(profile=ann.pk, by=starter)
    row = AuditEntry.objects.get(act="audit.erased")
    told = row.signed_content["told"]
    assert (row.actor, told["profile"]) == ("starter", ann.pk)
    assert told["number"] == sum(map(len, told["entries"].values())) and "ann" not in row.content.lower()


def test_what_staff_did_stays_when_a_recipient_of_the_same_address_is_erased(make_user: Callable[..., Any]) -> None:
    chief = make_user("ann@example.com")
    trail.record("test.act", by=chief)
    erasure.erase_person(address="ann@example.com")
    assert AuditEntry.objects.get(act="test.act").actor == "ann@example.com"
    erasure.erase_account(chief.pk)
    row = AuditEntry.objects.get(act="test.act")
    assert (row.actor, row.actor_id) == (audit_values.ERASED, chief.pk) and "ann@" not in beside() and found() == ""


def test_after_an_erasure_the_key_of_the_audit_and_a_list_of_all_addresses_tell_nothing(ann: Profile) -> None:
    entry = AuditEntry.objects.filter(act="profile.added").latest("pk")
    erasure.erase_person(profile=ann.pk)
    left = {own for _sides, own in AuditEntry.objects.get(pk=entry.pk).digests.values()}
    message = audit_values.compact(["before+after/email", "recipient", None, json.dumps(ADDRESS)]).encode()
    keys = [*chain._keys(), b"", *(k.encode() for k in chain.settings.AUDIT_KEYS)]
    assert not left & {hmac.new(key, message, "sha256").hexdigest() for key in keys}
    assert not left & {hashlib.sha256(message).hexdigest()}


# --- what is found -------------------------------------------------------------------------------------------------


def change(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


@pytest.mark.parametrize("column", ["after", "salt", "kind"])
def test_an_altered_value_beside_is_found(ann: Profile, column: str) -> None:
    value = AuditValue.objects.get(entry__act="audience.added", path="before+after/conditions")
    change(f"UPDATE campaigns_auditvalue SET {column} = %s WHERE id = %s", "staff", value.pk)
    assert "the value beside it (before+after/conditions) was altered" in found()


def test_an_added_value_is_found(ann: Profile) -> None:
    entry = AuditEntry.objects.filter(act="audience.added").latest("pk")
    AuditValue.objects.create(entry=entry, path="words", kind="other", after='"x"', salt="00")
    assert "a value (words) was added beside it" in found()


def test_a_value_that_went_without_an_erasure_is_found_and_one_that_an_erasure_names_is_not(ann: Profile) -> None:
    row = AuditValue.objects.get(entry__act="profile.added", path="before+after/email", entry__subject_id=ann.pk)
    change("DELETE FROM campaigns_auditvalue WHERE id = %s", row.pk)
    assert "values beside it are gone (before+after/email), and no erasure says so" in found()
    trail.record("audit.erased", entries={str(row.entry_id): [row.path]}, plain=["entries"])
    assert found() == ""


def test_an_erasure_that_somebody_makes_up_excuses_nothing(ann: Profile, settings: Any) -> None:
    row = AuditValue.objects.get(entry__act="profile.added", path="before+after/email", entry__subject_id=ann.pk)
    chain.seal()
    change("DELETE FROM campaigns_auditvalue WHERE id = %s", row.pk)
    kept, settings.AUDIT_KEYS = settings.AUDIT_KEYS, ["guessed"]
    trail.record("audit.erased", entries={str(row.entry_id): [row.path]}, plain=["entries"])
    chain.seal()
    settings.AUDIT_KEYS = kept
    assert "no erasure says so" in found()


def test_values_go_with_their_entries_when_their_time_is_over(ann: Profile) -> None:
    retention.purge(timezone.now())
    assert found() == "" and not AuditValue.objects.exclude(entry__act="audit.purged").exists()


def test_nobody_changes_values_by_models_or_sql_but_erasing_goes_on(ann: Profile) -> None:
    value = AuditValue.objects.first()
    assert value is not None
    for act in (
        value.save,
        value.delete,
        AuditValue.objects.all().delete,
        lambda: AuditValue.objects.update(after="1"),
    ):
        with pytest.raises(Unchangeable):
            act()
    triggers.protect()
    try:
        with pytest.raises(DatabaseError, match="only ever added to"), transaction.atomic():
            change("UPDATE campaigns_auditvalue SET after = 'x' WHERE id = %s", value.pk)
        assert erasure.erase_person(profile=ann.pk).values and retention.purge(timezone.now()) and found() == ""
    finally:
        unprotect()


# --- entries from before, the command, the page --------------------------------------------------------------------


def old_entry(**told: Any) -> AuditEntry:
    """As entries were written before values stood beside."""
    row = AuditEntry(
        act="delivery.exported",
        old_actor="anna",
        old_address="192.0.2.1",
        old_subject="Spring (DM1)",
        version=1,
        subject_type="deliveries.delivery",
        subject_id="1",
        content=json.dumps(told),
    )
    row.digest = chain.digest(row)
    row.save(force_insert=True)
    return row


def test_entries_from_before_still_verify_and_read_as_they_did() -> None:
    row = old_entry(words="anna exported", before={"state": "ready"})
    trail.record("test.act")
    assert found() == ""
    signed = json.loads(chain.canonical(row))
    assert signed[1] == "delivery.exported" and signed[4:6] == ["anna", "192.0.2.1"]
    read = AuditEntry.objects.get(pk=row.pk)
    assert (read.actor, read.address, read.subject) == ("anna", "192.0.2.1", "Spring (DM1)")
    assert read.told == {"words": "anna exported", "before": {"state": "ready"}}
    change("UPDATE campaigns_auditentry SET version = 2 WHERE id = %s", row.pk)
    assert "was altered" in found()


def test_the_command_erases_says_what_is_left_and_the_check_counts_it(ann: Profile) -> None:
    old_entry(words=f"anna exported ({ADDRESS})")
    out, errors = StringIO(), StringIO()
    call_command("erase_from_audit", profile=ann.pk, stdout=out, stderr=errors)
    assert "Erased" in out.getvalue() and "1 entries from before" in errors.getvalue()
    call_command("verify_audit", stdout=out)
    assert "were erased, as entries say" in out.getvalue() and "; 0 were erased" not in out.getvalue()
    for wrong in ({}, {"profile": 1, "account": 1}, {"address": " "}):
        with pytest.raises(CommandError, match="Name a recipient"):
            call_command("erase_from_audit", **wrong)


def test_the_page_shows_before_and_after_and_says_what_was_erased(
    client: Client, ann: Profile, admin_user: Any
) -> None:
    client.force_login(admin_user)
    row = AuditEntry.objects.filter(act="profile.changed").latest("pk")
    url = f"/admin/campaigns/auditentry/{row.pk}/change/"
    page = client.get(url).content.decode()
    assert "before: ann.o&#x27;hara+news@example.com" in page and "after: ann@elsewhere.example" in page
    erasure.erase_person(profile=ann.pk)
    page = client.get(url).content.decode()
    assert "after: (erased)" in page and "ann@elsewhere.example" not in page


def test_the_list_finds_who_and_what_beside_with_few_queries(
    client: Client, ann: Profile, admin_user: Any, django_assert_max_num_queries: Any
) -> None:
    client.force_login(admin_user)
    url = "/admin/campaigns/auditentry/?"
    for query in ("q=ann@else", "about=recipients", "q=profile.ch"):
        assert "profile.changed" in client.get(url + query).text, query
    for query in ("q=elsewhere", "about=setup", "q=audience.added", "q=1"):
        assert "profile.changed" not in client.get(url + query).text, query
    with django_assert_max_num_queries(12):
        client.get("/admin/campaigns/auditentry/")


def test_from_where_a_recipient_or_reader_acted_for_themselves_is_erased_with_them(ann: Profile) -> None:
    token = trail._source.set(trail.Source("192.0.2.5", "Mail program", "web"))
    try:
        row = trail.record("profile.opted_out", subject=ann, after={"opt_out_email": True})
        trail.record("delivery.approved", subject_id="1", words=f"Approved by {ADDRESS}.")
        trail.record("delivery.approved", subject_id="2", words="Approved by jo@example.com.")
    finally:
        trail._source.reset(token)
    assert {value.kind for value in row.beside.all()} == {Kind.RECIPIENT.value}
    erasure.erase_person(profile=ann.pk)
    assert beside().count("192.0.2.5") == 1 and found() == ""
