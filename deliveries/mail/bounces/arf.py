"""RFC 5965 feedback reports: what a mailbox provider tells of its user's click on "this is spam"."""

import re
from dataclasses import dataclass

from deliveries.mail.addresses import find_addresses

# RFC 5965 section 7.3 and RFC 6430, and the draft's opt-out types that providers still send. Only a
# person's own wish counts as a complaint: a failed DKIM or DMARC check (RFC 6591) and "this is not
# spam" (RFC 6430) say nothing against the address.
COMPLAINTS = frozenset(("abuse", "fraud", "opt-out", "opt-out-list", "virus", "other", "miscategorized"))
TYPES = COMPLAINTS | {"not-spam", "auth-failure", "dkim-failure", "complaint"}
MAX_RECIPIENTS = 50

_FIELD = re.compile(r"(?m)^([A-Za-z][A-Za-z0-9-]{2,40})[ \t]*:[ \t]*(.*)$")
_FIELDS = ("original-rcpt-to", "removal-recipient", "x-original-rcpt-to")


@dataclass(frozen=True)
class Feedback:
    """A feedback report. `recipients` may be empty: many providers blot the address out."""

    feedback_type: str
    recipients: list[str]

    @property
    def is_complaint(self) -> bool:
        return self.feedback_type in COMPLAINTS


def read_feedback(text: str) -> Feedback:
    """The fields of a message/feedback-report body; an unknown or missing type counts as `other`."""
    fields: dict[str, list[str]] = {}
    for name, value in _FIELD.findall(text):
        fields.setdefault(name.lower(), []).append(value.strip())
    recipients = [address for name in _FIELDS for value in fields.get(name, []) for address in find_addresses(value)]
    return Feedback(
        _feedback_type(_first(fields, "feedback-type")),
        list(dict.fromkeys(recipients))[:MAX_RECIPIENTS],
    )


def is_complaint_subject(subject: str) -> bool:
    """Whether a mail that encloses a message is a complaint by its subject: Microsoft's JMRP sends no
    RFC 5965 fields."""
    return bool(re.match(r"(?i)\s*complaint about message from ", subject))


def _feedback_type(value: str) -> str:
    name = value.lower().strip()
    if name == "complaint":
        return "abuse"
    return name if name in TYPES else "other"


def _first(fields: dict[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[0]
