"""Traps: test profiles that get a real send with its target; marked, counted, known to nothing that is about people."""

from __future__ import annotations

from email import message_from_bytes, policy

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from campaigns.consent import changes as consent
from campaigns.messages.duplication import duplicate
from campaigns.models import ControlGroup, Profile, Schedule, TestProfile
from campaigns.models.units import GroupUnit, OrganizationalUnit
from deliveries.ledger.counters import counters
from deliveries.lifecycle import commands, progress
from deliveries.models import Delivery, QuarantinedAddress, Routing
from deliveries.models.states import LogStatus, State
from deliveries.preparation import prepare
from deliveries.sending import connections, work_on_batch
from reporting.tracking import destinations
from tests.campaigns.admin.test_admin import form

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def place(settings, tmp_path):
    settings.JOURNAL_DIR = tmp_path / "journals"
    yield
    connections.hang_up()


@pytest.fixture
def trap(message):
    return message.traps.create(label="Tara's box", email="trap@example.org", first_name="Tara", trap=True)


@pytest.fixture
def delivery(message, routing, starter, trap):
    Profile.objects.bulk_create(Profile(email=f"p{n}@example.com", first_name="Pat") for n in range(4))
    return commands.create_delivery(message, starter)


def prepared(delivery, by):
    commands.prepare(delivery, by)
    prepare.run(delivery.pk)
    delivery.refresh_from_db()
    assert delivery.state == State.READY
    return delivery


@pytest.mark.django_db(transaction=True)
def test_a_trap_gets_the_real_message_and_is_marked_and_counted(delivery, starter, serve, client):
    server = serve()
    Routing.objects.update(port=server.port)
    commands.confirm(prepared(delivery, starter), starter)
    progress.start(delivery.pk)
    for batch in delivery.batches.all():
        work_on_batch.send(batch.pk)
    mails = [message_from_bytes(body, policy=policy.default) for _, _, body in server.messages]
    assert sorted(mail["Subject"] for mail in mails) == ["Hello Pat"] * 4 + ["Hello Tara"]
    log = delivery.sending_logs.get(test_profile=True)
    assert (log.address, log.profile_id, log.status) == ("trap@example.org", None, LogStatus.SENT)
    delivery.refresh_from_db()
    assert (delivery.targeted, delivery.to_deliver, delivery.excluded) == (5, 5, 0) and counters(delivery).balances
    compiled = destinations.compile_frozen(delivery.content)
    assert destinations.fields_for(compiled, log)["first_name"] == "Tara"
    client.force_login(starter)
    page = client.get(delivery.get_absolute_url()).content.decode()
    assert "Tara&#x27;s box" in page


@pytest.mark.parametrize("afterwards", ["renamed", "moved", "deleted", "of before"])
@pytest.mark.django_db(transaction=True)
def test_a_traps_letter_is_the_one_that_was_confirmed(delivery, starter, serve, trap, afterwards):
    """Whatever becomes of the test profile once it is confirmed; content of before 1.0 only held its id."""
    server = serve()
    Routing.objects.update(port=server.port)
    commands.confirm(prepared(delivery, starter), starter)
    changes = {"renamed": {"first_name": "Forged"}, "moved": {"email": "elsewhere@example.org"}}
    if afterwards == "deleted":
        trap.delete()
    elif afterwards == "of before":
        delivery.refresh_from_db()
        Delivery.objects.filter(pk=delivery.pk).update(content=delivery.content | {"traps": [trap.pk]})
    else:
        TestProfile.objects.filter(pk=trap.pk).update(**changes[afterwards])
    progress.start(delivery.pk)
    for batch in delivery.batches.all():
        work_on_batch.send(batch.pk)
    mails = [message_from_bytes(body, policy=policy.default) for _, _, body in server.messages]
    assert [mail["Subject"] for mail in mails if mail["To"].addresses[0].addr_spec == trap.email] == ["Hello Tara"]
    compiled = destinations.compile_frozen(Delivery.objects.get(pk=delivery.pk).content)
    assert destinations.fields_for(compiled, delivery.sending_logs.get(test_profile=True))["first_name"] == "Tara"


def test_who_is_of_the_target_gets_it_once_and_a_quarantined_trap_nothing(delivery, message, starter):
    message.traps.create(label="Also a customer", email="p1@example.com", trap=True)
    message.traps.create(label="Bounced", email="bounced@example.org", trap=True)
    message.traps.create(label="Switched off", email="off@example.org")
    QuarantinedAddress.objects.create(address="bounced@example.org", status=QuarantinedAddress.Status.QUARANTINE)
    prepared(delivery, starter)
    assert list(delivery.sending_logs.filter(test_profile=True).values_list("address", flat=True)) == [
        "trap@example.org"
    ]
    assert delivery.to_deliver == 5 and "Bounced" in delivery.events.get(code="trap-quarantined").message


def test_a_trap_whose_address_was_opted_out_gets_nothing(delivery, starter):
    consent.opt_out_mailbox(consent.ReceivedMessage(10**6, 1, "trap@example.org", None), consent.Way.LINK)
    prepared(delivery, starter)
    assert not delivery.sending_logs.filter(test_profile=True).exists()
    assert "opted out" in delivery.events.get(code="trap-quarantined").message


def test_without_a_target_a_trap_gets_it_alone_and_the_warning_stays(delivery, starter):
    Profile.objects.all().delete()
    prepared(delivery, starter)
    assert delivery.to_deliver == 1 and delivery.events.filter(code="target-empty").exists()


def test_a_trap_leaves_with_the_first_wave_and_is_in_no_control_group(delivery, message, starter):
    Schedule.objects.create(message=message, waves="20%")
    ControlGroup.objects.create(message=message, extraction="random", percent=100)
    commands.confirm(prepared(delivery, starter), starter)
    log = delivery.sending_logs.get(test_profile=True)
    assert log.status == LogStatus.PENDING and log.batch.number == 1 and not log.batch.gated


def test_a_trap_that_is_written_to_another_address_is_not_what_was_prepared(delivery, starter, trap):
    prepared(delivery, starter)
    trap.email = "elsewhere@outside.example"
    trap.save()
    delivery = Delivery.objects.get(pk=delivery.pk)
    with pytest.raises(commands.Refused, match="traps"):
        commands.confirm(delivery, starter)


def test_a_confirmed_trap_gets_it_at_the_address_that_was_confirmed(delivery, starter, trap):
    commands.confirm(prepared(delivery, starter), starter)
    TestProfile.objects.filter(pk=trap.pk).update(email="elsewhere@outside.example")
    assert delivery.sending_logs.get(test_profile=True).address == "trap@example.org"


def test_whoever_confirms_sees_to_which_addresses_the_traps_go(delivery, starter, client):
    prepared(delivery, starter)
    client.force_login(starter)
    page = client.get(f"/admin/deliveries/delivery/{delivery.pk}/confirm/").content.decode()
    assert "trap@example.org" in page


def test_saving_the_form_keeps_the_traps_of_units_that_it_does_not_show(client, message, starter, trap):
    north, south = (OrganizationalUnit.objects.create(label=n, name=n, parent_id=1) for n in ("north", "south"))
    for thing, unit in ((message.campaign, north), (trap, south)):
        type(thing).objects.filter(pk=thing.pk).update(unit=unit)
    GroupUnit.objects.filter(group__in=starter.groups.all()).update(unit=north)
    client.force_login(starter)
    page = reverse("admin:campaigns_message_change", args=[message.pk])
    assert "trap@example.org" not in client.get(page).content.decode()
    assert client.post(page, form(message)).status_code == 302 and list(message.traps.all()) == [trap]


def test_preparing_again_sets_it_once(delivery, starter):
    prepared(delivery, starter)
    assert prepared(delivery, starter).sending_logs.filter(test_profile=True).count() == 1


def test_traps_are_chosen_in_the_form_and_by_api_and_copied(client, message, starter, trap):
    other = TestProfile.objects.create(label="Reads proofs", email="r@example.org")
    client.force_login(starter)
    page = reverse("admin:campaigns_message_change", args=[message.pk])
    assert client.post(page, form(message)).status_code == 302 and not message.traps.exists()
    assert client.post(page, form(message, traps=[trap.pk])).status_code == 302
    assert list(duplicate(message, starter).traps.all()) == [trap]
    api = APIClient()
    api.force_authenticate(starter)
    url = f"/api/messages/{message.pk}/"
    assert api.patch(url, {"traps": [other.pk]}, format="json").status_code == 403
    assert api.patch(url, {"traps": []}, format="json").data["traps"] == []
