"""Changes to a message by people who may not start it, by every road that is open to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.test import Client
from rest_framework.test import APIClient

from campaigns.models import Audience, Brand, Campaign, Profile, TestProfile, Typology
from campaigns.models.units import ROOT, OrganizationalUnit
from deliveries.lifecycle import auto_start
from deliveries.lifecycle.recurrence import executions
from deliveries.models import Delivery, Routing
from deliveries.models.states import State
from deliveries.preparation import prepare
from tests.deliveries.page_form import posted

NINE = datetime(2026, 3, 27, 8, tzinfo=UTC)  # a Friday in Paris
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def patch(user, message, **body):
    """What a program of the user's sends."""
    client = APIClient()
    client.force_authenticate(user)
    answer = client.patch(f"/api/messages/{message.pk}/", body, format="json")
    assert answer.status_code == 200, answer.data
    return answer.data


def work():
    """One round of the sweeper and of its workers. Out: the newest execution, if there is any."""
    executions.tick()
    for execution in Delivery.objects.filter(state=State.TARGETING_PENDING):
        prepare.run(execution.pk)
    auto_start.start_unasked()
    return Delivery.objects.filter(parent__isnull=False).order_by("-slot").first()


FORGERY = {"subject": "Win a car", "html": '<p>Forged <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>'}
EVERY_MINUTE = {"frequency": "cron", "cron": "* * * * *", "request_confirmation": False}


def audience(preparer, message):
    """The audience's own definition, by API."""
    client = APIClient()
    client.force_authenticate(preparer)
    body = {"kind": "filter", "conditions": [{"field": "country", "op": "is_empty"}]}
    assert client.patch(f"/api/audiences/{message.audience_id}/", body, format="json").status_code == 200


def by_form(preparer, message):
    """The message's page."""
    client = Client()
    client.force_login(preparer)
    page = f"/admin/campaigns/message/{message.pk}/change/"
    data = posted(client.get(page).content.decode()) | {"html": FORGERY["html"]}
    assert client.post(page, data).status_code == 302


def elsewhere(preparer, message):
    """To a campaign that others may start."""
    patch(preparer, message, campaign=Campaign.objects.create(label="Other").pk)


def brand(preparer, message):
    other = Brand.objects.create(label="Other", sender_name="O", sender_address="o@example.com", sender_domains="*")
    patch(preparer, message, brand=other.pk)


def trap(preparer, message):
    made = TestProfile.objects.create(label="Trap", email="outsider@example.net", trap=True)
    patch(preparer, message, traps=[made.pk])


def shell(model, **values):
    """A change by an administrator, or by a program without a person."""
    return lambda preparer, message: model.objects.update(**values)


def rule(preparer, message):
    typology = Typology.objects.create(label="Default", is_default=True)
    typology.rules.create(label="One", kind="addresses", entries="b@example.com")


def unit(preparer, message):
    below = OrganizationalUnit.objects.create(label="Below", name="below", parent_id=ROOT)
    Campaign.objects.update(unit=below)
    Profile.objects.update(unit=below)


def api(**body):
    return lambda preparer, message: patch(preparer, message, **body)


ROADS = {
    "subject": api(subject="Forged"),
    "html by form": by_form,
    "text": api(text="Forged {{ unsubscribe_url }}"),
    "sender": api(sender_name="Forged"),
    "reply-to": api(reply_to="other@example.com"),
    "brand": brand,
    "audience": audience,
    "another audience": lambda p, m: patch(p, m, audience=Audience.objects.create(label="X", kind="all").pk),
    "typology": lambda p, m: patch(p, m, typology=Typology.objects.create(label="Lax").pk),
    "a typology's rule": rule,
    "control group": api(control_group={"extraction": "random", "percent": 10}),
    "tracking": api(tracking={"active": False}),
    "trap": trap,
    "waves": api(schedule={"waves": "50%"}),
    "validity": api(schedule={"delivery_duration": "01:00:00"}),
    "another campaign": elsewhere,
    "unit": unit,
    "approval": shell(Campaign, needs_approval=True),
    "mail server": shell(Routing, host="localhost"),
    "return path": shell(Routing, return_domain="bounces.example.net"),
    "default brand's sender": shell(Brand, sender_name="Forged"),
}
