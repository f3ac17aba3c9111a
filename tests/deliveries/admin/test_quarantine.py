"""Admin pages of the quarantine, and the trial of rules."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from deliveries.feedback import apply_events
from deliveries.feedback.similar_addresses import normal, similar_to
from deliveries.models import QuarantinedAddress
from deliveries.models.feedback import FeedbackEvent
from tests.deliveries.mail.bounces.bounce_mails import postfix_report
from tests.deliveries.reported import event, relay
from tests.deliveries.sending.sending_rows import sending_delivery

pytestmark = pytest.mark.django_db
Status = QuarantinedAddress.Status


@pytest.fixture
def chief(client, make_user):
    """A client whose user is an administrator."""
    client.force_login(make_user("chief", "Administrators"))
    return client


def url(name, *args):
    return reverse(f"admin:deliveries_{name}", args=args)


@pytest.fixture
def logs(message, routing):
    logs = relay(sending_delivery(message, routing, 4))
    apply_events.apply([event(logs[n], "hard", text="554 outage at example.net") for n in (0, 1)])
    apply_events.apply([event(logs[2], "hard", text="550 no such user"), event(logs[3], "complaint", text="outage")])
    return logs


def status(log):
    return QuarantinedAddress.objects.get(address=log.address).status


def window(text="OUTAGE", hours=1):
    since, until = timezone.localtime() - timedelta(hours=hours), timezone.localtime() + timedelta(hours=1)
    return {
        "text": text,
        "since_0": f"{since:%Y-%m-%d}",
        "since_1": f"{since:%H:%M:%S}",
        "until_0": f"{until:%Y-%m-%d}",
        "until_1": f"{until:%H:%M:%S}",
    }


def test_the_repair_shows_what_it_would_free_and_changes_nothing(chief, logs):
    page = chief.get(url("quarantinedaddress_repair"), window()).content.decode()
    assert "2 addresses" in page
    assert status(logs[0]) == Status.QUARANTINE


def test_the_repair_frees_by_text_and_time_and_leaves_complaints(chief, logs):
    chief.post(url("quarantinedaddress_repair"), window())
    assert [status(log) for log in logs] == [Status.VALID, Status.VALID, Status.QUARANTINE, Status.DENYLIST]


def test_outside_the_time_nothing_is_freed(chief, logs):
    QuarantinedAddress.objects.update(modified_at=timezone.now() - timedelta(days=2))
    chief.post(url("quarantinedaddress_repair"), window())
    assert status(logs[0]) == Status.QUARANTINE


@pytest.mark.parametrize("way", ["set_valid", "delete_selected", "edit"])
def test_a_freed_address_starts_anew(chief, logs, way):
    entry = QuarantinedAddress.objects.get(address=logs[0].address)
    if way == "edit":
        values = {
            "address": entry.address,
            "status": "0",
            "reason": "0",
            "errors": "0",
            "error_text": "",
            "significant_at_0": "",
            "significant_at_1": "",
        }
        chief.post(url("quarantinedaddress_change", entry.pk), values)
    else:
        chief.post(url("quarantinedaddress_changelist"), {"action": way, "_selected_action": entry.pk, "post": "yes"})
    apply_events.apply([event(logs[0], "soft")])
    entry = QuarantinedAddress.objects.get(address=logs[0].address)
    assert (entry.status, entry.errors) == (Status.ERRONEOUS, 1)


def test_the_repair_is_for_administrators(client, starter):
    client.force_login(starter)
    assert client.post(url("quarantinedaddress_repair"), window()).status_code == 403


@pytest.mark.parametrize("sought", ["ann.example@examlpe.com", "ann.exmaple@example.com", "ANN.example@Example.com"])
def test_near_misses_are_offered(chief, sought):
    QuarantinedAddress.objects.create(address="ann.example@example.com")
    QuarantinedAddress.objects.create(address="ann.other@example.org")
    page = chief.get(url("quarantinedaddress_changelist"), {"q": sought}).content.decode()
    assert "ann.example@example.com" in page
    assert "ann.other@example.org" not in page


def test_the_case_of_a_domain_never_counts():
    assert normal(" Ann@EXAMPLE.com ") == "Ann@example.com"
    assert similar_to("") == []


@pytest.mark.parametrize(
    "pasted, words",
    [
        ("550 5.1.1 <ann@example.com>: user unknown", ["hard", "user_unknown"]),
        (postfix_report(7).decode(), ["user0@example.net", "hard", "user_unknown"]),
        ("554 5.7.1 blocked: your IP is listed by a blacklist", ["ignored", "refused"]),
    ],
)
def test_the_rules_can_be_tried_on_what_is_pasted(chief, pasted, words):
    page = chief.post(url("qualificationrule_try"), {"pasted": pasted}).content.decode()
    assert all(f"<td>{word}</td>" in page for word in words)
    assert not FeedbackEvent.objects.exists()


def test_the_trial_is_for_administrators(client, starter):
    client.force_login(starter)
    assert client.get(url("qualificationrule_try")).status_code == 403


def test_the_quarantine_is_read_by_administration_with_the_unit_all_alone_as_in_the_api(client, make_user, logs):
    from campaigns.models.units import ROOT, GroupUnit, OrganizationalUnit

    paris = OrganizationalUnit.objects.create(label="paris", name="paris", parent_id=ROOT)
    client.force_login(make_user("chief", "Administrators"))
    entry = QuarantinedAddress.objects.get(address=logs[0].address)
    one = url("quarantinedaddress_change", entry.pk)
    pages = [url("quarantinedaddress_changelist"), one, url("quarantinedaddress_repair"), "/api/quarantine/"]
    assert [client.get(page).status_code for page in pages] == [200] * 4
    assert logs[0].delivery.code in client.get(one).content.decode()
    GroupUnit.objects.update(unit=paris)  # what administrators have now
    assert [client.get(page).status_code for page in pages] == [403] * 4
    assert "quarantine" not in client.get("/admin/").content.decode().lower()
