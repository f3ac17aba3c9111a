"""Amazon SES notifications that SNS delivers by e-mail: a JSON object in a text part.

https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html describes the fields.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .message import sound

MAX_RECIPIENTS = 100


@dataclass(frozen=True)
class Notice:
    """One recipient's part of a notification. `action` uses the words of RFC 3464, or `complaint`."""

    recipient: str
    action: str
    status: str
    text: str
    feedback_type: str
    timestamp: str
    message_id: str
    header_message_id: str


def read_notices(text: str) -> list[Notice]:
    """The notices in `text`, or [] when it holds no such notification."""
    start = text.find("{")
    if start < 0 or ("otificationType" not in text and "eventType" not in text):
        return []
    try:
        data, _ = json.JSONDecoder(strict=False).raw_decode(text[start:])
        if isinstance(data, dict) and isinstance(data.get("Message"), str):  # still in SNS's envelope
            data, _ = json.JSONDecoder(strict=False).raw_decode(data["Message"])
    except (ValueError, RecursionError):
        return []
    return list(_notices(data))[:MAX_RECIPIENTS] if isinstance(data, dict) else []


def _notices(data: dict[str, Any]) -> Iterator[Notice]:
    kind = _text(data.get("notificationType") or data.get("eventType"))
    mail = _object(data.get("mail"))
    message_id = _text(mail.get("messageId"))
    header_id = _text(_object(mail.get("commonHeaders")).get("messageId"))
    if kind == "Bounce":
        bounce = _object(data.get("bounce"))
        for entry in _objects(bounce.get("bouncedRecipients")):
            yield Notice(
                _text(entry.get("emailAddress")),
                _text(entry.get("action")) or "failed",
                _text(entry.get("status")),
                _text(entry.get("diagnosticCode")) or _bounce_words(bounce),
                "",
                _text(bounce.get("timestamp")),
                message_id,
                header_id,
            )
    elif kind == "Complaint":
        complaint = _object(data.get("complaint"))
        feedback = _text(complaint.get("complaintFeedbackType")) or "abuse"
        for entry in _objects(complaint.get("complainedRecipients")):
            address = _text(entry.get("emailAddress"))
            yield Notice(
                address, "complaint", "", "", feedback, _text(complaint.get("timestamp")), message_id, header_id
            )
    elif kind == "Delivery":
        delivery = _object(data.get("delivery"))
        for value in _list(delivery.get("recipients")):
            reply, when = _text(delivery.get("smtpResponse")), _text(delivery.get("timestamp"))
            yield Notice(_text(value), "delivered", "", reply, "", when, message_id, header_id)


def _bounce_words(bounce: dict[str, Any]) -> str:
    """SES keeps a list of addresses that bounced before; then there is no server's answer to quote."""
    kinds = f"{_text(bounce.get('bounceType'))} {_text(bounce.get('bounceSubType'))}"
    known = {"Permanent NoEmail": "user unknown", "Transient MailboxFull": "mailbox full"}
    return known.get(kinds, kinds)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: object) -> list[dict[str, Any]]:
    return [entry for entry in _list(value) if isinstance(entry, dict)]


def _text(value: object) -> str:
    return sound(value[:4000]) if isinstance(value, str) else ""
