"""Opting out by a letter's link holds for the mailbox; undoing it restores what this letter switched, and no more."""

from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

import deliveries
from campaigns.consent import changes as consent
from campaigns.models import Profile
from campaigns.models.people.consent import AddressOptOut, ConsentChange
from campaigns.models.units import OrganizationalUnit
from deliveries.ledger.message_tokens import tokens
from deliveries.models import Delivery, SendingLog
from deliveries.models.proofs import Proof
from deliveries.preparation.target import Target
from deliveries.preparation.target_table import TARGET, rows
from tests.reporting.conftest import first_log

pytestmark = pytest.mark.django_db

X = "user0@example.net"  # the address of the first row


def post(log: SendingLog, **fields: str) -> Any:
    """Press a button of the letter's page; without fields: the mail program's one click."""
    url = reverse("tracking-optout", args=[tokens.sign(log.pk).optout])
    fields = fields or {"List-Unsubscribe": "One-Click"}
    return Client(enforce_csrf_checks=True).post(url, fields, follow=True)


def page(log: SendingLog) -> str:
    return Client().get(reverse("tracking-optout", args=[tokens.sign(log.pk).optout])).content.decode()


def out(address: str = X) -> dict[int, bool]:
    return dict(Profile.objects.filter(email__iexact=address).order_by("pk").values_list("pk", "opt_out_email"))


def reached(*addresses: str) -> list[str]:
    """Which addresses a delivery to everybody would mail."""
    with Target() as target:
        target.add(Profile.objects.all())
        target.exclude()
        found = [address for (address,) in rows(f"SELECT address FROM {TARGET} WHERE cause = 0 ORDER BY address")]
    return [address for address in found if address in addresses]


def fresh_letter(sent: Any) -> SendingLog:
    """Another letter to X, of the same profile."""
    first = Profile.objects.filter(email=X).order_by("pk")[0]
    log = first_log(sent(1))
    Profile.objects.filter(pk=log.profile_id).delete()
    SendingLog.objects.filter(pk=log.pk).update(profile=first)
    return SendingLog.objects.get(pk=log.pk)


def staff(profile: Profile, flag: str = "opt_out_email") -> None:
    consent.opt_out([profile.pk], [flag], consent.Origin(ConsentChange.Way.FORM))


def test_an_opt_out_by_one_click_holds_for_every_profile_of_the_address(sent: Any) -> None:
    log = first_log(sent())
    second = Profile.objects.create(email=X, first_name="Second")
    assert post(log).status_code == 200
    assert set(out().values()) == {True}
    assert second.pk in out()
    assert reached(X) == []


def test_it_reaches_other_units_and_addresses_in_other_spellings(sent: Any) -> None:
    log = first_log(sent())
    there = OrganizationalUnit.objects.create(label="There", name="there", parent_id=log.profile.unit_id)
    Profile.objects.create(email=X, unit=there)
    Profile.objects.bulk_create([Profile(email="User0@Example.NET")])
    post(log)
    assert list(out().values()) == [True] * 3


def test_a_profile_made_tomorrow_with_the_address_gets_no_mail_either(sent: Any) -> None:
    log = first_log(sent())
    post(log)
    Profile.objects.filter(email=X).delete()
    Profile.objects.bulk_create([Profile(email=X), Profile(email="other@example.net")])
    Profile.objects.bulk_create([Profile(email="USER0@example.net")])
    assert reached(X, "other@example.net", "USER0@example.net") == ["other@example.net"]


def test_undo_restores_exactly_what_this_letter_switched(sent: Any) -> None:
    log = first_log(sent())
    by_staff = Profile.objects.create(email=X, opt_out_email=True)
    free = Profile.objects.create(email=X)
    post(log, act="out")
    post(log, act="undo")
    assert out() == {log.profile_id: False, by_staff.pk: True, free.pk: False}
    assert not AddressOptOut.objects.filter(undone_at=None).exists()


def test_what_staff_set_meanwhile_survives_the_undo(sent: Any) -> None:
    log = first_log(sent())
    post(log, act="out")
    staff(log.profile)  # it was set already: said again, and from now on theirs
    post(log, act="undo")
    assert out() == {log.profile_id: True}
    assert "You are unsubscribed" in page(log)


def test_one_letters_undo_leaves_what_another_letter_said(sent: Any) -> None:
    one = first_log(sent())
    two = fresh_letter(sent)
    post(one, act="out"), post(two, act="out")
    answer = post(one, act="undo").content.decode()
    assert out() == {one.profile_id: True}
    assert "You are unsubscribed" in answer
    assert 'value="undo"' not in answer
    post(two, act="undo")  # now nothing holds the address any more
    assert out() == {one.profile_id: False}
    assert reached(X) == [X]


def test_repeated_opt_outs_and_undos_are_one(sent: Any) -> None:
    log = first_log(sent())
    for act in ("out", "out", "undo", "undo", "out", "out"):
        post(log, act=act)
    changes = list(ConsentChange.objects.order_by("pk").values_list("before", "after"))
    assert changes == [(False, True), (True, False), (False, True)]
    assert out() == {log.profile_id: True}


def test_an_undo_without_an_opt_out_does_nothing(sent: Any) -> None:
    log = first_log(sent())
    staff(log.profile)
    post(log, act="undo")
    assert out() == {log.profile_id: True}
    assert 'value="undo"' not in page(log)


def test_the_page_promises_only_what_holds(sent: Any) -> None:
    log = first_log(sent())
    Profile.objects.create(email=X)
    staff(log.profile)  # whose own flag it is: the other profile's mail comes on
    assert "One press is enough" in page(log)
    post(log, act="out")
    assert "You are unsubscribed" in page(log)


def test_a_letter_of_a_profile_that_is_gone_speaks_for_the_address_all_the_same(sent: Any) -> None:
    log = first_log(sent())
    Profile.objects.filter(pk=log.profile_id).delete()
    post(log)
    Profile.objects.create(email=X)
    assert reached(X) == []
    assert "You are unsubscribed" in page(log)


def test_the_history_says_which_letter_and_how(sent: Any) -> None:
    log = first_log(sent())
    post(log)
    post(log, act="undo")
    told = ConsentChange.objects.order_by("pk").values_list("way", "letter", "delivery", "profile")
    assert list(told) == [
        ("one_click", log.pk, log.delivery_id, log.profile_id),
        ("undo", log.pk, log.delivery_id, log.profile_id),
    ]


def test_an_internationalised_domain_is_one_mailbox_in_both_its_spellings(sent: Any) -> None:
    log = first_log(sent())
    SendingLog.objects.filter(pk=log.pk).update(address="ann@xn--bcher-kva.example")
    Profile.objects.create(email="ann@bücher.example")
    post(log)
    assert list(out("ann@bücher.example").values()) == [True]
    Profile.objects.create(email="ann@bücher.example")
    assert reached("ann@xn--bcher-kva.example") == []


@pytest.mark.skipif(connection.vendor == "sqlite", reason="its writers wait for each other; test_on_postgres runs it")
@pytest.mark.django_db(transaction=True)
def test_letters_at_the_same_moment_lose_no_wish(sent: Any) -> None:
    """One letter's undo while another letter opts out: the address stays out, and so do its profiles."""
    one = first_log(sent())
    two = fresh_letter(sent)
    Profile.objects.create(email=X)
    for _ in range(10):
        post(one, act="out"), post(two, act="undo")
        at_once = Barrier(4)
        acts = [(one, "undo"), (two, "out"), (one, "undo"), (two, "out")]
        threads = [Thread(target=_at_once, args=(at_once, *act)) for act in acts]
        [thread.start() for thread in threads], [thread.join() for thread in threads]
        assert set(out().values()) == {True}
        assert list(AddressOptOut.objects.filter(undone_at=None).values_list("letter", flat=True)) == [two.pk]
        for profile in out():
            last = ConsentChange.objects.filter(profile=profile).latest("pk")
            assert last.after


def _at_once(barrier: Barrier, log: SendingLog, act: str) -> None:
    barrier.wait()
    try:
        post(log, act=act)
    finally:
        connection.close()


def test_a_proofs_link_unsubscribes_nobody_and_says_so(sent: Any, make_user: Any) -> None:
    log = first_log(sent())
    proof = Proof.objects.create(delivery=sent(0), number=1, sent_by=make_user("p"))
    Delivery.everything.filter(pk=log.delivery_id).update(proof=proof)
    assert "This message was a proof" in post(log, act="out").content.decode()
    assert out() == {log.profile_id: False}
    assert not AddressOptOut.objects.exists()


def test_opt_outs_of_before_hold_for_the_address_too(sent: Any) -> None:
    """The data migration: of a profile that is still out, of one that is gone, and not of one opted in again."""
    still, gone, back = sent(3).sending_logs.order_by("pk")
    SendingLog.objects.update(opted_out_at=timezone.now())
    staff(still.profile)
    gone.profile.delete()
    [file] = (Path(deliveries.__file__).parent / "migrations").glob("*_letter_opt_outs.py")
    with connection.schema_editor() if connection.vendor != "sqlite" else nullcontext() as editor:
        execute = editor.execute if editor else connection.cursor().execute
        execute(import_module(f"deliveries.migrations.{file.stem}").FILL)
    assert set(AddressOptOut.objects.values_list("address", "letter")) == {(still.address, None), (gone.address, None)}
    Profile.objects.create(email=gone.address)
    assert reached(gone.address, back.address) == [back.address]
    assert "You are unsubscribed" in page(still)
