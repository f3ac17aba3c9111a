"""Every key to an account: what becomes of its row when the account is deleted, and where the name is kept."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import models

from campaigns.core import account_names

pytestmark = pytest.mark.django_db

NAMED = "SET_NULL, the name beside it"  # what was done is read by name afterwards
TOLD = "SET_NULL, told by name in the log or the audit"  # who made it decides nothing, or nothing without an account
OWN = "CASCADE"  # the account's own things, which nobody else uses

EXPECTED = {
    "deliveries.Delivery.created_by": NAMED,
    "deliveries.Delivery.prepared_by": NAMED,  # four eyes: four_eyes.py
    "deliveries.Delivery.confirmed_by": NAMED,
    "deliveries.Proof.sent_by": NAMED,
    "deliveries.Verdict.user": NAMED,  # a refusal stands: approvals.py
    "deliveries.SeriesSeal.seen_by": TOLD,  # without its owner nothing starts unasked: unasked.py
    "campaigns.ConsentChange.by": NAMED,  # from the first, with the token's label
    "deliveries.DeliveryEvent.user": TOLD,  # its words name them
    "deliveries.WebhookEndpoint.created_by": TOLD,
    "campaigns.Recurrence.owner": TOLD,  # its slots end with the account: executions.py
    "campaigns.Audience.created_by": TOLD,
    "campaigns.Campaign.created_by": TOLD,
    "campaigns.Message.created_by": TOLD,
    "campaigns.ProfileImport.created_by": TOLD,
    "campaigns.ApiToken.user": OWN,
    "campaigns.IdempotentRequest.user": OWN,  # nobody else may use the key
    "campaigns.SecondFactor.user": OWN,
    "campaigns.NoticeOff.user": OWN,
    "campaigns.ReaderLanguage.user": OWN,
    "campaigns.PersonUnit.user": OWN,
    "reporting.Export.user": OWN,  # how far a file is; what was taken stands in the delivery's log
    "guardian.UserObjectPermission.user": OWN,
    "admin.LogEntry.user": OWN,  # Django's own history; the audit keeps people by name
    "auth.User_groups.user": OWN,
    "auth.User_user_permissions.user": OWN,
}


def keys():
    """{name of a key to an account: what becomes of its row}."""
    found = {}
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.concrete_fields:
            if isinstance(field, models.ForeignKey) and field.related_model is get_user_model():
                kept = field in account_names.kept_keys()
                how = OWN if field.remote_field.on_delete is models.CASCADE else NAMED if kept else TOLD
                found[f"{model._meta.label}.{field.name}"] = how
    return found


def test_the_table_knows_what_becomes_of_every_row_whose_account_is_deleted():
    assert keys() == EXPECTED


def test_a_name_is_kept_wherever_the_table_says_so(message, make_user):
    from campaigns.consent import changes
    from campaigns.models import Profile
    from deliveries.models import Delivery, Proof, Verdict

    ann = make_user("ann")
    by = dict.fromkeys(("created_by", "prepared_by", "confirmed_by"), ann)
    delivery = Delivery.objects.create(message=message, campaign=message.campaign, **by)
    proof = Proof.objects.create(delivery=delivery, number=1, sent_by=ann)
    carrier = Delivery.everything.create(message=message, campaign=message.campaign, proof=proof, created_by=ann)
    Verdict.objects.create(delivery=delivery, approved=False, user=ann)
    person = Profile.objects.create(email="ann@example.com")
    changes.opt_out([person.pk], ["opt_out"], changes.Origin(changes.Way.FORM, by=ann))
    ann.delete()
    for key in account_names.kept_keys():
        rows = key.model._base_manager.exclude(pk=carrier.pk if key.model is Delivery else None)
        assert [account_names.name_of(row, key.name) for row in rows] == ["ann"], key
    assert account_names.name_of(Delivery.everything.get(pk=carrier.pk), "created_by") == "ann"


def test_the_name_that_is_kept_is_that_of_the_last_who_confirmed(message, routing, make_user, settings):
    """Whoever confirmed first is deleted, the confirmation is undone, another confirms and is deleted, too."""
    from campaigns.models import Profile
    from deliveries.lifecycle import commands
    from deliveries.models import Delivery
    from deliveries.preparation import prepare

    settings.UNDO_SECONDS = 600
    Profile.objects.create(email="a@example.com")
    first, second, third = (make_user(name, "Start deliveries") for name in ("first", "second", "third"))
    delivery = commands.create_delivery(message, third)
    commands.prepare(delivery, third)
    prepare.run(delivery.pk)
    delivery = Delivery.objects.get(pk=delivery.pk)
    commands.confirm(delivery, first)
    first.delete()
    delivery = Delivery.objects.get(pk=delivery.pk)
    commands.undo_confirmation(delivery, third)
    delivery = Delivery.objects.get(pk=delivery.pk)
    assert delivery.confirmed_by_name == ""
    commands.confirm(delivery, second)
    second.delete()
    assert Delivery.objects.get(pk=delivery.pk).confirmed_by_name == "second"
