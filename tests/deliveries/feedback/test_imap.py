"""Bounces fetched from a mailbox."""

import pytest

from deliveries.feedback.imap import Mailbox, MailboxUnusable, poll
from deliveries.models.feedback import FeedbackEvent
from deliveries.models.states import LogStatus
from tests.deliveries.mail.bounces.bounce_mails import postfix_report
from tests.deliveries.reported import relay
from tests.deliveries.sending.sending_rows import sending_delivery
from tests.fakes.imap_server import imap_server


def mailbox(port, processed=""):
    return Mailbox("127.0.0.1", port, False, "bounces", "secret", processed=processed)


@pytest.fixture
def logs(message, routing):
    return relay(sending_delivery(message, routing, 3))


@pytest.mark.django_db
def test_unseen_mails_are_applied_and_marked_seen(logs):
    with imap_server(*(postfix_report(log.pk) for log in logs)) as (port, mails):
        assert poll(mailbox(port)) == 3
        assert all(seen for _mail, seen in mails.held.values())
        assert poll(mailbox(port)) == 0
    logs[2].refresh_from_db()
    assert logs[2].status == LogStatus.FAILED


@pytest.mark.django_db
def test_mails_are_moved_where_that_is_wished(logs):
    with imap_server(postfix_report(logs[0].pk)) as (port, mails):
        poll(mailbox(port, "Processed"))
        assert mails.moved == {1: "Processed"}


@pytest.mark.django_db
def test_a_mail_that_was_kept_and_not_marked_is_applied_once(logs, monkeypatch):
    with imap_server(postfix_report(logs[0].pk)) as (port, mails):
        poll(mailbox(port))
        mails.held[1][1] = False  # as after a death between the two
        poll(mailbox(port))
    assert FeedbackEvent.objects.count() == 1


@pytest.mark.django_db
def test_a_refused_login_and_a_dead_server_are_told_in_words():
    with imap_server() as (port, mails):
        mails.refuse_login = True
        with pytest.raises(MailboxUnusable, match="wrong password"):
            poll(mailbox(port))
    with pytest.raises(MailboxUnusable, match="refused"):
        poll(mailbox(1))


@pytest.mark.parametrize(
    "url, expected",
    [
        ("imaps://me@imap.example.com", ("imap.example.com", 993, True, "me", "INBOX")),
        (
            "imap://me%40example.com@127.0.0.1:1143/Bounces/New",
            ("127.0.0.1", 1143, False, "me@example.com", "Bounces/New"),
        ),
    ],
)
def test_addresses_of_mailboxes(url, expected):
    found = Mailbox.from_url(url, "secret")
    assert (found.host, found.port, found.tls, found.user, found.folder) == expected


@pytest.mark.parametrize("url", ["pop3://me@example.com", "imaps://example.com", "imaps://me:secret@example.com", "x"])
def test_what_is_no_address_of_a_mailbox(url):
    with pytest.raises(ValueError, match=r"imaps|password"):
        Mailbox.from_url(url, "secret")
