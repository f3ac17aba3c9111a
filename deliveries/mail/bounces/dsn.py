"""RFC 3464 delivery reports, and the same fields where they stand in plain text.

Also knows the transcripts that accompany them, because many programs copy only the first line of an
SMTP reply into `Diagnostic-Code`, or keep the stage of the dialogue (RCPT, DATA) to the prose.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from deliveries.mail.addresses import find_addresses

MAX_RECIPIENTS = 200
MAX_VALUE = 2000  # characters; RFC 3464 sets no limit, the longest of 425 real mails has 366

_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{2,40})[ \t]*:[ \t]*(.*)")
_PER_MESSAGE = frozenset(("reporting-mta", "original-envelope-id", "received-from-mta", "arrival-date", "dsn-gateway"))
_PER_RECIPIENT = frozenset(
    (
        "final-recipient",
        "original-recipient",
        "action",
        "status",
        "remote-mta",
        "diagnostic-code",
        "last-attempt-date",
        "will-retry-until",
        "final-log-id",
        "x-supplementary-info",
        "x-actual-recipient",
    )
)
_ACTIONS = {
    "failed": "failed",
    "failure": "failed",
    "fail": "failed",
    "delayed": "delayed",
    "delay": "delayed",
    "delivered": "delivered",
    "deliverable": "delivered",
    "relayed": "relayed",
    "expanded": "expanded",
}


@dataclass
class Fields:
    """The fields of one group, names in lower case."""

    values: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str:
        return self.values.get(name, "")

    def typed(self, name: str) -> tuple[str, str]:
        """A `type; value` field split, as in `rfc822; user@example.com`; without a type it is ''."""
        kind, semicolon, value = self.get(name).partition(";")
        if not semicolon or "@" in kind or len(kind.split()) > 1:
            return "", self.get(name).strip()
        return kind.strip().lower(), value.strip()

    @property
    def action(self) -> str:
        """`failed`, `delayed`, `delivered`, `relayed`, `expanded`, or '' (RFC 3464 section 2.3.3)."""
        words = re.findall(r"[a-z]+", self.get("action").lower())
        return _ACTIONS.get(words[0], "") if words else ""

    @property
    def diagnostic(self) -> str:
        """The other server's reply, or ''."""
        return unquote(self.typed("diagnostic-code")[1] or self.typed("x-supplementary-info")[1])

    @property
    def recipients(self) -> list[str]:
        """Addresses of Final-Recipient, Original-Recipient and the vendor's field, best first.

        A source route (`@relay:user@host`) or a name without a domain yields to a complete address."""
        candidates: list[str] = []
        for name in ("final-recipient", "original-recipient", "x-actual-recipient"):
            value = self.typed(name)[1]
            routed = value.lstrip("<").startswith("@")
            found = find_addresses(value)
            candidates += [] if routed else found
        return sorted(candidates, key=lambda address: "." not in address.partition("@")[2])


@dataclass
class DeliveryReport:
    """A report's fields: those of the whole message and those of each recipient."""

    message: Fields
    recipients: list[Fields]


def looks_like_fields(text: str) -> bool:
    """Whether plain text carries the fields of a delivery report without saying so in MIME."""
    names = {name for name, _ in _fields(text) if name in _PER_RECIPIENT}
    return "final-recipient" in names and bool(names & {"action", "status", "diagnostic-code"})


def read_report(text: str) -> DeliveryReport:
    """The groups of a message/delivery-status body.

    Groups should be parted by blank lines (RFC 3464 section 2.1); where a program forgets them or puts
    too many, a repeated field name begins a group, and one without any recipient joins its neighbour."""
    message, groups = Fields(), [Fields()]
    for name, value in _fields(text):
        if name == "":
            groups.append(Fields()) if groups[-1].values else None
        elif name in _PER_MESSAGE:
            message.values.setdefault(name, value)
        elif name in _PER_RECIPIENT:
            if name in groups[-1].values:
                groups.append(Fields())
            groups[-1].values[name] = value
    return DeliveryReport(message, _joined(groups))


def _joined(groups: list[Fields]) -> list[Fields]:
    joined: list[Fields] = []
    for group in groups:
        if not group.values:
            continue
        if joined and not (_named(group) and _named(joined[-1])) and not set(group.values) & set(joined[-1].values):
            joined[-1].values.update(group.values)
        else:
            joined.append(group)
    return joined


def _named(group: Fields) -> bool:
    return "final-recipient" in group.values or "original-recipient" in group.values


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Name and unfolded value of each field; ('', '') for a blank line."""
    name, value = "", ""
    for line in text.split("\n"):
        if line[:1] in (" ", "\t") and line.strip() and name:
            value = f"{value}\n{line.strip()}"[:MAX_VALUE]
            continue
        if name:
            yield name, value
        match = _FIELD.match(line.strip())
        name, value = (match.group(1).lower(), match.group(2)[:MAX_VALUE]) if match else ("", "")
        if not line.strip():
            yield "", ""
    if name:
        yield name, value


def unquote(diagnostic: str) -> str:
    """The other server's reply alone, where the program wraps it in words of its own.

    IronPort and Amazon SES write `5.1.0 - Unknown address error 550-'5.7.1 …'` whatever the reply is."""
    match = re.match(r"[245]\.\d{1,3}\.\d{1,3} - [\w ]{1,60} ([245]\d\d)[ -]['\"](.*)", " ".join(diagnostic.split()))
    return f"{match.group(1)} {match.group(2)}" if match else diagnostic


def complete(diagnostic: str, transcript: list[str]) -> str:
    """`diagnostic` with the lines that its program left out, taken from the answers in the notice's transcript.

    Sendmail copies one line of `550-5.7.1 …` only; the rest stands behind `<<<` in the text above."""
    if not re.match(r"[245]\d\d-", diagnostic) or "\n" in diagnostic:
        return diagnostic
    lines = [line.strip() for line in transcript]
    if diagnostic not in lines:
        return diagnostic
    start = lines.index(diagnostic)
    same = [line for line in lines[start : start + 20] if line[:3] == diagnostic[:3]]
    return "\n".join(same)[:MAX_VALUE]
