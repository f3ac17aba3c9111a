"""Changes of the quarantine, of rules and of what is set up stand in the audit, by whatever way they came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from campaigns.models import Brand, Campaign, NeverTracked, TestProfile, Typology, TypologyRule
from campaigns.models.audit.entries import AuditEntry
from deliveries.feedback import quarantine
from deliveries.models import FeedbackEvent, QualificationRule, QuarantinedAddress, Routing, WebhookEndpoint
from reporting.models.alert_criteria import Limits
from reporting.models.alerts import AlertDashboard

pytestmark = pytest.mark.django_db


def last(act: str) -> AuditEntry:
    found = AuditEntry.objects.filter(act=act).order_by("-pk").first()
    assert found is not None, f"no {act}: {sorted(set(AuditEntry.objects.values_list('act', flat=True)))}"
    return found


def test_the_quarantine_by_form_action_repair_and_api(client: Client, make_user: Callable[..., Any]) -> None:
    client.force_login(make_user("chief", "Administrators"))
    url = reverse("admin:deliveries_quarantinedaddress_changelist")
    client.post("/api/quarantine/", {"address": "ann@example.com", "status": 3}, "application/json")
    assert last("quarantine.added").told["after"]["status"] == 3
    entry = QuarantinedAddress.objects.get()
    client.patch(f"/api/quarantine/{entry.pk}/", {"status": 0}, "application/json")
    told = last("quarantine.changed").told
    assert (told["before"]["status"], told["after"]["status"]) == (3, 0)
    QuarantinedAddress.objects.filter(pk=entry.pk).update(status=2)
    client.post(url, {"action": "set_valid", "_selected_action": [entry.pk]})
    told = last("quarantine.changed").told
    assert (told["before"]["status"], told["after"]["status"]) == (2, 0) and last("quarantine.changed").actor == "chief"
    client.delete(f"/api/quarantine/{entry.pk}/")
    assert last("quarantine.deleted").told["before"]["address"] == "ann@example.com"


def test_what_reports_and_time_do_to_the_quarantine_is_nobodys_act() -> None:
    with_errors = QuarantinedAddress.objects.create(
        address="ann@example.com", status=1, significant_at="2020-01-01T00:00Z"
    )
    before = AuditEntry.objects.count()
    assert quarantine.clean_up()[0] == 1 and quarantine.review([with_errors.address]) == set()
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize(
    ("make", "name", "change"),
    [
        (lambda: Typology.objects.create(label="T"), "typology", {"levels": {"size": "off"}}),
        (
            lambda: TypologyRule.objects.create(label="R", kind="addresses", entries="ann@example.com"),
            "typology_rule",
            {"entries": "bob@example.com"},
        ),
        (lambda: TestProfile.objects.create(label="S", email="s@example.com"), "test_profile", {"trap": True}),
        (lambda: NeverTracked.objects.create(url="https://a.example/"), "never_tracked", {"url": "https://b.example/"}),
        (lambda: Campaign.objects.create(label="C"), "campaign", {"needs_approval": True}),
        (lambda: Brand.objects.create(label="B", sender_domains="a"), "brand", {"sender_domains": "b"}),
        (
            lambda: QualificationRule.objects.create(order=1, name="Q", type="soft"),
            "qualification_rule",
            {"type": "hard"},
        ),
        (lambda: Routing.objects.create(label="L"), "routing", {"host": "mx.example"}),
        (
            lambda: WebhookEndpoint.objects.create(label="W", url="https://a.example/"),
            "webhookendpoint",
            {"url": "https://b.example/"},
        ),
        (
            lambda: AlertDashboard.objects.create(label="A", group=Group.objects.create(name="G")),
            "alert_dashboard",
            {"enabled": True},
        ),
    ],
)
def test_setup_is_told_when_it_is_added_changed_and_deleted_one_by_one_or_by_queryset(
    make: Callable[[], Any], name: str, change: dict[str, Any]
) -> None:
    row = make()
    assert last(f"{name}.added").subject_id == str(row.pk)
    was = {field: getattr(row, field) for field in change}
    for field, value in change.items():
        setattr(row, field, value)
    row.save()
    assert last(f"{name}.changed").told == {"before": was, "after": change}
    type(row).objects.filter(pk=row.pk).update(**was)
    assert last(f"{name}.changed").told == {"before": change, "after": was}
    type(row).objects.filter(pk=row.pk).delete()
    assert last(f"{name}.deleted").told["before"].items() >= {k: v for k, v in was.items() if v}.items()
    assert AuditEntry.objects.filter(act__startswith=f"{name}.").count() == 4


def test_the_rules_of_a_typology_and_the_former_default_are_told() -> None:
    rule, former = TypologyRule.objects.create(label="R"), Typology.objects.create(label="Old", is_default=True)
    typology = Typology.objects.create(label="New", is_default=True)
    told = last("typology.changed")
    assert told.subject_id == str(former.pk) and told.told == {
        "before": {"is_default": True},
        "after": {"is_default": False},
    }
    typology.rules.set([rule])
    assert last("typology.rules_added").told["names"] == [str(rule)]
    typology.rules.clear()
    assert last("typology.rules_cleared").subject_id == str(typology.pk)


def test_criteria_of_a_dashboard_copied_rules_and_verdicts_by_new_rules_are_told(
    client: Client, make_user: Callable[..., Any]
) -> None:
    client.force_login(make_user("chief", "Administrators"))
    limits = {field: getattr(Limits(), field) for field in Limits.__slots__}
    empty = {"criteria-TOTAL_FORMS": "0", "criteria-INITIAL_FORMS": "0"}
    data = {"label": "Mine", "group": Group.objects.get(name="Export").pk, "unit": 1} | limits | empty
    client.post(reverse("admin:reporting_alertdashboard_add"), data)
    assert (
        last("alert_dashboard.added").actor == "chief"
        and AuditEntry.objects.filter(act="alert_criterion.added").count() > 3
    )
    client.post(reverse("admin:deliveries_qualificationrule_copy"))
    assert last("qualification_rule.added").told["number"] > 20
    event = FeedbackEvent.objects.create(
        source=1, kind=FeedbackEvent.Kind.BOUNCE, key="1", at="2026-01-01T00:00Z", text="550 5.1.1 no such user"
    )
    url = reverse("admin:deliveries_feedbackevent_changelist")
    client.post(url, {"action": "apply_rules_again", "_selected_action": [event.pk]})
    assert (last("feedback.requalified").told["number"], last("feedback.requalified").actor) == (1, "chief")
