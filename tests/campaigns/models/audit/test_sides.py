"""Every model takes a side in the audit, and whoever changes who gets what is told of, by whatever way."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from campaigns.models import (
    Audience,
    Campaign,
    ControlGroup,
    Message,
    Profile,
    Recurrence,
    Schedule,
    TestProfile,
    TrackingOptions,
)
from campaigns.models.audit.entries import AuditEntry
from campaigns.models.units import OrganizationalUnit, PersonUnit
from tests.deliveries.page_form import posted

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[4]


def last(act: str) -> AuditEntry:
    found = AuditEntry.objects.filter(act=act).order_by("-pk").first()
    assert found is not None, f"no {act}: {sorted(set(AuditEntry.objects.values_list('act', flat=True)))}"
    return found


def acts(*prefixes: str) -> list[str]:
    found = AuditEntry.objects.order_by("pk").values_list("act", flat=True)
    return [act for act in found if act.startswith(prefixes)]


def told_models() -> dict[Any, Any]:
    from campaigns.models.audit import sides

    return {apps.get_model(label): side for label, side in sides._sides.items() if isinstance(side, sides.Told)}


# --- every model takes a side ------------------------------------------------------------------------------------


def test_every_model_is_told_or_says_why_it_is_not() -> None:
    from campaigns.models.audit import sides

    models = [m for app in ("campaigns", "deliveries", "reporting") for m in apps.get_app_config(app).get_models()]
    assert [m._meta.label for m in models if not sides.side_of(m)] == []
    assert all(apps.get_model(label) for label in sides._sides)


def test_a_told_model_has_the_queryset_that_tells_of_crowds() -> None:
    from campaigns.models.audit import watched

    own = [m for m in told_models() if m.__module__.split(".")[0] in ("campaigns", "deliveries", "reporting")]
    token = apps.get_model("campaigns.ApiToken")  # knox's manager makes them, one by one
    assert [
        m for m in own if m is not token and not issubclass(m._default_manager._queryset_class, watched.Watched)
    ] == []


def test_the_fields_that_are_not_told_are_there() -> None:

    for model, told in told_models().items():
        names = {field.name for field in model._meta.get_fields()}
        assert told.untold - names <= {"modified_at", "last_login"} and set(told.relations) <= names, model


# Statements that write past the ORM, by file and table: which of them touch what is told, and who tells.
RAW = {
    ("campaigns/targeting/import_profiles.py", "_STAGED"): "not told",
    ("campaigns/targeting/import_profiles.py", "_PROFILE"): "import.done, profiles.upserted",
    ("campaigns/consent/staged.py", "_PROFILE"): "consent.opted_out, consent.opted_in",
    ("campaigns/targeting/import_profiles.py", "AudienceMember._meta.db_table"): "import.done",
    ("campaigns/audit/chain.py", "table"): "seals the audit",
    ("deliveries/feedback/quarantine.py", "deliveries_quarantinedaddress"): "reports, nobody's act",
    ("deliveries/lifecycle/recurrence/runs.py", "deliveries_exclusionlog"): "not told",
}
_TOLD_TABLES = (
    "_PROFILE|AudienceMember|campaigns_(?!audit|staged)|quarantined|routing|qualificationrule|webhookendpoint|alert"
)


def test_no_statement_past_the_orm_changes_what_is_told_without_an_act() -> None:
    found = set()
    for app in ("campaigns", "deliveries", "reporting"):
        for file in (ROOT / app).rglob("*.py"):
            if "migrations" in file.parts:
                continue
            for sql in re.findall(r"(?:INSERT INTO|UPDATE|DELETE FROM) \{?([\w.]+)", file.read_text()):
                if re.search(_TOLD_TABLES, sql):
                    found.add((str(file.relative_to(ROOT)), sql))
    assert found <= set(RAW), found - set(RAW)
    assert {place for place in RAW if re.search(_TOLD_TABLES, place[1])} <= found


def test_nobody_goes_round_the_queryset_that_tells() -> None:
    """_base_manager and _raw_delete know nothing of the audit: only logs and the audit itself go by them."""
    found = set()
    for app in ("campaigns", "deliveries", "reporting"):
        for file in (ROOT / app).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    text = ast.unparse(node.func)
                    round_it = "_base_manager" in text and node.func.attr in (
                        "update",
                        "bulk_create",
                        "bulk_update",
                        "create",
                    )
                    if round_it or node.func.attr == "_raw_delete":
                        found.add((str(file.relative_to(ROOT)), node.func.attr))
    assert found == {
        ("campaigns/audit/retention.py", "_raw_delete"),
        ("campaigns/audit/erasure.py", "_raw_delete"),
        ("deliveries/lifecycle/deletion.py", "_raw_delete"),
        ("deliveries/preparation/prepare.py", "_raw_delete"),
        ("reporting/jobs/retention.py", "_raw_delete"),
    }


# --- messages, by each road --------------------------------------------------------------------------------------


def form(message: Message, **changes: Any) -> dict[str, Any]:
    """What the message form posts."""
    values = {
        "label": message.label,
        "description": "",
        "campaign": message.campaign_id,
        "brand": message.brand_id,
        "audience": message.audience_id or "",
        "subject": message.subject,
        "sender_name": "",
        "sender_address": "",
        "reply_to": "",
        "html": message.html,
        "text": message.text,
        "proof_prefix": message.proof_prefix,
    }
    for inline in ("schedule", "recurrence", "control_group", "tracking"):
        values |= {f"{inline}-TOTAL_FORMS": "0", f"{inline}-INITIAL_FORMS": "0"}
    return values | changes


def test_a_preparer_who_edits_the_html_by_the_form_is_told_with_before_and_after(
    client: Client, message: Message, preparer: Any
) -> None:
    client.force_login(preparer)
    was, now = message.html, message.html + "<p>Forged</p>"
    client.post(reverse("admin:campaigns_message_change", args=[message.pk]), form(message, html=now))
    row = last("message.changed")
    assert row.told == {"before": {"html": was}, "after": {"html": now}}
    assert (row.actor, row.channel, row.subject_id) == ("preparer", "admin", str(message.pk))


def test_and_by_the_api_with_schedule_recurrence_tracking_control_group_and_traps(
    client: Client, message: Message, preparer: Any
) -> None:
    client.force_login(preparer)
    trap = TestProfile.objects.create(label="Seed", email="seed@example.com", trap=True)
    other = Audience.objects.create(label="Others", kind="all")
    body = {
        "subject": "Forged",
        "audience": other.pk,
        "recurrence": {"frequency": "cron", "cron": "* * * * *"},
        "tracking": {"active": False},
        "control_group": {"extraction": "random", "percent": 5},
        "traps": [trap.pk],
    }
    answer = client.patch(f"/api/messages/{message.pk}/", body, "application/json")
    assert answer.status_code == 200, answer.content
    changed = last("message.changed").told
    assert (changed["before"]["audience_id"], changed["after"]["audience_id"]) == (message.audience_id, other.pk)
    assert changed["after"]["subject"] == "Forged" and last("recurrence.added").told["after"]["cron"] == "* * * * *"
    assert last("tracking.added").told["after"]["active"] is False
    assert last("control_group.added").told["after"]["percent"] == 5
    assert last("message.traps_added").told["references"] == [trap.pk]
    client.patch(
        f"/api/messages/{message.pk}/", {"recurrence": None, "schedule": {"mode": "immediate"}}, "application/json"
    )
    assert last("recurrence.deleted").told["before"]["cron"] == "* * * * *" and last("schedule.added")
    client.patch(f"/api/messages/{message.pk}/", {"schedule": {"request_confirmation": False}}, "application/json")
    told = last("schedule.changed").told
    assert told == {"before": {"request_confirmation": True}, "after": {"request_confirmation": False}}


def test_an_inline_that_is_changed_or_removed_is_told(client: Client, message: Message, preparer: Any) -> None:
    client.force_login(preparer)
    schedule = Schedule.objects.create(message=message, wave_limit=10)
    inline = {
        "schedule-TOTAL_FORMS": "1",
        "schedule-INITIAL_FORMS": "1",
        "schedule-0-id": schedule.pk,
        "schedule-0-message": message.pk,
        "schedule-0-mode": "immediate",
        "schedule-0-wave_interval": "1:00:00",
        "schedule-0-wave_limit": "20",
        "schedule-0-delivery_duration": "5 00:00:00",
        "schedule-0-request_confirmation": "on",
    }
    url = reverse("admin:campaigns_message_change", args=[message.pk])
    client.post(url, form(message, **inline))
    assert last("schedule.changed").told == {"before": {"wave_limit": 10}, "after": {"wave_limit": 20}}
    client.post(url, form(message, **inline, **{"schedule-0-DELETE": "on"}))
    assert last("schedule.deleted").told["before"]["wave_limit"] == 20


def test_a_save_that_changes_nothing_writes_nothing(message: Message, django_assert_max_num_queries: Any) -> None:
    before = AuditEntry.objects.count()
    message.save()
    assert AuditEntry.objects.count() == before
    message.subject = "Other"
    with django_assert_max_num_queries(4):  # what it was, the row, the entry, what stands beside
        message.save()


# --- audiences and profiles ----------------------------------------------------------------------------------------


def test_an_audience_its_definition_and_its_members_by_form_and_api(client: Client, starter: Any) -> None:
    client.force_login(starter)
    people = [Profile.objects.create(email=f"p{n}@example.com") for n in range(3)]
    listed = Audience.objects.create(label="List", kind="list")
    url = reverse("admin:campaigns_audience_change", args=[listed.pk])
    posted = {"label": "List", "kind": "list", "add_addresses": people[0].email, "conditions": "[]"}
    client.post(url, posted | {"conditions-rows": "0"})
    assert last("audience.members_added").told["references"] == [people[0].pk]
    client.post(f"/api/audiences/{listed.pk}/members/", {"profiles": [p.pk for p in people]}, "application/json")
    row = last("audience.members_added")
    assert (row.told["number"], row.told["references"], row.actor) == (2, [people[1].pk, people[2].pk], "starter")
    assert "p1@example.com" not in str(row.told)
    listed.members.remove(people[0])
    assert last("audience.members_removed").told["references"] == [people[0].pk]
    wanted = [{"field": "country", "op": "is", "value": "FR"}]
    client.patch(f"/api/audiences/{listed.pk}/", {"kind": "filter", "conditions": wanted}, "application/json")
    told = last("audience.changed").told
    assert told["before"] == {"kind": "list", "conditions": []} and told["after"]["conditions"] == wanted


def test_opting_out_and_in_again_by_form_api_and_bulk(client: Client, starter: Any) -> None:
    client.force_login(starter)
    ann = Profile.objects.create(email="ann@example.com", opt_out_email=True)
    url = reverse("admin:campaigns_profile_change", args=[ann.pk])
    seen = posted(client.get(url).content.decode())  # the form knows the last word on the profile's consent
    client.post(url, seen | {"opt_in_again": ["opt_out_email"], "consent_source": "by telephone"})
    ann.refresh_from_db()
    row = last("consent.opted_in")
    assert (row.told["before"], row.told["after"]) == ({"opt_out_email": True}, {"opt_out_email": False})
    assert (row.told["source"], row.subject_id, row.actor) == ("by telephone", str(ann.pk), "starter")
    client.patch(f"/api/profiles/{ann.pk}/", {"opt_out": True}, "application/json")
    assert last("consent.opted_out").told["after"] == {"opt_out": True}
    client.post("/api/profiles/bulk/", {"profiles": [{"email": ann.email, "opt_out": False}]}, "application/json")
    row = last("profiles.upserted")
    assert (row.told["updated"], row.told["created"], row.actor) == (1, 0, "starter")
    assert row.told["fields"] == ["email", "opt_out"]


def test_deleting_many_profiles_is_one_entry_and_deleting_few_tells_each(client: Client, starter: Any) -> None:
    client.force_login(starter)
    Profile.objects.bulk_create(Profile(email=f"p{n}@example.com") for n in range(60))
    row = last("profile.added")
    assert (row.told["number"], len(row.told["references"])) == (60, 60)
    keys = list(Profile.objects.values_list("pk", flat=True))
    url = reverse("admin:campaigns_profile_changelist")

    def delete(some: list[int]) -> None:
        client.post(url, {"action": "delete_selected", "_selected_action": some, "post": "yes"})

    delete(keys[:2])
    assert acts("profile.deleted") == ["profile.deleted"] * 2
    assert last("profile.deleted").told["before"]["email"] in ("p0@example.com", "p1@example.com")
    delete(keys[2:50])
    assert acts("profile.deleted") == ["profile.deleted"] * 3
    row = last("profile.deleted")
    assert (row.told["number"], row.told["references"], row.actor) == (48, keys[2:50], "starter")


def test_an_import_is_one_entry_when_it_starts_and_one_when_it_ends(client: Client, starter: Any) -> None:
    from campaigns.models.people.imports import ProfileImport
    from campaigns.targeting import import_profiles

    client.force_login(starter)
    listed = Audience.objects.create(label="List", kind="list")
    text = b"email,opt_out_email\n" + b"".join(b"p%d@example.com,0\n" % n for n in range(50))
    upload = SimpleUploadedFile("people.csv", text, "text/csv")
    client.post(reverse("admin:campaigns_profileimport_add"), {"file": upload, "audience": listed.pk})
    held = ProfileImport.objects.get()
    started, before = last("import.started"), AuditEntry.objects.count()
    assert started.told["columns"] == ["email", "opt_out_email"] and len(started.told["sha256"]) == 64
    import_profiles.run(held.pk)
    done = last("import.done")
    assert AuditEntry.objects.count() == before + 1
    assert (done.actor, done.subject, done.told["created"], done.told["members_added"]) == (
        "starter",
        "people.csv",
        50,
        50,
    )
    refused = import_profiles.start(b"email\nnobody\n", "bad.csv", by=starter)
    import_profiles.run(refused.pk)
    assert (last("import.refused").outcome, last("import.refused").told["errors"]) == ("refused", 1)


def test_the_products_own_bookkeeping_on_told_models_is_not_told(message: Message) -> None:
    recurrence = Recurrence.objects.create(message=message)
    TrackingOptions.objects.create(message=message)
    ControlGroup.objects.create(message=message)
    before = AuditEntry.objects.count()
    Recurrence.objects.filter(pk=recurrence.pk).update(next_at="2030-01-01T00:00Z")
    Message.objects.filter(pk=message.pk).update(locked_at="2030-01-01T00:00Z")
    assert AuditEntry.objects.count() == before


def test_units_given_to_people_and_groups_are_told(make_user: Callable[..., Any]) -> None:
    anna = make_user("anna")
    below = OrganizationalUnit.objects.create(label="North", name="north", parent_id=1)
    PersonUnit.objects.update_or_create(user=anna, defaults={"unit": below})
    row = AuditEntry.objects.filter(subject_type="campaigns.personunit").latest("pk")
    assert row.act.startswith("unit.") and row.told["after"]["unit_id"] == below.pk


def test_what_a_campaign_asks_of_its_people_is_told_when_it_changes() -> None:
    campaign = Campaign.objects.create(label="Spring")
    campaign.four_eyes = not campaign.four_eyes
    campaign.save()
    assert set(last("campaign.changed").told["after"]) == {"four_eyes"}
