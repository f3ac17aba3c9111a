"""Bounces: any mail that came to the return address -> what it says of whom."""

import base64
import io
import json
import quopri
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from deliveries.mail.bounces.parser import KINDS, UNREAD, Report, parse
from deliveries.mail.qualification.engine import TYPES, Rule

SAMPLES = Path(__file__).parent / "samples"
EXPECTED = [json.loads(line) for line in (SAMPLES / "expected.jsonl").read_text().splitlines()]


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.eml").read_bytes()


def only(raw: bytes | str) -> Report:
    reports = parse(raw if isinstance(raw, bytes) else raw.encode())
    assert len(reports) == 1, reports
    return reports[0]


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda row: row["file"])
def test_each_program_is_understood(expected: dict[str, str]) -> None:
    report = only(sample(expected["file"]))
    assert {key: getattr(report, key) for key in expected if key != "file"} == {
        key: value for key, value in expected.items() if key != "file"
    }, report


FIELDS = """Reporting-MTA: dns; mx.example.net
Original-Envelope-Id: DM7-42
Arrival-Date: Thu, 1 Feb 2024 10:00:00 +0100

Final-Recipient: rfc822; Kim@Example.com
Original-Recipient: rfc822;kim+old@example.com
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.com
Diagnostic-Code: smtp; 550 5.1.1 <kim@example.com>: Recipient address rejected:
 User unknown
Last-Attempt-Date: Thu, 1 Feb 2024 09:30:00 GMT
"""
RETURNED = "Message-ID: <dm7.42@example.org>\nFrom: news@example.org\nTo: kim@example.com\n\nHello\n"


def report_mail(fields: str, *, notice: str = "Sorry.", returned: str = RETURNED, encoding: str = "") -> str:
    """A multipart/report as RFC 6522 wants it."""
    head = "Return-Path: <>\nDelivered-To: bounce-7-kim=example.com@example.org\nFrom: MAILER-DAEMON@mx.example.net\n"
    head += "Subject: Undelivered\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n"
    transfer = f"Content-Transfer-Encoding: {encoding}\n" if encoding else ""
    return (
        f"{head}--b\nContent-Type: text/plain; charset=utf-8\n\n{notice}\n"
        f"--b\nContent-Type: message/delivery-status\n{transfer}\n{fields}\n"
        f"--b\nContent-Type: message/rfc822\n\n{returned}\n--b--\n"
    )


def test_a_report_gives_all_that_helps_to_match_it() -> None:
    report = only(report_mail(FIELDS))
    assert report.recipient == "kim@example.com"
    assert (report.status, report.code, report.action) == ("5.1.1", "550", "failed")
    assert report.last_attempt_date == datetime(2024, 2, 1, 9, 30, tzinfo=UTC)
    evidence = report.evidence
    assert evidence.message_ids == ("dm7.42@example.org",)
    assert evidence.envelope_id == "DM7-42"


def test_each_recipient_of_a_report_has_a_verdict_of_its_own() -> None:
    second = "\nFinal-Recipient: rfc822; lee@example.com\nAction: delayed\nStatus: 4.2.2\n"
    reports = parse(report_mail(FIELDS + second).encode())
    assert [(r.recipient, r.kind, r.type, r.reason) for r in reports] == [
        ("kim@example.com", "bounce", "hard", "user_unknown"),
        ("lee@example.com", "delayed", "soft", "mailbox_full"),
    ]


def test_a_repeated_field_begins_the_next_recipient_where_blank_lines_are_missing() -> None:
    fields = "Action: failed\nFinal-Recipient: rfc822; a@example.com\nStatus: 5.2.2\n"
    reports = parse(report_mail(fields + fields.replace("a@", "b@")).encode())
    assert [r.recipient for r in reports] == ["a@example.com", "b@example.com"]


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_a_success_report_is_no_failure(action: str) -> None:
    report = only(report_mail(f"Final-Recipient: rfc822; kim@example.com\nAction: {action}\nStatus: 2.0.0\n"))
    assert (report.kind, report.type, report.reason) == ("delivered", "ignored", "")


def test_a_source_route_yields_to_the_original_recipient() -> None:
    fields = FIELDS.replace("rfc822; Kim@Example.com", "rfc822;@relay.example.com:kim@store")
    assert only(report_mail(fields)).recipient == "kim+old@example.com"


def test_without_a_named_recipient_the_returned_message_tells() -> None:
    assert only(report_mail("Reporting-MTA: dns; mx.example.net\n")).recipient == "kim@example.com"


def test_the_servers_reply_counts_more_than_the_status_that_a_program_invents() -> None:
    fields = FIELDS.replace(
        "550 5.1.1 <kim@example.com>: Recipient address rejected:\n User unknown", "554 5.7.1 SPF fail"
    )
    report = only(report_mail(fields))
    assert (report.type, report.detail, report.status) == ("ignored", "authentication", "5.7.1")


def test_sendmails_transcript_completes_a_reply_of_which_only_the_first_line_is_quoted() -> None:
    fields = FIELDS.replace(
        "550 5.1.1 <kim@example.com>: Recipient address rejected:\n User unknown", "550-5.7.1 Sorry,"
    )
    notice = ">>> DATA\n<<< 550-5.7.1 Sorry,\n<<< 550 5.7.1 your IP is on our blocklist\n554 5.0.0 Service unavailable"
    assert only(report_mail(fields, notice=notice)).detail == "blocked_ip"


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_encoded_report_parts_are_read(encoding: str) -> None:
    code = base64.encodebytes if encoding == "base64" else quopri.encodestring
    report = only(report_mail(code(FIELDS.encode()).decode(), encoding=encoding))
    assert (report.recipient, report.type) == ("kim@example.com", "hard")


@pytest.mark.parametrize("charset", ["iso-2022-jp", "shift_jis", "euc-jp", "utf-8"])
@pytest.mark.parametrize("declared", [True, False])
def test_japanese_notices_are_read_whatever_charset_they_declare(charset: str, declared: bool) -> None:
    head = "From: MAILER-DAEMON@mx.example.jp\nSubject: failure notice\n"
    head += f"Content-Type: text/plain; charset={charset}\n\n" if declared else "\n"
    body = "<kim@example.com>:\nメールボックスの容量が超過しています\n".encode(charset)
    assert only(head.encode() + body).reason == "mailbox_full"


def test_a_boundary_that_was_never_declared_is_found() -> None:
    raw = report_mail(FIELDS).replace("boundary=b\n", "boundary=other\n")
    assert only(raw).recipient == "kim@example.com"


def test_an_html_only_notice_is_read() -> None:
    raw = "From: postmaster@example.com\nSubject: Undeliverable: News\nContent-Type: text/html\n\n"
    raw += "<style>p {}</style><p>Delivery has failed to these recipients:<br><a href='x'>kim@example.com</a></p>"
    raw += "<p>The recipient's mailbox is full.</p>"
    report = only(raw)
    assert (report.recipient, report.reason) == ("kim@example.com", "mailbox_full")


def test_a_bounce_that_a_gateway_passes_on_is_read_from_inside() -> None:
    inner = report_mail(FIELDS).replace("boundary=b", "boundary=i").replace("--b", "--i")
    outer = "From: MAILER-DAEMON@gate.example\nSubject: Returned mail\nContent-Type: multipart/mixed; boundary=o\n\n"
    raw = f"{outer}--o\nContent-Type: text/plain\n\nSee below.\n--o\nContent-Type: message/rfc822\n\n{inner}\n--o--\n"
    assert only(raw).recipient == "kim@example.com"


FEEDBACK = """From: fbl@provider.example
Subject: Report
Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b
Content-Type: message/feedback-report

Feedback-Type: {type}
Version: 1
Original-Rcpt-To: <kim@example.com>

--b
Content-Type: message/rfc822

Message-ID: <dm7.42@example.org>
To: Undisclosed <hidden@example.net>

--b--
"""


@pytest.mark.parametrize(
    ("feedback", "kind"),
    [
        ("abuse", "complaint"),
        ("fraud", "complaint"),
        ("opt-out", "complaint"),
        ("not-spam", "none"),
        ("auth-failure", "none"),
    ],
)
def test_only_a_persons_wish_is_a_complaint(feedback: str, kind: str) -> None:
    report = only(FEEDBACK.format(type=feedback))
    assert (report.recipient, report.kind, report.feedback) == ("kim@example.com", kind, feedback)
    assert report.evidence.message_ids == ("dm7.42@example.org",)


def test_a_complaint_without_recipient_fields_names_the_returned_messages_addressee() -> None:
    raw = FEEDBACK.format(type="abuse").replace("Original-Rcpt-To: <kim@example.com>\n", "")
    assert only(raw).recipient == "hidden@example.net"


SES = {
    "Bounce": {
        "bounce": {"bouncedRecipients": [{"emailAddress": "kim@example.com", "diagnosticCode": "smtp; 550 5.1.1 no"}]}
    },
    "Complaint": {"complaint": {"complainedRecipients": [{"emailAddress": "kim@example.com"}]}},
    "Delivery": {"delivery": {"recipients": ["kim@example.com"], "smtpResponse": "250 2.6.0 ok"}},
}


@pytest.mark.parametrize(
    ("kind", "expected"), [("Bounce", "bounce"), ("Complaint", "complaint"), ("Delivery", "delivered")]
)
def test_ses_notifications_are_read(kind: str, expected: str) -> None:
    data = {"notificationType": kind, "mail": {"messageId": "0100-1"}, **SES[kind]}
    report = only("From: no-reply@sns.example\nSubject: Notification\n\n" + json.dumps(data))
    assert (report.recipient, report.kind) == ("kim@example.com", expected)
    assert report.evidence.message_ids == ("0100-1",)


@pytest.mark.parametrize(
    "subject",
    [
        "Out of Office: News",
        "Automatische Antwort: News",
        "Abwesenheitsnotiz",
        "Réponse automatique : News",
        "Respuesta automática: News",
        "Risposta automatica: News",
        "Automatisch antwoord: News",
        "自動返信: News",
        "不在通知",
        "Автоответ: News",
    ],
)
def test_an_out_of_office_reply_is_no_bounce(subject: str) -> None:
    report = only(f"From: Kim <kim@example.com>\nSubject: {subject}\n\nI am away, mail is not delivered to me.\n")
    assert (report.recipient, report.kind, report.type) == ("kim@example.com", "auto-reply", "ignored")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n\n\n",
        b"no headers at all",
        b"From: kim@example.com\nSubject: Lunch?\n\nAt one?\n",
        b"From: kim@example.com\nSubject: Re: failure notice\n\n> <lee@example.com>: 550 User unknown\nWhat is this?\n",
        b"From: Git <notify@git.example>\nSubject: Delivery failure\n\n<lee@example.com>: 550 5.1.1 User unknown\n",
        b"From: postmaster@mail.example\nSubject: New limits\n\nOver 20 MB will be rejected. Ask help@mail.example\n",
        b"From: root@db.example (Cron Daemon)\nSubject: Cron <root@db> backup\n\nadmin@example.com: cannot connect\n",
        b"From: no-reply@shop.example\nSubject: Your delivery failed\n\nNobody was at home at your address.\n",
        b"From: news@example.net\nSubject: Bounced mail explained\n\n550 5.1.1 means user unknown.\n",
    ],
)
def test_other_mail_is_no_bounce(raw: bytes) -> None:
    assert only(raw).kind == "none"


RECEIPT = """From: kim@example.com
Subject: Not read: News
Content-Type: multipart/report; report-type=disposition-notification; boundary=b

--b
Content-Type: text/plain

{text}
--b
Content-Type: message/disposition-notification

Final-Recipient: rfc822;kim@example.com
Disposition: automatic-action/MDN-sent-automatically; deleted
--b--
"""


def test_a_read_receipt_is_no_bounce_but_a_filters_refusal_in_its_form_is() -> None:
    assert only(RECEIPT.format(text="Your message was deleted without being read.")).kind == "none"
    refused = RECEIPT.format(text="Your message to <kim@example.com> was automatically rejected:\nQuota exceeded")
    refused = refused.replace("From: kim@", "From: MAILER-DAEMON@").replace(
        "Not read: News", "Automatically rejected mail"
    )
    report = only(refused)
    assert (report.recipient, report.kind, report.reason) == ("kim@example.com", "bounce", "mailbox_full")


def test_every_mail_of_an_mbox_is_read() -> None:
    line = "From MAILER-DAEMON Thu Feb  1 10:00:00 2024\n"
    raw = f"{line}{report_mail(FIELDS)}\n{line}{report_mail(FIELDS.replace('Kim@', 'lee@'))}"
    assert [r.recipient for r in parse(raw.encode())] == ["kim@example.com", "lee@example.com"]


def test_an_administrators_rules_decide_instead_of_the_default_ones() -> None:
    rules = [Rule(1, "ours", "user unknown", "ignored", "refused")]
    report = parse(report_mail(FIELDS).encode(), rules=rules)[0]
    assert (report.type, report.rule) == ("ignored", "ours")


def test_a_flood_of_recipients_parts_and_headers_is_cut() -> None:
    fields = "".join(
        f"Final-Recipient: rfc822; u{n}@example.com\nAction: failed\nStatus: 5.1.1\n\n" for n in range(5000)
    )
    nested = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(5000))
    headers = "".join(f"X-{n}: y\n" for n in range(50_000))
    *reports, last = parse(report_mail(fields).encode())
    assert len(reports) == 200 and (last.kind, last.text) == ("none", UNREAD)
    for raw in (nested, headers, f"Content-Type: multipart/mixed; boundary=b\n\n{'--b' * 50_000}", "--b\n" * 50_000):
        assert [r.kind for r in parse(raw.encode())] == ["none"]


def test_bytes_beyond_the_limit_are_not_looked_at() -> None:
    raw = report_mail(FIELDS).encode()
    assert parse(raw, limit=60)[0].recipient == ""


NASTY = ["utf-7", "utf-16", "idna", "punycode", "zip", "rot13", "undefined", "unicode_escape", "x" * 300, "\u0130"]


@pytest.mark.parametrize("charset", NASTY)
def test_no_charset_name_does_harm(charset: str) -> None:
    head = f"From: MAILER-DAEMON@x.example\nSubject: =?{charset}?b?2D3YPQ==?= failure notice\n"
    raw = f"{head}Content-Type: text/plain; charset={charset}\n\n<kim@example.com>:\n+2D0- user unknown\n"
    assert parse(raw.encode())[0].kind in KINDS


SEEDS = [
    report_mail(FIELDS).encode(),
    FEEDBACK.format(type="abuse").encode(),
    *(sample(row["file"]) for row in EXPECTED[::6]),
]
PIECES = st.sampled_from(
    [
        *(
            b"--b\n",
            b"--b--\n",
            b"\n\n",
            b"\x00",
            b"\xff\xfe",
            b"=?utf-7?q?+2D0-?=",
            b"<<< 550-5.1.1 a\n",
            b"From a 1\n",
        ),
        *(
            b"Content-Type: multipart/mixed; boundary=b\n",
            b"Content-Type: message/rfc822\n\n",
            b"Final-Recipient: rfc822;",
        ),
        *(
            b"Content-Transfer-Encoding: base64\n",
            b"Content-Type: message/delivery-status\n\n",
            b"Action: \n",
            b"@" * 50,
        ),
        *(b"Arrival-Date: Thu, 99 Foo 99999 99:99:99 +9999\n", b'{"notificationType":"Bounce"', b"<a@b>:", b"[" * 3000),
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A bounce with foreign pieces put in, bytes changed, and its end cut off."""
    raw = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 40))] = draw(PIECES | st.binary(max_size=20))
    return bytes(raw[: draw(st.integers(0, len(raw)))])


def sound(reports: list[Report]) -> bool:
    json.dumps([report.text for report in reports]).encode()
    return bool(reports) and all(r.kind in KINDS and r.type in TYPES and len(r.recipient) <= 320 for r in reports)


@settings(max_examples=250, deadline=None)
@given(mutated() | st.lists(PIECES | st.binary(max_size=30), max_size=30).map(b"".join))
def test_any_bytes_give_reports_and_no_exception(raw: bytes) -> None:
    assert sound(parse(raw))


def run(
    *names: str, stdin: bytes = b"", monkeypatch: pytest.MonkeyPatch | None = None
) -> tuple[list[dict[str, str]], str, int]:
    """Run the command; its lines, what it says on stderr, its exit status."""
    if monkeypatch:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
    out, err, status = io.StringIO(), io.StringIO(), 0
    try:
        call_command("qualify_bounce", *names, stdout=out, stderr=err)
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    return [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue(), status


def test_the_command_prints_a_line_per_message_and_recipient() -> None:
    name = str(SAMPLES / "sendmail-unknown.eml")
    lines, _, status = run(name, str(SAMPLES / "news.eml"))
    assert status == 0
    keys = ("file", "recipient", "kind", "type", "reason", "status")
    assert [lines[0][key] for key in keys] == [name, "kim@example.com", "bounce", "hard", "user_unknown", "5.1.1"]
    assert lines[1]["kind"] == "none"


def test_the_command_does_the_other_files_and_fails_when_one_is_missing() -> None:
    lines, error, status = run("missing.eml", str(SAMPLES / "news.eml"))
    assert (len(lines), status) == (1, 1)
    assert "missing.eml: No such file" in error


def test_the_command_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, _, _ = run("-", stdin=sample("qmail-nohost"), monkeypatch=monkeypatch)
    assert [(line["file"], line["reason"]) for line in lines] == [("-", "invalid_domain")]
