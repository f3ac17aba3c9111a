"""An opened mail with its contents sorted by what a report is made of."""

import re
from dataclasses import dataclass
from functools import cached_property

from deliveries.mail.addresses import find_all

from . import dsn
from .message import Headers, Mail, read_headers
from .passage import Passage
from .prose import Mention, split_returned
from .report import Evidence

# Addresses of people to ask; a notice that names them doesn't blame them.
_HELP = re.compile(r"(postmaster|mailer-daemon|abuse|helpdesk|support|hostmaster)@")
_WORD = re.compile(r"[^\s<>\"(),;:]++")
MAX_TEXT = 256 * 1024  # characters of a mail's text in which the returned message is looked for
MAX_ID = 500


@dataclass(frozen=True)
class Opened:
    """A mail, sorted.

    notice          what a program wrote for people to read
    returned        header fields of the message that came back; empty when none did
    enclosed        that message, as far as it was kept
    status_texts    bodies of message/delivery-status parts
    feedback_texts  bodies of message/feedback-report parts
    """

    mail: Mail
    notice: str
    returned: Headers
    enclosed: bytes
    status_texts: list[str]
    feedback_texts: list[str]
    evidence: Evidence

    @property
    def headers(self) -> Headers:
        return self.mail.headers

    @property
    def subject(self) -> str:
        return self.mail.headers.get("subject")

    @cached_property
    def passage(self) -> Passage:
        """The notice, as all that ask about it share it."""
        return Passage(self.notice)

    @cached_property
    def returned_recipients(self) -> list[str]:
        """To whom the returned message was addressed."""
        names = ("x-hmxmroriginalrecipient", "to", "x-original-to", "delivered-to")
        found = next((found for name in names if (found := find_all(self.returned.all(name)))), [])
        return found[: dsn.MAX_RECIPIENTS]

    def named(self, mentions: list[Mention]) -> list[str]:
        """The recipients that a notice blames. A sentence may name others besides; there those to whom the
        returned message was addressed are meant, or the first."""
        likely = self._most_likely([mention.address for mention in mentions])
        if any(mention.listed for mention in mentions):
            return likely
        return [address for address in likely if address in self.returned_recipients] or likely[:1]

    def blamed(self, candidates: list[str]) -> list[str]:
        """Of the addresses in a notice those that are neither ours, nor the reporter's, nor for help."""
        return [address for address in candidates if address not in self._own and not _HELP.match(address)]

    @cached_property
    def _own(self) -> frozenset[str]:
        ours = self.headers.all("from", "to", "delivered-to") + self.returned.all("from", "return-path", "sender")
        return frozenset(find_all(ours))

    def _most_likely(self, candidates: list[str]) -> list[str]:
        """The blamed ones, or what comes nearest: people do write to themselves and to postmasters."""
        return self.blamed(candidates) or [a for a in candidates if not _HELP.match(a)] or candidates


def sort(mail: Mail) -> Opened:
    """Sort the parts of a mail. The message that came back may be a part or stand in the text."""
    texts: dict[str, list[str]] = {"text": [], "html": [], "status": [], "feedback": []}
    returned = ""
    for part in mail.parts:
        if part.returned:
            returned = returned or part.text()
        elif use := _use(part.content_type):
            texts[use].append(part.text())
    whole = "\n".join(texts["text"] or texts["html"] or [mail.parts[0].text()])
    notice, quoted = split_returned(whole[:MAX_TEXT])
    headers = _headers(returned) or _quoted_headers(quoted)
    evidence = _evidence(mail.headers, headers, texts["status"])
    return Opened(mail, notice, headers, (returned or quoted).encode(), texts["status"], texts["feedback"], evidence)


def _use(content_type: str) -> str:
    if "delivery-status" in content_type:
        return "status"
    if "feedback-report" in content_type:
        return "feedback"
    if content_type == "text/html":
        return "html"
    return "text" if content_type.startswith("text/") else ""


def _headers(message: str) -> Headers:
    return read_headers(message.encode().split(b"\n"), 0)[0]


def _quoted_headers(quoted: str) -> Headers:
    """The returned message's header fields in plain text; noise may stand before and between them."""
    rows = [line.lstrip("> ").encode() for line in quoted.split("\n")[:300]]
    fields: list[tuple[str, str]] = []
    index = 0
    while index < len(rows) and len(fields) < 100:
        headers, after = read_headers(rows, index)
        fields += headers.fields
        index = max(after, index + 1)
    return Headers(fields)


def _evidence(own: Headers, returned: Headers, status_texts: list[str]) -> Evidence:
    fields = dsn.read_report("\n".join(status_texts)[:MAX_TEXT]).message
    envelope = find_all(own.all("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "to"))[:20]
    names = own.all("in-reply-to", "references", "x-original-message-id")
    words = _WORD.findall(" ".join([*returned.all("message-id"), *names])[:8000])
    ids = [word for word in words if "@" in word[1:-1] and len(word) <= MAX_ID]
    return Evidence(
        tuple(dict.fromkeys(ids))[:20],
        tuple(envelope),
        fields.get("original-envelope-id")[:200],
    )
