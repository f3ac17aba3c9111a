"""The demo: made once, consistent, and never where it would open a door."""

import io

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command

from campaigns.accounts import permissions
from campaigns.models import Profile
from config.dev.demo import deliveries
from deliveries.ledger import recount
from deliveries.ledger.counters import counters
from deliveries.lifecycle import commands
from deliveries.models import Delivery, DeliveryEvent, Routing
from deliveries.models.states import State

pytestmark = pytest.mark.django_db


def seed():
    out = io.StringIO()
    call_command("seed_demo", stdout=out)
    return out.getvalue()


@pytest.fixture
def seeded(settings, monkeypatch):
    settings.DEMO = True
    monkeypatch.setenv("SIMULATOR_SMTP_PORT", "2600")
    return seed()


def test_without_demo_nothing_is_made(settings):
    settings.DEMO = False
    with pytest.raises(CommandError, match="needs DEMO=1"):
        seed()
    assert not Profile.objects.exists()


def test_the_demo_waits_to_be_confirmed_and_its_ledgers_balance(seeded):
    waiting, finished = Delivery.objects.get(state=State.READY), Delivery.objects.get(state=State.FINISHED)
    assert waiting.to_deliver > 2500 and finished.opens > finished.clicks > 10
    for delivery in (waiting, finished):
        assert delivery.targeted == delivery.excluded + delivery.to_deliver
        assert counters(delivery).balances and not recount.drifts(delivery.pk)
    assert all(cause.volume for cause in waiting.exclusion_causes.all())
    assert not waiting.events.exclude(severity=DeliveryEvent.Severity.INFO).exists()
    assert f"open {waiting}: " in seeded

    anna, peter, admin = (authenticate(username=a.name, password=a.password) for a in deliveries.ACCOUNTS)
    assert permissions.may_start(anna, waiting.campaign) and permissions.may_administer(admin)
    assert permissions.may_prepare(peter, waiting.campaign) and not permissions.may_start(peter, waiting.campaign)
    assert Routing.objects.get().port == 2600

    commands.confirm(waiting, anna)
    before = (Profile.objects.count(), Delivery.objects.count())
    assert "/admin/deliveries/delivery/" in seed()  # again: nothing is made, nothing is lost
    assert before == (Profile.objects.count(), Delivery.objects.count())
