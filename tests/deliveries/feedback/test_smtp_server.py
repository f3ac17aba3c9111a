"""The bounce server over real sockets, and the pipe as a process of its own."""

import os
import smtplib
import subprocess
import sys
from contextlib import contextmanager
from threading import Event, Thread

import pytest
from django.db import DatabaseError, connection

from campaigns.core.token_bucket import Buckets
from deliveries.feedback import raw_mail
from deliveries.feedback.smtp_server import Handler, serve
from deliveries.ledger.message_tokens import tokens
from deliveries.models.feedback import FeedbackEvent, RawReport
from deliveries.models.states import LogStatus
from tests.deliveries.mail.bounces.bounce_mails import complaint, postfix_report, return_path
from tests.deliveries.reported import relay
from tests.deliveries.sending.sending_rows import sending_delivery

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def inbox(*configured):
    stop, ready, found = Event(), Event(), []

    def listening(address):
        found.append(address)
        ready.set()

    thread = Thread(target=serve, args=(Handler(configured), "127.0.0.1", 0, stop, listening))
    thread.start()
    assert ready.wait(10)
    try:
        yield found[0]
    finally:
        stop.set()
        thread.join(10)


@pytest.fixture
def log(message, routing):
    [log] = relay(sending_delivery(message, routing, 1))
    return log


@pytest.mark.parametrize("dialect", [smtplib.SMTP, smtplib.LMTP])
def test_a_report_is_kept_acknowledged_and_applied(log, dialect):
    with inbox() as address:
        with dialect(*address) as client:
            client.sendmail("", [return_path(log.pk)], postfix_report(log.pk))
        assert RawReport.objects.count() == 1
    log.refresh_from_db()
    assert log.status == LogStatus.FAILED


def test_an_address_without_a_token_is_refused_unless_configured(log):
    with inbox("fbl@example.com") as address, smtplib.SMTP(*address) as client:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.sendmail("", ["bounces@example.com"], b"x")
        assert refused.value.recipients["bounces@example.com"][0] == 550
        client.sendmail("", ["FBL@example.com"], complaint(log.pk))
    log.refresh_from_db()
    assert log.complained_at is not None


def test_a_forged_token_is_refused(log):
    forged = return_path(log.pk).replace(tokens.sign(log.pk).return_path[-3:], "aaa")
    with inbox() as address, smtplib.SMTP(*address) as client, pytest.raises(smtplib.SMTPRecipientsRefused):
        client.sendmail("", [forged], b"x")


def test_one_letter_gets_so_many_mails_and_the_others_go_on(log, monkeypatch):
    monkeypatch.setattr("deliveries.feedback.smtp_server.letters", Buckets(1, 3, lambda: 0.0))
    with inbox("fbl@example.com") as address, smtplib.SMTP(*address) as client:
        for _ in range(3):
            client.sendmail("", [return_path(log.pk)], b"Subject: x\r\n\r\nx")
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            client.sendmail("", [return_path(log.pk)], b"x")
        assert [code for code, _words in refused.value.recipients.values()] == [450]  # the other server keeps it
        client.sendmail("", ["fbl@example.com"], b"Subject: x\r\n\r\nx")
    assert RawReport.objects.count() == 4


def test_lmtp_answers_once_for_each_recipient(log):
    with inbox("one@example.com", "two@example.com") as address, smtplib.LMTP(*address) as client:
        client.ehlo()
        client.mail("")
        client.rcpt("one@example.com")
        client.rcpt("two@example.com")
        assert client.data(b"Subject: x\r\n\r\nx") == (250, b"2.0.0 kept")
        assert client.getreply() == (250, b"2.0.0 kept")


def test_without_a_database_the_sender_keeps_the_mail(log, monkeypatch):
    def down(*args):
        raise DatabaseError("down")

    monkeypatch.setattr(raw_mail, "keep_all", down)
    with inbox() as address, smtplib.SMTP(*address) as client, pytest.raises(smtplib.SMTPDataError) as refused:
        client.sendmail("", [return_path(log.pk)], b"x")
    assert refused.value.smtp_code == 451


def test_too_much_is_refused_and_the_session_goes_on(log):
    with inbox() as address, smtplib.SMTP(*address) as client:
        client.ehlo()
        client.mail("")
        client.rcpt(return_path(log.pk))
        assert client.data((b"x" * 900 + b"\r\n") * 12_000)[0] == 552
        client.sendmail("", [return_path(log.pk)], postfix_report(log.pk))


def pipe(database, mail, *options):
    environment = {**os.environ, "DATABASE_URL": database, "LOG_LEVEL": "ERROR"}
    command = [sys.executable, "manage.py", "bounce_pipe", *options]
    return subprocess.run(command, input=mail, env=environment, capture_output=True, timeout=60, check=False)


@pytest.mark.slow
def test_the_pipe_tells_postfix_to_keep_a_mail_that_cannot_be_kept(tmp_path):
    done = pipe(f"sqlite:///{tmp_path}/without-tables.sqlite3", postfix_report(1))
    assert done.returncode == os.EX_TEMPFAIL
    assert b"cannot be kept now" in done.stderr


def test_the_pipe_keeps_and_applies(log, monkeypatch):
    from io import BytesIO, TextIOWrapper

    from django.core.management import call_command

    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(postfix_report(log.pk))))
    call_command("bounce_pipe", recipient=return_path(log.pk))
    log.refresh_from_db()
    assert log.status == LogStatus.FAILED
    assert FeedbackEvent.objects.get().source == FeedbackEvent.Source.PIPE
    assert connection.vendor
