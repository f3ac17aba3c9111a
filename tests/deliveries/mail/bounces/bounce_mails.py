"""Reports as Postfix writes them (RFC 3464), for tests of the doors."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import count

from deliveries.ledger.message_tokens import tokens

_numbers = count()
_WORDS = {
    "failed": ("5.1.1", "550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual mailbox table"),
    "delayed": ("4.4.1", "451 4.4.1 the server is busy"),
    "delivered": ("2.0.0", "250 2.0.0 Ok: queued"),
}


def return_path(log_id: int, domain: str = "example.com") -> str:
    """The signed return path of a sending log."""
    return f"b-{tokens.sign(log_id).return_path}@{domain}"


def postfix_report(
    log_id: int,
    action: str = "failed",
    to: str = "user0@example.net",
    *,
    at: datetime | None = None,
    status: str = "",
    words: str = "",
) -> bytes:
    """A report about the message of a sending log; every one has a Message-ID of its own."""
    signed, (known_status, known_words) = tokens.sign(log_id), _WORDS[action]
    status, words = status or known_status, (words or known_words).format(to=to)
    return f"""\
Return-Path: <>
From: MAILER-DAEMON@mx.example.org (Mail Delivery System)
To: {return_path(log_id)}
Subject: {"Undelivered Mail Returned to Sender" if action == "failed" else "Mail Delivery Status Report"}
Date: {format_datetime(at or datetime.now(UTC))}
Message-Id: <report{next(_numbers)}@mx.example.org>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.org.

<{to}>: host mail.example.net said: {words}

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org
X-Postfix-Queue-ID: 4XyZ
Original-Envelope-Id: {signed.return_path}

Final-Recipient: rfc822; {to}
Original-Recipient: rfc822;{to}
Action: {action}
Status: {status}
Remote-MTA: dns; mail.example.net
Diagnostic-Code: smtp; {words}

--b
Content-Type: text/rfc822-headers

From: News <news@example.com>
To: {to}
Message-ID: <{signed.message_id}.DM1@example.com>
Subject: Hello

--b--
""".replace("\n", "\r\n").encode()


def complaint(log_id: int, to: str = "user0@example.net") -> bytes:
    """A feedback report (RFC 5965)."""
    return f"""\
From: <fbl@mail.example.net>
To: fbl@example.com
Subject: FW: Hello
Date: {format_datetime(datetime.now(UTC))}
Message-ID: <complaint{next(_numbers)}@mail.example.net>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an email abuse report.

--b
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1

--b
Content-Type: message/rfc822

From: News <news@example.com>
To: {to}
Message-ID: <{tokens.sign(log_id).message_id}.DM1@example.com>
Subject: Hello

Hello.
--b--
""".replace("\n", "\r\n").encode()
