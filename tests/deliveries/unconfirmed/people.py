"""Fixtures of the tests that nothing unconfirmed leaves: one of everything, and people without Start deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from campaigns.accounts import api_tokens
from campaigns.models import (
    Audience,
    Brand,
    ControlGroup,
    Message,
    NeverTracked,
    Profile,
    Schedule,
    TestProfile,
    TrackingOptions,
    TypologyRule,
)
from campaigns.models.accounts import SecondFactor
from campaigns.models.units import OrganizationalUnit
from deliveries.models import Routing
from deliveries.sending import connections
from tests.journeys.rights.one_of_each import world as around  # noqa: F401 - a fixture

from .roads import Actor
from .world import SEEDLING, World

# Bob is in the audience with Ann; Erik is not; Dora is, and a rule of the typology excludes Dora.
PEOPLE_BESIDE_ANN: dict[str, dict[str, str]] = {"Bob": {}, "Erik": {"mobile": "1"}, "Dora": {}}
NO_MOBILE = [{"field": "mobile", "op": "is_empty"}]


@pytest.fixture
def world(around, message, routing, starter, serve, settings, tmp_path) -> Iterator[World]:  # noqa: F811
    """One of everything that can be changed, all of it used by the message."""
    settings.JOURNAL_DIR, settings.BATCH_SIZE = tmp_path / "journals", 2
    servers, things = [serve(), serve()], around["things"]
    Routing.objects.update(port=servers[0].port)
    for name, fields in PEOPLE_BESIDE_ANN.items():
        Profile.objects.create(email=f"{name.lower()}@example.com", first_name=name, unit_id=things["unit"], **fields)
    TestProfile.objects.update(trap=True, first_name=SEEDLING)
    TypologyRule.objects.update(kind="addresses", entries="dora@example.com")
    Audience.objects.filter(pk=message.audience_id).update(kind="filter", conditions=NO_MOBILE)
    Brand.objects.create(label="Other", sender_name="O", sender_address="o@example.com", sender_domains="*")
    named = '{{ first_name | default: "reader" }}'  # some roads bring people without a name
    written = {name: getattr(message, name).replace("{{ first_name }}", named) for name in ("subject", "text")}
    Message.objects.filter(pk=message.pk).update(typology=things["typology"], **written)
    message = Message.objects.get(pk=message.pk)
    message.typology.rules.set(TypologyRule.objects.all())
    message.traps.set(TestProfile.objects.all())
    TestProfile.objects.create(label="Another", email="another@example.net", trap=True, unit_id=things["unit"])
    # With what other values of other fields need.
    TrackingOptions.objects.create(message=message)
    ControlGroup.objects.create(
        message=message, percent=1, sort_field="city", conditions=[{"field": "city", "op": "is", "value": "Rome"}]
    )
    dates = {"contact_date": timezone.now() + timedelta(days=2), "validity_end": timezone.now() + timedelta(days=3)}
    Schedule.objects.create(message=message, formula="{{ contact_date }}", **dates)
    NeverTracked.objects.update(url="https://example.com/news")  # it stands in the message
    above = OrganizationalUnit.objects.get(name="above")
    more = {"audience": message.audience_id, "user holder": starter.pk, "organizationalunit above": above.pk}

    def undo(seconds: int) -> None:
        settings.UNDO_SECONDS = seconds

    yield World(message, starter, servers, things | more, undo)
    connections.hang_up()


# --- people without Start deliveries ----------------------------------------------------------------------------------

WITHOUT = "NPADEV"  # of the permission matrix, where H, S and U hold it
BESIDE = ("P-own", "A-own", "X-own", "S-below", "S-beside")  # from their units they may not start it
PEOPLE = (*WITHOUT, *BESIDE, "granted", "token to read", "token to prepare", "holder without a second factor")
ALL_BUT_START = "everything but Start deliveries"


@pytest.fixture
def somebody(around, message, starter, make_user, settings):  # noqa: F811
    """somebody("P") gives who acts."""

    def get(kind: str) -> Actor:
        if kind == ALL_BUT_START:
            roles = ("Administrators", "Prepare deliveries", "Export", "Delivery supervisors")
            return Actor(kind, make_user("nearly", *roles))
        if kind.startswith("token"):
            rights = ["prepare"] if kind.endswith("prepare") else []
            return Actor(kind, starter, token=api_tokens.give(starter, "A program's", rights)[1])
        if kind == "granted":
            user = make_user("granted")
            assign_perm("prepare_deliveries", user, message.campaign)
            return Actor(kind, user)
        if kind == "holder without a second factor":
            SecondFactor.objects.create(user=starter, salt="salt", confirmed_at=timezone.now())
            settings.TOTP_TO_START = True
            return Actor(kind, make_user("careless", "Start deliveries"))
        return Actor(kind, around["people"][kind])

    return get
