"""Notices to staff: readers can switch off each kind, on a page of their own."""

import pytest
from django.test import Client

from campaigns.accounts import staff_mail
from campaigns.accounts.staff_mail import Notice
from campaigns.core.kept_text import keep

pytestmark = pytest.mark.django_db


def test_everybody_is_told_once(make_user, mailoutbox):
    anna, ben = make_user("anna"), make_user("ben")
    assert staff_mail.tell(Notice.ALERT, [anna, ben, anna], "A\nB", "Text") == 2
    assert [(mail.to, mail.subject) for mail in mailoutbox] == [
        (["anna@example.com"], "A B"),
        (["ben@example.com"], "A B"),
    ]


def test_the_inactive_and_those_without_an_address_are_not(make_user, mailoutbox):
    gone, mute = make_user("gone"), make_user("mute")
    gone.is_active, mute.email = False, ""
    assert staff_mail.tell(Notice.ALERT, [gone, mute], "A", "B") == 0 and not mailoutbox


def test_a_kind_is_switched_off_and_on_again_on_ones_own_page(make_user, client, mailoutbox):
    anna, ben = make_user("anna"), make_user("ben")
    client.force_login(anna)
    page = client.get("/admin/my-notices/").content.decode()
    assert page.count("checked") == len(Notice)
    client.post("/admin/my-notices/", {"kinds": [kind for kind in Notice.values if kind != Notice.BREAKER]})
    assert list(staff_mail.wanted(Notice.BREAKER, [anna, ben])) == ["ben@example.com"]
    assert list(staff_mail.wanted(Notice.ALERT, [anna])) == ["anna@example.com"]
    client.post("/admin/my-notices/", {"kinds": Notice.values})
    assert list(staff_mail.wanted(Notice.BREAKER, [anna])) == ["anna@example.com"]


def test_a_kind_that_does_not_exist_is_refused(make_user, client):
    anna = make_user("anna")
    client.force_login(anna)
    assert client.post("/admin/my-notices/", {"kinds": ["nonsense"]}).status_code == 200
    assert all(staff_mail.choices_of(anna).values())


def test_a_mail_server_that_fails_is_logged_and_raised_only_if_wanted(make_user, monkeypatch):
    def fail(self):
        raise OSError("no server")

    monkeypatch.setattr("django.core.mail.EmailMultiAlternatives.send", fail)
    anna = make_user("anna")
    assert staff_mail.tell(Notice.ALERT, [anna], "A", "B") == 0
    with pytest.raises(staff_mail.Unsent):
        staff_mail.tell(Notice.CONFIRM, [anna], "A", "B", insist=True)


# --- In whose language ------------------------------------------------------------------------------------------------


def language(user):
    return staff_mail.wanted(Notice.ALERT, [user])[user.email]


def test_mails_are_in_the_language_that_their_reader_chose_at_the_foot_of_a_page(make_user, client, mailoutbox):
    anna, ben = make_user("anna"), make_user("ben")
    client.force_login(anna)
    client.post("/language/", {"language": "fr"})
    client.post("/language/", {"language": "xx"})  # is none, and changes nothing
    words = keep("Preparation started by %(by)s.", by="Eva")
    staff_mail.tell(Notice.ALERT, [anna, ben], words, words, "https://x.example/")
    assert [(mail.subject, mail.body) for mail in mailoutbox] == [
        ("Préparation lancée par Eva.", "Préparation lancée par Eva.\n\nhttps://x.example/\n"),
        ("Preparation started by Eva.", "Preparation started by Eva.\n\nhttps://x.example/\n"),
    ]


def test_until_then_in_the_one_of_the_first_log_in(make_user):
    anna, given = make_user("anna"), {"username": "anna", "password": "pass-word-9"}
    assert language(anna) == "en"
    for browser in ("ja", "fr"):
        Client(headers={"accept-language": browser}).post("/admin/login/", given)
        assert language(anna) == "ja"


def test_a_program_that_logs_in_tells_nothing_of_what_its_owner_reads(make_user):
    anna = make_user("anna")
    basic = {"authorization": "Basic YW5uYTpwYXNzLXdvcmQtOQ==", "accept-language": "ja"}
    assert Client(headers=basic).post("/api/token/").status_code == 200
    assert language(anna) == "en"


def test_who_is_asked_to_confirm_is_asked_in_their_language(message, routing, starter, client, mailoutbox):
    from deliveries.lifecycle import auto_start, commands
    from deliveries.models import Delivery
    from deliveries.models.states import State

    client.force_login(starter)
    client.post("/language/", {"language": "fr"})
    delivery = commands.create_delivery(message, starter)
    Delivery.objects.filter(pk=delivery.pk).update(state=State.READY, asks=True, to_deliver=12345)
    auto_start.request_confirmation(delivery.pk)
    [mail] = mailoutbox
    assert mail.subject == f"À confirmer : {delivery}" and "12\N{NO-BREAK SPACE}345 messages" in mail.body
