"""Admin pages of routings, quarantine, qualification rules and reports."""

import pytest
from django.urls import reverse
from django.utils import timezone

from deliveries.admin.routings import RoutingAdmin
from deliveries.models import Delivery, QuarantinedAddress, Routing, SendingLog
from deliveries.models.feedback import FeedbackEvent, QualificationRule

pytestmark = pytest.mark.django_db


@pytest.fixture
def chief(client, make_user):
    """A client whose user is an administrator."""
    client.force_login(make_user("chief", "Administrators"))
    return client


def url(name, *args):
    return reverse(f"admin:deliveries_{name}", args=args)


def test_every_setting_of_a_routing_can_be_edited():
    shown = {name for _label, options in RoutingAdmin.fieldsets for name in options["fields"]}
    assert shown == {field.name for field in Routing._meta.fields if field.editable} - {"id", "unit"}  # see units


def test_an_address_set_by_hand_is_kept_in_lower_case_and_as_a_persons_decision(chief):
    values = {
        "address": " Ann@Example.com",
        "status": "2",
        "reason": "0",
        "errors": "0",
        "error_text": "",
        "significant_at_0": "",
        "significant_at_1": "",
    }
    chief.post(url("quarantinedaddress_add"), values)
    entry = QuarantinedAddress.objects.get()
    assert (entry.address, entry.by_hand) == ("ann@example.com", True)


def test_built_in_rules_are_copied_once_and_can_then_be_edited(chief):
    assert "the built-in list holds" in chief.get(url("qualificationrule_changelist")).content.decode()
    assert chief.get(url("qualificationrule_copy")).status_code == 405
    chief.post(url("qualificationrule_copy"))
    number = QualificationRule.objects.count()
    assert number > 10
    chief.post(url("qualificationrule_copy"))
    assert QualificationRule.objects.count() == number


def test_a_rule_that_cannot_be_applied_is_refused(chief):
    values = {"order": "1", "name": "X", "enabled": "on", "pattern": "(", "type": "hard", "reason": "user_unknown"}
    assert "errornote" in chief.post(url("qualificationrule_add"), values).content.decode()
    assert not QualificationRule.objects.exists()


def test_rules_are_kept_by_administrators(client, starter):
    client.force_login(starter)
    assert client.get(url("qualificationrule_changelist")).status_code == 403
    assert client.post(url("qualificationrule_copy")).status_code == 403
    assert client.get(url("feedbackevent_changelist")).status_code == 403


def event(**fields):
    values = {
        "source": 1,
        "key": "1",
        "at": timezone.now(),
        "kind": FeedbackEvent.Kind.BOUNCE,
        "address": "a@example.com",
    }
    return FeedbackEvent.objects.create(**values | fields)


def test_reports_that_nothing_matches_are_found(chief):
    event(), event(key="2", log_id=7)
    rows = chief.get(url("feedbackevent_changelist"), {"matched": "no"}).context["cl"].result_list
    assert [row.key for row in rows] == ["1"]
    assert chief.post(url("feedbackevent_delete", rows[0].pk), {"post": "yes"}).status_code == 403


def test_rules_are_applied_again_to_chosen_reports(chief):
    held = event(text="550 5.1.1 user unknown", code="550", status="5.1.1", log_id=1)
    values = {"action": "apply_rules_again", "_selected_action": [held.pk]}
    assert "1 verdict changed." in chief.post(url("feedbackevent_changelist"), values, follow=True).content.decode()


def test_a_sending_log_shows_all_that_was_reported_of_it(client, message, routing, starter):
    delivery = Delivery.objects.create(message=message, campaign=message.campaign, label="X", routing=routing)
    row = SendingLog.objects.create(delivery=delivery, address="a@example.com", date=timezone.now())
    event(log_id=row.pk, text="mailbox is full")
    client.force_login(starter)
    assert "mailbox is full" in client.get(url("delivery_sending_log", delivery.pk, row.pk)).content.decode()
