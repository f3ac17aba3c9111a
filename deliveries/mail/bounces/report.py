"""What a mail says of one recipient, judged by the rules of qualification."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from deliveries.mail.qualification.engine import (
    IGNORED,
    Qualification,
    Readings,
    Rule,
    qualify,
    read_code,
    read_status,
)

BOUNCE, DELAYED, DELIVERED = "bounce", "delayed", "delivered"
COMPLAINT, AUTO_REPLY, NONE = "complaint", "auto-reply", "none"
KINDS = (BOUNCE, DELAYED, DELIVERED, COMPLAINT, AUTO_REPLY, NONE)

WEAK = 500  # rules from this order on read words that may be said about anything
MAX_TEXT = 2000  # characters of the words that a report carries
MAX_READ = 200_000  # characters of different texts that rules read in one mail: the diagnostics of some 600 recipients


@dataclass(frozen=True)
class Evidence:
    """What lets a report be matched with the delivery that it answers. Nothing of it is proof: every
    value was written by a stranger.

    message_ids     of the returned message first, then those that the mail refers to; without `<>`
    envelope_to     addresses to which the report itself was sent, as the receiving server noted them
    envelope_id     Original-Envelope-Id: the ENVID that was given with MAIL FROM (RFC 3461)
    """

    message_ids: tuple[str, ...] = ()
    envelope_to: tuple[str, ...] = ()
    envelope_id: str = ""


NO_EVIDENCE = Evidence()


@dataclass(frozen=True)
class Report:
    """What a mail says of one recipient.

    recipient  lower case; '' when the mail names none
    kind       one of KINDS
    type, reason, detail, rule   the verdict of qualification; `ignored` and '' when nothing failed
    status     enhanced status (RFC 3463) or ''; code: SMTP reply code or ''
    action     failed, delayed, delivered, relayed, expanded (RFC 3464), or ''
    feedback   Feedback-Type of a feedback report (RFC 5965), or ''
    text       the words that decided, of the server that refused or of the notice
    """

    recipient: str
    kind: str
    type: str = IGNORED
    reason: str = ""
    detail: str = ""
    status: str = ""
    code: str = ""
    action: str = ""
    feedback: str = ""
    text: str = ""
    rule: str = ""
    last_attempt_date: datetime | None = None
    evidence: Evidence = NO_EVIDENCE


class Judge:
    """Gives the verdicts on one mail by `rules`, and reads each of its texts once."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = rules
        self._readings = Readings()

    @property
    def is_tired(self) -> bool:
        """More was read than one mail is worth: what it still says is to be left."""
        return self._readings.characters > MAX_READ

    def report(self, recipient: str, texts: Sequence[str], *, action: str, status: str = "", stage: str = "") -> Report:
        """A report with its verdict.

        `texts` are the words about this recipient, the server's own reply first; the reply's status counts
        more than `status` (the program's), unless it says nothing (x.0.0)."""
        texts = [text.strip() for text in texts if text.strip()] or [""]
        code = read_code(texts[0])
        own = read_status(texts[0], code)
        best = own if own and not own.endswith(".0.0") else status or own
        kind = _kind(action, best)
        if kind == DELIVERED:
            return Report(recipient, kind, status=status or any_status(texts[0]), action=action, text=cut(texts[0]))
        verdict, words = self._verdict(code, best, texts, stage, final=kind == BOUNCE)
        return Report(
            recipient,
            kind,
            verdict.type,
            verdict.reason,
            verdict.detail,
            best,
            code,
            action or "failed",
            text=cut(words),
            rule=verdict.rule,
        )

    def _verdict(
        self, code: str, status: str, texts: Sequence[str], stage: str, *, final: bool
    ) -> tuple[Qualification, str]:
        """The verdict, and the text that led to it: what the reply and its status say yields only to clear
        words around it."""
        first = self._qualify(code, status, texts[0], stage, final)
        settled = first.by_text or (first.rule and first.order < WEAK)
        for text in texts[1:] if not settled else ():
            found = self._qualify(code, status, text, stage, final)
            if found.by_text and (found.order < WEAK or not first.rule):
                return found, text
        return first, texts[0]

    def _qualify(self, code: str, status: str, text: str, stage: str, final: bool) -> Qualification:
        return qualify(code, status, text, self.rules, stage=stage, final=final, readings=self._readings)


def _kind(action: str, status: str) -> str:
    if action in ("delivered", "relayed", "expanded") or (not action and status.startswith("2")):
        return DELIVERED
    return DELAYED if action == "delayed" else BOUNCE


def any_status(text: str) -> str:
    """The first enhanced status in `text`, of success or failure, or ''."""
    match = re.search(r"\b[245]\.\d{1,3}\.\d{1,3}\b", text)
    return match.group() if match else ""


def cut(text: str) -> str:
    """`text` in one line of at most MAX_TEXT characters."""
    return " ".join(text[: 2 * MAX_TEXT].split())[:MAX_TEXT]
