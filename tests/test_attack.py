"""Attacks that were found where rooms meet."""

from __future__ import annotations

from deliveries import commands, preparing
from deliveries.models import Delivery


def test_the_name_that_is_kept_is_that_of_the_last_who_confirmed(message, routing, make_user, settings):
    """Whoever confirmed first is deleted, the confirmation is undone, another confirms and is deleted, too."""
    from campaigns.models import Profile

    settings.UNDO_SECONDS = 600
    Profile.objects.create(email="a@example.com")
    first, second, third = (make_user(name, "Start deliveries") for name in ("first", "second", "third"))
    delivery = commands.create_delivery(message, third)
    commands.prepare(delivery, third)
    preparing.run(delivery.pk)
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


def test_an_evidence_pack_masks_the_log_for_a_guest_from_a_unit_beside(message, routing, make_user):
    """A reader's verdict stands in the log with the address; a grant of Export from beside does not show it."""
    import io
    import zipfile

    from django.contrib.auth.models import User
    from guardian.shortcuts import assign_perm

    from campaigns.unit_models import ROOT, OrganizationalUnit, PersonUnit
    from deliveries import evidence
    from deliveries.models import log_event

    beside = OrganizationalUnit.objects.create(label="Beside", name="beside", parent_id=ROOT)
    guest = make_user("guest")
    PersonUnit.objects.filter(user=guest).update(unit=beside)
    guest = User.objects.get(pk=guest.pk)
    for code in ("view_campaign", "export_logs"):
        assign_perm(f"campaigns.{code}", guest, message.campaign)
    delivery = commands.create_delivery(message, make_user("other", "Start deliveries"))
    log_event(delivery, "approved", "Approved by reader@sibling.example (proof 1).", address="reader@sibling.example")
    out = io.BytesIO()
    evidence.pack(delivery, User.objects.get(pk=guest.pk), out)
    with zipfile.ZipFile(out) as file:
        assert "reader@sibling.example" not in file.read("events.json").decode()
