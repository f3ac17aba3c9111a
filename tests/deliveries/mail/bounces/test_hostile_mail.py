"""Whatever strangers write to the return address, reading it takes little time, and says what was left out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from django.utils import timezone

from config.dev.simulator import reader_behaviour
from deliveries.feedback import matching, raw_mail, sns_signatures
from deliveries.mail import addresses
from deliveries.mail.bounces import arf, detection, dsn, message, prose, ses
from deliveries.mail.bounces.parser import UNREAD, parse
from deliveries.mail.qualification.engine import qualify
from deliveries.mail.smtp import protocol
from deliveries.models.feedback import FeedbackEvent, RawReport
from tests.hostile import GROUP, shapes, slow_ones, spent

HEAD = "From: MAILER-DAEMON@mx.example.net\nReturn-Path: <>\nSubject: Undelivered mail\n"
SOURCE = FeedbackEvent.Source.INBOX


def mail(text: str, kind: str = "text/plain", more: str = "") -> bytes:
    return f"{HEAD}{more}Content-Type: {kind}\n\n{text}".encode()


def report(fields: str, kind: str = "message/delivery-status", more: str = "delivery-status") -> bytes:
    body = f"--b\nContent-Type: text/plain\n\nSorry, kim@example.com\n--b\nContent-Type: {kind}\n\n{fields}\n--b--\n"
    return mail(body, f"multipart/report; report-type={more}; boundary=b")


def notice(text: str) -> list[object]:
    words = text.replace("\\", "").replace('"', "")
    entry = f'{{"emailAddress": "kim@example.com", "diagnosticCode": "{words}"}}'
    return parse(mail(f'{{"notificationType": "Bounce", "bounce": {{"bouncedRecipients": [{entry}, {entry}]}}}}'))  # type: ignore[return-value]


def each_part(text: str) -> list[object]:
    """Sixty parts of a report, each with its share of the text."""
    share = len(text) // 60
    parts = "".join(f"--b\nContent-Type: text/plain\n\n{text[n * share : (n + 1) * share]}\n" for n in range(60))
    return parse(mail(parts, "multipart/mixed; boundary=b"))  # type: ignore[return-value]


def each_recipient(text: str) -> list[object]:
    """Two hundred recipients, each with a diagnostic of its own."""
    share = len(text) // 200
    groups = (
        f"Final-Recipient: rfc822; kim{n}@example.com\nAction: failed\nStatus: 5.0.0\n"
        f"Diagnostic-Code: smtp; 550 {n} {text[n * share : (n + 1) * share]}\n\n"
        for n in range(200)
    )
    return parse(report("".join(groups)))  # type: ignore[return-value]


DOORS: dict[str, Callable[[str], object]] = {
    "raw": lambda text: parse(text.encode()),
    "text": lambda text: parse(mail(text)),
    "text below an address": lambda text: parse(mail(f"kim@example.com\n{text}")),
    "HTML": lambda text: parse(mail(text, "text/html")),
    "headers": lambda text: parse(
        f"From: {text}\nReturn-Path: {text}\nTo: {text}\nMessage-ID: {text}\nSubject: {text}\n"
        f"Content-Type: multipart/mixed; boundary={text}\nContent-Type: {text}\n\n{text}".encode()
    ),
    "status": lambda text: parse(report(text)),
    "a diagnostic": lambda text: parse(
        report(f"Final-Recipient: rfc822; kim@example.com\nAction: failed\nDiagnostic-Code: smtp; 550 {text}")
    ),
    "each diagnostic": each_recipient,
    "each part": each_part,
    "complaint": lambda text: parse(report(text, "message/feedback-report", "feedback-report")),
    "returned": lambda text: parse(report(text, "message/rfc822")),
    "forwarded": lambda text: parse(f"Subject: Fwd: x\n\n> Final-Recipient: a@example.com\n{text}".encode()),
    "notice of SES": notice,
    "mbox": lambda text: parse(b"From a " + text.encode()),
    "kept mail": lambda text: raw_mail._identity(text.encode()),
}
INNER: dict[str, Callable[[str], object]] = {
    "quoted-printable": lambda text: parse(mail(text, more="Content-Transfer-Encoding: quoted-printable\n")),
    "base64": lambda text: parse(mail(text, more="Content-Transfer-Encoding: base64\n")),
    "read receipt": lambda text: parse(report(text, "text/plain", "disposition-notification")),
    "plain": message.plain,
    "header": lambda text: message._header_text(text.encode()),
    "date": message.parse_date,
    "mentions": prose.find_mentions,
    "server's words": prose.server_words,
    "stage": lambda text: prose.stage_of(text, prose.stages_in(detection.line_of(text))),
    "delay": lambda text: detection.is_delay(detection.line_of(text)),
    "fields": dsn.read_report,
    "wrapped reply": lambda text: dsn.unquote(f"5.1.0 - {text}"),
    "feedback": arf.read_feedback,
    "SES": lambda text: ses.read_notices(f"notificationType {text}"),
    "addresses": addresses.find_addresses,
    "all addresses": lambda text: list(addresses.places(text)),
    "rules": lambda text: qualify("", "", text),
    "token": lambda text: matching.log_in([text]),
    "SMTP reply": lambda text: protocol.ReplyReader().feed(b"550-" + text.encode()),
    "SMTP features": lambda text: protocol.parse_features(b"x\n" + text.encode()),
    "certificate's address": lambda text: sns_signatures.HOST.fullmatch(
        f"https://sns.x-1.amazonaws.com/SimpleNotificationService-{text}"
    ),
    "simulated reader": reader_behaviour.letter,
}


def test_a_hundred_kilobytes_of_any_shape_take_less_than_half_a_second() -> None:
    usual = ("text", "headers", "each diagnostic")
    assert slow_ones({name: DOORS[name] for name in usual}, 100_000, 0.5) == {}


@pytest.mark.slow
def test_a_megabyte_of_any_shape_takes_less_than_a_second() -> None:
    assert slow_ones(DOORS | INNER, 1_000_000, 1.0) == {}


def test_a_bounce_of_25_kilobytes_of_newlines_is_read_at_once() -> None:
    assert spent(partial(parse, mail("\n" * 25_000))) < 0.5


def test_a_megabyte_of_repeated_recipients_is_read_at_once_and_says_that_it_was_too_much() -> None:
    raw = mail("Sorry.\n\n" + GROUP * (1_000_000 // len(GROUP)))
    assert spent(partial(parse, raw)) < 1.0
    assert [(found.kind, found.text) for found in parse(raw)[-1:]] == [("none", UNREAD)]


@pytest.mark.parametrize("words", ["status", "because", "reason: ", "failure reason ", "diagnostic\n"])
def test_a_word_and_seven_hundred_spaces_do_not_hold_a_worker_for_minutes(words: str) -> None:
    raw = report("Final-Recipient: rfc822; kim@example.com\nAction: failed\n").replace(b"Sorry,", words.encode())
    raw = raw.replace(b" kim@example.com\n--b", b" " * 700 + b"x\n--b")
    assert b" " * 700 in raw and spent(partial(parse, raw)) < 0.3
    assert parse(raw)[0].recipient == "kim@example.com"


@pytest.mark.parametrize("words", ["The system of ours did not take it, see our page. ", "user recipient mailbox "])
def test_a_diagnostic_of_4000_characters_costs_two_milliseconds_a_recipient(words: str) -> None:
    groups = "".join(GROUP.replace("550", f"550 {n} {(words * 200)[:4000]}") for n in range(20))
    parse(report(groups))
    assert min(spent(partial(parse, report(groups))) for _ in range(3)) / 20 < 0.006  # three times as much, for others


def test_recipients_who_share_a_diagnostic_share_its_reading() -> None:
    words = "The system of ours did not take it, see our page. " * 40
    groups = "".join(GROUP.replace("kim@", f"kim{n}@").replace("unknown user", words) for n in range(40))
    assert min(spent(partial(parse, report(groups))) for _ in range(3)) / 40 < 0.002


def test_what_says_more_than_is_read_of_one_mail_is_kept_with_words_and_not_tried_again(db: None) -> None:
    groups = (GROUP.replace("unknown user", f"{n} {chr(97 + n % 26) * 1900}") for n in range(150))
    inner = "".join(f"--b\nContent-Type: message/delivery-status\n\n{group}\n" for group in groups)
    raw_mail.keep(mail(inner, "multipart/report; report-type=delivery-status; boundary=b"), SOURCE)
    raw_mail.keep(mail(f"From a\n\n{GROUP}" + "\0(" * 200_000), SOURCE)
    assert raw_mail.drain() == 2 and not RawReport.objects.filter(applied_at=None).exists()
    events = list(FeedbackEvent.objects.order_by("pk"))
    assert [event.text for event in events if event.kind == FeedbackEvent.Kind.NONE] == [UNREAD]
    assert all(event.at <= timezone.now() for event in events)


def test_no_shape_raises_or_is_left_waiting(db: None) -> None:
    raw_mail.keep_all([(mail(text), "") for _shape, text in shapes(3_000)], SOURCE)
    raw_mail.keep_all([(mail(text, "text/html"), "") for _shape, text in shapes(3_000)], SOURCE)
    raw_mail.drain()
    assert not RawReport.objects.filter(applied_at=None).exists()
    assert not FeedbackEvent.objects.filter(text="This mail cannot be read.").exists()
