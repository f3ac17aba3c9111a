"""Whatever is sealed at the preparation: changing it makes confirming refuse, and the refusal names it."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from campaigns.models import (
    Audience,
    Brand,
    Campaign,
    ControlGroup,
    Message,
    NeverTracked,
    Recurrence,
    Schedule,
    TrackingOptions,
    Typology,
    TypologyRule,
)
from campaigns.models.units import ROOT, OrganizationalUnit
from deliveries.lifecycle import commands
from deliveries.models import Delivery
from deliveries.models.states import State
from deliveries.preparation.sealing import changed_since_prepared, current_seal
from deliveries.preparation.times import validity
from tests.deliveries.page_form import posted

pytestmark = pytest.mark.django_db


@pytest.fixture
def ready(message, routing, starter):
    """A delivery as a preparation leaves it."""
    made = commands.create_delivery(message, starter)
    Delivery.objects.filter(pk=made.pk).update(state=State.READY, preparation=1, fingerprint=current_seal(message))
    return Delivery.objects.get(pk=made.pk)


def refused(delivery, by):
    with pytest.raises(commands.Refused) as refusal:
        commands.confirm(Delivery.objects.get(pk=delivery.pk), by)
    assert Delivery.objects.get(pk=delivery.pk).state == State.READY
    return refusal.value.details["changed"]


@pytest.mark.parametrize(
    "owner, field, value, part",
    [
        ("brand", "sender_domains", "example.net", "brand"),
        ("brand", "website", "https://example.net/", "brand"),
        ("brand", "sender_name", "Other", "sender"),
        ("brand", "sender_address", "other@example.com", "sender"),
        ("brand", "reply_to", "other@example.com", "sender"),
        ("audience", "conditions", [{"field": "country", "op": "is", "value": "FR"}], "audience"),
    ],
)
def test_a_change_beside_the_message_refuses_and_names_it(ready, starter, owner, field, value, part):
    held = getattr(ready.message, owner)
    setattr(held, field, value)
    held.save()
    assert refused(ready, starter) == [part]


def test_a_message_moved_to_another_campaign_must_be_prepared_again(ready, starter):
    ready.message.campaign = Campaign.objects.create(label="Other")
    ready.message.save()
    assert refused(ready, starter) == ["campaign"]


def test_a_preparation_that_came_in_between_is_not_the_one_that_was_compared(ready, starter, monkeypatch):
    real = validity.due_times

    def meanwhile(delivery, now):
        Delivery.objects.filter(pk=delivery.pk).update(preparation=2)
        return real(delivery, now)

    monkeypatch.setattr(validity, "due_times", meanwhile)
    with pytest.raises(commands.Refused):
        commands.confirm(ready, starter)
    assert Delivery.objects.get(pk=ready.pk).confirmed_at is None


# --- every field of the seal, by every way ----------------------------------------------------------------------------

DATE = datetime(2100, 1, 1, 9, tzinfo=UTC)
# (where, field, the value that it is changed to).
FIELDS: dict[str, tuple[Any, ...]] = {
    "message.subject": ("Other",),
    "message.html": ('<p>Other <a href="{{ unsubscribe_url }}">Unsubscribe</a></p>',),
    "message.text": ("Other {{ unsubscribe_url }}",),
    "message.sender_name": ("Other",),
    "message.sender_address": ("other@example.com",),
    "message.reply_to": ("other@example.com",),
    "message.campaign": (lambda: Campaign.objects.create(label="Other"),),
    "message.brand": (
        lambda: Brand.objects.create(
            label="Other", sender_name="Acme News", sender_address="news@example.com", sender_domains="*"
        ),
    ),
    "message.audience": (lambda: Audience.objects.create(label="Other", kind="all"),),
    "message.typology": (lambda: Typology.objects.create(label="Other"),),
    "schedule.mode": ("immediate",),
    "schedule.contact_date": (DATE + timedelta(hours=1),),
    "schedule.time_zone": ("Asia/Tokyo",),
    "schedule.formula": ("{{ contact_date | add_days: 1 }}",),
    "schedule.request_confirmation": (False,),
    "schedule.waves": ("50%",),
    "schedule.wave_interval": (timedelta(hours=3),),
    "schedule.wave_limit": (3,),
    "schedule.delivery_duration": (timedelta(hours=3),),
    "schedule.validity_end": (DATE + timedelta(days=2),),
}


@pytest.fixture
def dated(message, routing, starter):
    """A delivery that is prepared, with a contact date and waves."""
    Schedule.objects.create(message=message, mode="at_date", contact_date=DATE, time_zone="Europe/Paris", waves="30%")
    made = commands.create_delivery(message, starter)
    seal = current_seal(Message.objects.get(pk=message.pk))
    Delivery.objects.filter(pk=made.pk).update(state=State.READY, preparation=1, fingerprint=seal)
    return Delivery.objects.get(pk=made.pk)


def change(delivery, name):
    """Change one field as a shell would."""
    where, field = name.split(".")
    (value,) = FIELDS[name]
    value = value() if callable(value) else value
    held = Message.objects.get(pk=delivery.message_id)
    held = held if where == "message" else held.schedule
    setattr(held, field, value)
    held.save()


def by_form(delivery, name, client):
    """Change one field on the message's page."""
    where, field = name.split(".")
    (value,) = FIELDS[name]
    value = value().pk if callable(value) else value
    page = f"/admin/campaigns/message/{delivery.message_id}/change/"
    data = posted(client.get(page).content.decode())
    place = field if where == "message" else f"schedule-0-{field}"
    if isinstance(value, datetime):  # two inputs, by the clock of Paris
        clock = value.astimezone(ZoneInfo("Europe/Paris"))
        data |= {f"{place}_0": f"{clock:%Y-%m-%d}", f"{place}_1": f"{clock:%H:%M:%S}"}
    elif value is False:
        del data[place]
    else:
        data[place] = value
    answer = client.post(page, data)
    assert answer.status_code == 302, answer.context["errors"]


def by_api(delivery, name, client):
    """Change one field by the API."""
    where, field = name.split(".")
    (value,) = FIELDS[name]
    value = value().pk if callable(value) else value
    body = {field: value}
    if where == "schedule":
        held = delivery.message.schedule
        names = [one.partition(".")[2] for one in FIELDS if one.startswith("schedule.")]
        body = {"schedule": {each: getattr(held, each) for each in names} | body}
    made = APIClient()
    made.force_authenticate(client)
    answer = made.patch(f"/api/messages/{delivery.message_id}/", body, format="json")
    assert answer.status_code == 200, answer.data


@pytest.mark.parametrize("way", [pytest.param("form", marks=pytest.mark.slow), "api", "shell"])
@pytest.mark.parametrize("name", FIELDS)
def test_a_change_of_any_sealed_field_by_any_way_refuses_every_confirmation(dated, starter, client, name, way):
    client.force_login(starter)
    if way == "form":
        by_form(dated, name, client)
    elif way == "api":
        by_api(dated, name, starter)
    else:
        change(dated, name)
    assert refused(dated, starter)
    if way != "form":
        return
    page = client.get(dated.get_absolute_url()).content.decode()
    assert "dm-act-confirm" not in page
    command = {"path": f"/api/deliveries/{dated.pk}/commands/", "data": {"method": "confirm"}}
    assert client.post(**command, content_type="application/json").status_code == 409
    client.post(f"/admin/deliveries/delivery/{dated.pk}/act/confirm/")
    assert Delivery.objects.get(pk=dated.pk).confirmed_at is None


@pytest.mark.parametrize("name", FIELDS)
def test_a_change_that_comes_while_the_dialog_is_open_is_seen_under_the_lock(dated, starter, name, monkeypatch):
    """The race: the change is committed after the permission was asked and before the message is locked."""
    real = commands.ask

    def meanwhile(*arguments):
        real(*arguments)
        change(dated, name)

    monkeypatch.setattr(commands, "ask", meanwhile)
    assert refused(dated, starter)


def test_unchanged_it_is_confirmed(dated, starter):
    commands.confirm(dated, starter)
    assert Delivery.objects.get(pk=dated.pk).confirmed_by == starter


# Of a message and its schedule what a seal need not cover: what recipients never see, and what is written by itself.
UNSEALED = {
    "message.id",
    "message.label",
    "message.description",
    "message.created_by",
    "message.created_at",
    "message.modified_at",
    "message.locked_at",
    "message.proof_prefix",
    "message.hide_proof_number",
    "schedule.id",
    "schedule.message",
}


def test_each_field_of_message_and_schedule_is_sealed_and_has_a_row_or_needs_no_seal():
    columns = {
        f"{name}.{field.name}"
        for name, model in (("message", Message), ("schedule", Schedule))
        for field in model._meta.concrete_fields
    }
    assert columns == set(FIELDS) | UNSEALED


BESIDE = {
    "brand": lambda message: Brand.objects.filter(pk=message.brand_id).update(website="https://example.net/"),
    "audience": lambda message: Audience.objects.filter(pk=message.audience_id).update(
        conditions=[{"field": "country", "op": "is", "value": "FR"}]
    ),
    "typology": lambda message: Typology.objects.create(label="Another", is_default=True),
    "control group": lambda message: ControlGroup.objects.create(message=message, extraction="random", percent=10),
    "tracking": lambda message: TrackingOptions.objects.create(message=message, active=False),
    "schedule": lambda message: Recurrence.objects.create(message=message),
    "traps": lambda message: message.traps.create(label="Trap", email="trap@example.org", trap=True),
    "organisational unit": lambda message: Campaign.objects.filter(pk=message.campaign_id).update(unit=unit("Below")),
}


@pytest.mark.parametrize("url", ["https://example.com/news", "https://example.com/elsewhere"])
def test_a_url_that_another_message_marks_as_never_tracked_is_sealed_where_it_stands(dated, starter, url):
    """It would lead the readers of this one past the counters."""
    NeverTracked.objects.create(url=url)
    written = "news" in url
    assert (changed_since_prepared(Delivery.objects.get(pk=dated.pk)) == ["tracking"]) == written


def unit(label, within=ROOT):
    return OrganizationalUnit.objects.create(label=label, name=label.lower(), parent_id=getattr(within, "pk", within))


@pytest.mark.parametrize("part", BESIDE)
def test_a_change_of_what_stands_beside_the_message_refuses_and_names_it(dated, starter, part):
    BESIDE[part](Message.objects.get(pk=dated.message_id))
    assert part in refused(dated, starter)


def test_a_unit_that_moves_in_the_tree_reaches_other_profiles_and_refuses(dated, starter):
    france, shops = unit("France"), unit("Shops")
    Campaign.objects.filter(pk=dated.message.campaign_id).update(unit=france)
    seal = current_seal(Message.objects.get(pk=dated.message_id))
    Delivery.objects.filter(pk=dated.pk).update(fingerprint=seal)
    france.parent = shops
    france.save()
    assert refused(dated, starter) == ["organisational unit"]


# Of what stands beside the message: every field is sealed, except these and what binds a row to its message.
BESIDE_UNSEALED = {
    Brand: {"label", "is_default", "unit"},
    Audience: {"label", "unit", "created_by", "created_at", "modified_at"},
    Recurrence: {"next_at", "owner"},
    TypologyRule: {"label", "modified_at"},
    ControlGroup: set(),
    TrackingOptions: set(),
}
EVERY_FIELD = [
    pytest.param(model, field.name, id=f"{model.__name__}.{field.name}")
    for model, unsealed in BESIDE_UNSEALED.items()
    for field in model._meta.concrete_fields
    if not field.primary_key and field.name not in unsealed | {"message"}
]


@pytest.fixture
def surrounded(dated):
    """The prepared delivery with one row of every kind beside its message."""
    message = dated.message
    group = {"extraction": "first", "sort_field": "city", "percent": 10, "size": 5, "conditions": IN_FRANCE}
    ControlGroup.objects.create(message=message, **group)
    TrackingOptions.objects.create(message=message)
    Recurrence.objects.create(message=message)
    typology = Typology.objects.create(label="Default", is_default=True)
    typology.rules.create(label="Rule", conditions=IN_FRANCE, entries="a@example.com")
    seal = current_seal(Message.objects.get(pk=message.pk))
    Delivery.objects.filter(pk=dated.pk).update(fingerprint=seal)
    return dated


IN_FRANCE = [{"field": "country", "op": "is", "value": "FR"}]


def another(field, held):
    """Another value than `held` that the database takes."""
    if field.is_relation:
        return field.related_model.objects.create(label="Another")
    if field.choices:
        return next(value for value, _label in field.choices if value != held)
    kind = field.get_internal_type()
    if kind == "BooleanField":
        return not held
    if kind.endswith("IntegerField"):
        return (held or 0) + 1
    return {"TimeField": time(3), "DateTimeField": DATE, "JSONField": [{"field": "city", "op": "empty"}]}.get(kind, "x")


@pytest.mark.parametrize("model, name", EVERY_FIELD)
def test_every_field_beside_the_message_is_sealed(surrounded, model, name):
    row = model.objects.get()
    model.objects.filter(pk=row.pk).update(**{name: another(model._meta.get_field(name), getattr(row, name))})
    assert changed_since_prepared(Delivery.objects.get(pk=surrounded.pk))


def test_each_part_of_the_fingerprint_is_changed_by_some_row(dated):
    changed = set()
    for name in FIELDS:
        with transaction.atomic():
            change(dated, name)
            changed |= set(changed_since_prepared(Delivery.objects.get(pk=dated.pk)))
            transaction.set_rollback(True)
    assert changed | set(BESIDE) == set(dated.fingerprint)
