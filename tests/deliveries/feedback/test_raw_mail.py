"""Mails are kept, read, matched by token and applied once."""

import random

import pytest
from django.utils import timezone

from deliveries.feedback import raw_mail
from deliveries.feedback.matching import log_in
from deliveries.ledger.message_tokens import tokens
from deliveries.models import QuarantinedAddress, SendingLog
from deliveries.models.feedback import FeedbackEvent, RawReport
from deliveries.models.states import LogStatus, Reason
from tests.deliveries.mail.bounces.bounce_mails import complaint, postfix_report, return_path
from tests.deliveries.reported import relay
from tests.deliveries.sending.sending_rows import figures, sending_delivery, true_figures

pytestmark = pytest.mark.django_db
INBOX = FeedbackEvent.Source.INBOX


@pytest.fixture
def delivery(message, routing):
    return sending_delivery(message, routing, 3, feedback_service=True)


@pytest.fixture
def logs(delivery):
    return relay(delivery)


def take(*mails, recipient=""):
    for mail in mails:
        raw_mail.keep(mail, INBOX, recipient)
    raw_mail.drain()


def status_of(log):
    log.refresh_from_db()
    return log.status


@pytest.mark.parametrize(
    "action, status", [("failed", LogStatus.FAILED), ("delayed", LogStatus.FAILED), ("delivered", LogStatus.SENT)]
)
def test_a_report_decides_its_row(logs, action, status):
    take(postfix_report(logs[0].pk, action))
    assert status_of(logs[0]) == status
    assert RawReport.objects.get().applied_at is not None


def test_the_servers_words_and_reason_stand_in_the_log(logs):
    take(postfix_report(logs[0].pk))
    logs[0].refresh_from_db()
    assert logs[0].reason == Reason.USER_UNKNOWN
    assert "User unknown in virtual mailbox table" in logs[0].reply
    assert QuarantinedAddress.objects.get().address == logs[0].address


def test_a_complaint_is_matched_by_the_message_id(logs):
    take(complaint(logs[1].pk))
    assert QuarantinedAddress.objects.get().status == QuarantinedAddress.Status.DENYLIST


def seen(log):
    """What mail servers see of the row's tokens."""
    return [token.encode() for token in tokens.sign(log.pk)[:2]]


def without(log, mail, instead=b"x"):
    """The mail with something else in the place of both."""
    for token in seen(log):
        mail = mail.replace(token, instead)
    return mail


@pytest.mark.parametrize("evidence", ["To: ", "Original-Envelope-Id: ", "Message-ID: <"])
def test_one_token_anywhere_is_enough(logs, evidence):
    mail = postfix_report(logs[0].pk)
    place = min(
        found for found in (mail.find(token, mail.index(evidence.encode())) for token in seen(logs[0])) if found > 0
    )
    end = place + tokens.LENGTH
    take(without(logs[0], mail[:place]) + mail[place:end] + without(logs[0], mail[end:]))
    assert status_of(logs[0]) == LogStatus.FAILED


def test_the_envelope_alone_is_enough_whatever_the_case(logs):
    mail = without(logs[0], postfix_report(logs[0].pk))
    take(mail, recipient=return_path(logs[0].pk).upper())
    assert status_of(logs[0]) == LogStatus.FAILED


def test_a_forged_token_is_kept_and_changes_nothing(logs, delivery):
    token = tokens.sign(logs[0].pk).return_path
    forged = token[:-1] + ("a" if token[-1] != "a" else "b")
    before = figures(delivery)
    take(without(logs[0], postfix_report(logs[0].pk), forged.encode()), recipient=f"b-{forged}@example.com")
    assert figures(delivery) == before
    assert FeedbackEvent.objects.get().log_id is None
    assert not QuarantinedAddress.objects.exists()


def test_a_mail_handed_over_twice_with_new_trace_fields_is_applied_once(logs):
    mail = postfix_report(logs[0].pk)
    take(mail, b"Received: from relay.example.org by mx; Mon, 2 Mar 2026 10:00:00 +0000\r\n" + mail)
    assert RawReport.objects.count() == 2
    assert FeedbackEvent.objects.count() == 1


def test_two_reports_that_differ_are_two_events(logs):
    take(postfix_report(logs[0].pk), postfix_report(logs[0].pk))
    assert FeedbackEvent.objects.count() == 2


def test_a_mail_of_an_acquaintance_is_kept_as_nothing(logs):
    take(b"From: friend@example.org\r\nSubject: Hi\r\nDate: x\r\n\r\nSee you at lunch.\r\n")
    assert FeedbackEvent.objects.get().kind == FeedbackEvent.Kind.NONE


def test_what_a_door_left_behind_is_found(logs):
    raw_mail.keep(postfix_report(logs[0].pk), INBOX)
    assert raw_mail.drain(left_behind=True) == 0
    RawReport.objects.update(received_at=timezone.now() - raw_mail.LEFT_BEHIND)
    assert raw_mail.drain(left_behind=True) == 1


def test_applied_mails_are_forgotten_after_a_month(logs):
    take(postfix_report(logs[0].pk), postfix_report(logs[1].pk))
    first = RawReport.objects.first()
    first.applied_at = timezone.now() - raw_mail.FORGOTTEN
    first.save()
    assert raw_mail.clean_up() == 1


def test_a_token_is_found_only_as_a_whole_word():
    token = tokens.sign(7).message_id
    assert log_in([f"x{token}"]) is None
    assert log_in([f"{token}2"]) is None
    assert log_in(["a" * 24, f"-{token.upper()}."]) == 7


def mutated(mail, chance):
    """A report that something happened to: cut, doubled, bytes flipped, nested, in a wrong charset, blown up."""
    kind = chance.randrange(7)
    place = chance.randrange(len(mail))
    if kind == 0:
        return mail[:place]
    if kind == 1:
        return mail[:place] + bytes(chance.randrange(256) for _ in range(chance.randrange(60))) + mail[place:]
    if kind == 2:
        return mail.replace(b"us-ascii", chance.choice([b"utf-16", b"utf-7", b"iso-2022-jp", b"x\xff", b"rot13"]))
    if kind == 3:
        return b"Content-Type: message/rfc822\r\n\r\n" * chance.randrange(1, 90) + mail
    if kind == 4:
        return b"".join(b"X-%d: %s\r\n" % (n, b"=?utf-8?B?" * 9) for n in range(chance.randrange(900))) + mail
    if kind == 5:
        return mail.replace(b"\r\n\r\n", chance.choice([b"\r\n", b"\n \n", b"\r\n\r\n\r\n\0"]), chance.randrange(1, 5))
    head, _, tail = mail.partition(b"--b")
    return head + b"--b" + tail * chance.randrange(1, 4) + bytes(chance.randrange(50_000))


def fuzz(logs, delivery, rounds):
    chance = random.Random(3)
    before, addresses = figures(delivery), set()
    token = tokens.sign(logs[0].pk).message_id
    forged = token[:-2] + ("22" if token.endswith("77") else "77")
    assert log_in([forged]) is None
    for start in range(0, rounds, 100):
        for _ in range(start, min(rounds, start + 100)):
            mail = mutated(chance.choice([postfix_report, complaint])(logs[0].pk), chance)
            raw_mail.keep(without(logs[0], mail, forged.encode()), INBOX, "b-x@example.com")
        raw_mail.drain()
    assert figures(delivery) == before == true_figures(delivery)
    assert not FeedbackEvent.objects.exclude(log_id=None).exists()
    assert {*QuarantinedAddress.objects.values_list("address", flat=True)} == addresses
    assert not RawReport.objects.filter(applied_at=None).exists()


def test_mangled_reports_without_a_valid_token_move_nothing(logs, delivery):
    fuzz(logs, delivery, 300)


@pytest.mark.slow
def test_ten_thousand_mangled_reports_move_nothing(logs, delivery):
    fuzz(logs, delivery, 10_000)


def test_ten_megabytes_are_cut(logs):
    take(postfix_report(logs[0].pk) + b"x" * 10_000_000)
    assert len(RawReport.objects.get().raw) == raw_mail.KEPT
    assert status_of(logs[0]) == LogStatus.FAILED
    assert SendingLog.objects.filter(status=LogStatus.FAILED).count() == 1
