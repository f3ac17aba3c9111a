"""Labels and names hold no line break and no control character, by whatever road they come."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import models
from django.test import Client
from django.urls import reverse

from campaigns.models import Campaign, Profile
from campaigns.targeting import csv_profiles
from config.log_format import Line as LogLine

BREAKS = {
    "line feed": "a\nb",
    "carriage return": "a\r\nb",
    "NUL": "a\0b",
    "escape": "a\x1b[31mb",
    "DEL": "a\x7fb",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
}
# Written by the program alone, from what was checked or quoted: no form, command or API writes these.
INTERNAL = {
    "campaigns.auditentry": {
        "act",
        "old_actor",
        "old_address",
        "old_agent",
        "channel",
        "subject_type",
        "subject_id",
        "old_subject",
        "digest",
        "chain",
    },
    "campaigns.auditvalue": {"path", "salt"},
    "campaigns.consentchange": {"source", "by_name"},  # flattened by changes.py, see test_changes.py
    "campaigns.addressoptout": {"address"},
    "campaigns.addressoptin": {"address"},
    "campaigns.proofdomain": {"domain"},  # domains.ascii_domain reads it
    "campaigns.profileimport": {"consent_source"},
    "campaigns.stagedprofile": {
        "email",
        "first_name",
        "last_name",
        "mobile",
        "city",
        "country",
        "language",
        "time_zone",
    },  # csv_profiles reads them, see below
    "campaigns.importproblem": {"column", "message"},
    "campaigns.organizationalunit": {"path"},
    "campaigns.apitoken": {"digest", "token_key"},
    "campaigns.idempotentrequest": {"key", "digest"},
    "campaigns.apiwindow": {"key"},
    "campaigns.logintries": {"key"},
    "campaigns.secondfactor": {"salt", "key", "enciphered"},
    "campaigns.noticeoff": {"kind"},
    "campaigns.readerlanguage": {"language"},
    "deliveries.heartbeat": {"host", "place"},
    "deliveries.delivery": {"period", "hindrance", "token_key"},
    "deliveries.batch": {"holder"},
    "deliveries.sendinglog": {"address", "reply"},
    "deliveries.exclusionlog": {"address"},
    "deliveries.exclusioncause": {"rule_label"},
    "deliveries.deliveryevent": {"code"},
    "deliveries.feedbackevent": {"key", "detail", "code", "status", "stage", "text", "rule", "address"},
    "deliveries.rawreport": {"recipient"},
    "deliveries.proofrecipient": {"address", "prefix"},
    "deliveries.verdict": {"address"},
    "deliveries.webhookendpoint": {"secret", "old_secret"},
    "deliveries.webhookcall": {"kind"},
    "deliveries.webhooktry": {"words"},
    "reporting.trackinglog": {"agent", "network", "rule"},
    "reporting.trackedurl": {"kind", "part"},
    "reporting.trackingbuffer": {"name"},
    "reporting.alert": {"subject"},
    "reporting.export": {"key"},
}


def written() -> list[Any]:
    """Each text column that people or programs write: no choices, and not internal."""
    return [
        field
        for label in ("campaigns", "deliveries", "reporting")
        for model in apps.get_app_config(label).get_models()
        for field in model._meta.get_fields()
        if isinstance(field, models.CharField)
        and field.model is model
        and not field.choices
        and not (field.name.endswith("_name") and not field.editable)  # a name of an account: account_names.py
        and field.name not in INTERNAL.get(model._meta.label_lower, ())
    ]


def test_what_is_called_internal_is_there() -> None:
    known = {(label, name) for label, names in INTERNAL.items() for name in names}
    assert [key for key in known if not apps.get_model(key[0])._meta.get_field(key[1])] == []
    assert len(written()) > 50


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
def test_every_text_column_refuses_what_breaks_a_line(broken: str) -> None:
    taken = []
    for field in written():
        try:
            field.run_validators(broken)
        except ValidationError:
            continue
        taken.append(str(field))
    assert taken == []


@pytest.mark.parametrize("broken", [BREAKS["line feed"], BREAKS["line separator"]])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("campaigns", {"label": "%s"}),
        ("campaigns", {"label": "x", "description": "%s"}),
        ("audiences", {"label": "%s", "kind": "all"}),
        ("units", {"label": "%s", "name": "x", "parent": 1}),
        ("profiles", {"email": "ann@example.com", "first_name": "%s"}),
        ("profiles", {"email": "ann@example.com", "attributes": {"size": "%s"}}),
        ("profiles/bulk", {"profiles": [{"email": "ann@example.com", "city": "%s"}]}),
        ("webhooks", {"label": "%s", "url": "https://hooks.example/"}),
        ("tokens", {"label": "%s", "rights": []}),
        ("quarantine", {"address": "%s@example.com"}),
    ],
)
def test_programs_cannot_write_one(admin_client: Client, path: str, body: Any, broken: str) -> None:
    answer = admin_client.post(f"/api/{path}/", _filled(body, broken), "application/json")
    assert answer.status_code == 400, answer.content


def _filled(body: Any, text: str) -> Any:
    if isinstance(body, dict):
        return {name: _filled(value, text) for name, value in body.items()}
    return [_filled(one, text) for one in body] if isinstance(body, list) else str(body).replace("%s", text)


@pytest.mark.django_db
def test_no_form_takes_one(admin_client: Client) -> None:
    user, group = User.objects.get(username="admin"), Group.objects.create(name="Old")
    campaign = {"start": "2026-01-01", "end": "2026-12-31", "status": 0, "unit": 1}
    forms = [
        (reverse("admin:campaigns_campaign_add"), {"label": BREAKS["escape"]} | campaign),
        (reverse("admin:auth_group_change", args=[group.pk]), {"name": BREAKS["line feed"]}),
        (reverse("admin:auth_user_change", args=[user.pk]), {"username": "admin", "first_name": BREAKS["line feed"]}),
        (reverse("api-tokens"), {"label": BREAKS["line feed"], "days": 1}),
    ]
    for page, data in forms:
        answer = admin_client.post(page, data)
        assert answer.status_code == 200 and "single line" in answer.content.decode(), page
    assert not Campaign.objects.exists() and Group.objects.get(pk=group.pk).name == "Old"


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
def test_an_import_refuses_one(broken: str) -> None:
    assert csv_profiles.read_values(1, {"email": "ann@example.com", "city": broken}).problems


def test_a_stored_label_breaks_no_line_of_the_log() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "the alert “%s”", ("a\r\n2026 ERROR x: forged\x1b[2J",), None)
    assert LogLine("%(message)s").format(record) == "the alert “a  2026 ERROR x: forged [2J”"


# --- Attributes are texts ---------------------------------------------------------------------------------------------

VALUES = [("M", "M"), (3, "3"), (2.5, "2.5"), (True, "true"), (False, "false"), (None, ""), ("", ""), (" x ", "x")]
WRONG = [{"size": ["M"]}, {"size": {"is": "M"}}, ["size"], "M", {"size": "x" * 1001}, {"SIZE OF": "M"}]


@pytest.fixture
def ann(preparer: Any, client: Client) -> Profile:
    """A profile with an attribute that was stored as a number, before it was refused; whoever edits is logged in."""
    client.force_login(preparer)
    return Profile.objects.create(email="ann@example.com", attributes={"points": 7, "Old Name": "x"})


@pytest.mark.parametrize(("given", "kept"), VALUES)
def test_every_road_keeps_an_attribute_as_a_text(ann: Profile, client: Client, given: Any, kept: str) -> None:
    send = {"content_type": "application/json"}
    body = {"email": "bob@example.com", "attributes": {"size": given}}
    assert client.patch(f"/api/profiles/{ann.pk}/", {"attributes": {"size": given}}, **send).status_code == 200
    assert client.post("/api/profiles/", body, **send).status_code == 201
    assert client.post("/api/profiles/bulk/", {"profiles": [body | {"email": "c@example.com"}]}, **send).json()
    assert [profile.attributes.get("size", "") for profile in Profile.objects.all()] == [kept] * 3


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_is_no_text_is_refused_with_its_name_and_nothing_changes(ann: Profile, client: Client, wrong: Any) -> None:
    answer = client.patch(f"/api/profiles/{ann.pk}/", {"attributes": wrong}, "application/json")
    assert answer.status_code == 400 and "attributes" in answer.content.decode()
    assert Profile.objects.get().attributes == {"points": 7, "Old Name": "x"}


def test_a_form_keeps_numbers_as_texts_and_names_that_the_profile_has(ann: Profile, client: Client) -> None:
    page = reverse("admin:campaigns_profile_change", args=[ann.pk])
    data = {"email": "ann@example.com", "gender": 0, "email_format": 0}
    assert client.post(page, data | {"attributes": '{"points": 7, "Old Name": "x", "b": true}'}).status_code == 302
    assert Profile.objects.get().attributes == {"points": "7", "Old Name": "x", "b": "true"}
    refused = client.post(page, data | {"attributes": '{"New Name": "x", "list": [1], "note": "a\\nb"}'})
    errors = refused.context["errors"][0]
    assert refused.status_code == 200 and len(errors) == 3


def test_a_number_that_is_stored_goes_on_being_found_and_read(ann: Profile) -> None:
    from campaigns.messages.profile_values import texts_of
    from campaigns.models import Audience
    from campaigns.targeting import audiences

    more_than_six = Audience(kind="filter", conditions=[{"field": "attributes.points", "op": "gt", "value": 6}])
    assert list(audiences.profiles(more_than_six)) == [ann]
    assert texts_of(ann, ["attributes.points"]) == {"attributes.points": "7"}
